"""``define_metric``: step metrics, globs, returned values and errors."""

from __future__ import annotations

import wandb

from differential.script import Seen, differs, script


@script
def step_metric(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("epoch")
    run.define_metric("val_loss", step_metric="epoch")
    run.log({"epoch": 1})
    run.log({"val_loss": 0.5})
    run.log({"loss": 2})
    run.log({"epoch": 2, "val_loss": 0.4})
    run.log({"val_loss": 0.3})
    run.finish()


@script
def everything_over_the_trainers_step(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    run.log({"x": 1, "trainer/global_step": 5})
    run.log({"y": 2})
    run.log({"z": {"deep": 1}})
    run.log({"x": 3, "trainer/global_step": 6})
    run.finish()


@script
def glob_with_summary(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("val/*", summary="max")
    run.define_metric("val/loss", summary="min")
    for value in (1, 3, 2):
        run.log({"val/acc": value, "val/loss": value, "train/acc": value})
    run.finish()


@script
def no_sync(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("y", step_metric="epoch", step_sync=False)
    run.log({"epoch": 1})
    run.log({"y": 2})
    run.finish()


@script
def returned(seen: Seen) -> None:
    run = wandb.init(project="demo")
    metric = run.define_metric("loss", step_metric="epoch", hidden=True, summary="min,max")
    seen("name", metric.name)
    seen("step_metric", metric.step_metric)
    seen("step_sync", metric.step_sync)
    seen("hidden", metric.hidden)
    seen("summary", sorted(metric.summary))
    other = wandb.define_metric("acc", step_metric=metric)
    seen("of a metric", other.step_metric)
    run.finish()


@script
def refused(seen: Seen) -> None:
    with seen.error("before init", words="You must call wandb.init() before wandb.define_metric()"):
        wandb.define_metric("x")
    run = wandb.init(project="demo")
    with seen.error("word", words="Unhandled define_metric() arg: summary op: bogus"):
        run.define_metric("loss", summary="bogus")
    with seen.error("empty"):
        run.define_metric("")
    with seen.error("glob in the middle"):
        run.define_metric("a*b")
    with seen.error("glob as step"):
        run.define_metric("loss", step_metric="ep*")
    with seen.error("number"):
        run.define_metric(3)
    run.finish()


@differs(
    "runs/0/metrics/loss/summary",
    ["max", "min"],
    wandb="0.31 forgets the summary argument of the first call",
    tracker="combines the summary arguments of both calls",
    because="wandb/docs#1095: according to wandb's maintainers, two calls give min and max",
)
@script
def defined_again(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("loss", summary="min")
    run.log({"loss": 2})
    run.define_metric("loss", summary="max")
    run.log({"loss": 1})
    run.define_metric("other", summary="min")
    run.define_metric("other", summary="max", overwrite=True)
    run.log({"other": 1})
    run.log({"other": 2})
    run.finish()


@script
def nested_key(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("eval.loss", summary="min")
    for value in (2, 1, 3):
        run.log({"eval": {"loss": value}, "eval.other": value})
    run.finish()
