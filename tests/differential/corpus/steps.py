"""``log``: the row to which a call belongs, and errors."""

from __future__ import annotations

import wandb

from differential.script import Seen, differs, script


@script
def counting(seen: Seen) -> None:
    run = wandb.init(project="demo")
    seen("first", run.step)
    for at in range(3):
        wandb.log({"loss": 1 / (at + 1)})
    seen("last", run.step)
    run.finish()


_SMALLER = {
    "wandb": "drops a row whose step is smaller than the current one, or negative",
    "tracker": "stores it as a separate row",
    "because": "no logged row is dropped; wandb/wandb#4482",
}


@differs("runs/0/summary/f", 6, **_SMALLER)
@differs(
    "runs/0/history",
    [
        {"_step": 0, "a": 1},
        {"_step": 1, "b": 2, "c": 3},
        {"_step": 5, "f": 6},
        {"_step": 10, "d": 4, "e": 5, "g": 7},
    ],
    **_SMALLER,
)
@script
def smaller_step(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1})
    run.log({"b": 2}, commit=False)
    run.log({"c": 3})
    run.log({"d": 4}, step=10)
    run.log({"e": 5}, step=10)
    run.log({"f": 6}, step=5)
    run.log({"g": 7})
    run.finish()


@script
def commit_false_at_the_end(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1})
    run.log({"b": 2}, commit=False)
    seen("step", run.step)
    run.finish()


@script
def step_and_commit(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1}, step=3, commit=True)
    seen("after commit", run.step)
    run.log({"b": 2}, step=7)
    seen("after step", run.step)
    run.log({"c": 3}, step=7, commit=True)
    run.log({"d": 4})
    run.log({}, step=20)
    run.log({"e": 5})
    run.finish()


@script
def empty_rows(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({})
    run.log({"a": 1})
    run.log({}, commit=True)
    run.log({"a": 2})
    run.finish()


@script
def same_key_twice(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1, "n": {"x": 1}}, commit=False)
    run.log({"a": 2, "n": {"y": 2}}, commit=False)
    run.log({"b": 3})
    run.finish()


@script
def refuses(seen: Seen) -> None:
    with seen.error("before init", words="You must call wandb.init() before wandb.log()"):
        wandb.log({"a": 1})
    run = wandb.init(project="demo")
    with seen.error("number as key", words="Key values passed to `wandb.log` must be strings"):
        run.log({1: 2})
    with seen.error("no dict"):
        run.log([1, 2])
    with seen.error("text"):
        run.log("loss")
    with seen.error("object", words="Object of type object is not JSON serializable"):
        run.log({"o": object()})
    run.log({"after": 1})
    run.finish()
    with seen.error("finished"):
        run.log({"a": 1})


@differs("runs/0/history", [{"_step": -1, "c": 1}, {"_step": 0, "d": 1}], **_SMALLER)
@differs("runs/0/summary/c", 1, **_SMALLER)
@script
def float_step(seen: Seen) -> None:
    run = wandb.init(project="demo")
    with seen.error("float"):
        run.log({"a": 1}, step=2.7)
    with seen.error("text"):
        run.log({"b": 1}, step="x")
    with seen.error("negative"):
        run.log({"c": 1}, step=-1)
    run.log({"d": 1})
    run.finish()
