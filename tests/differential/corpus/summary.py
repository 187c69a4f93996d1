"""The summary, and metrics with a defined summary."""

from __future__ import annotations

import numpy as np
import wandb

from differential.script import Seen, differs, script

_BEST = {
    "wandb": "rejects summary='best'",
    "tracker": "accepts it, as older releases did",
    "because": "older scripts use `goal=` with `summary='best'`",
}


@script
def last_values(seen: Seen) -> None:
    run = wandb.init(project="demo")
    for at in range(3):
        run.log({"loss": 3 - at, "nested": {"deep": {"x": at}}, "text": f"row {at}", "flag": at == 1})
    run.finish()


@script
def set_by_hand(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"acc": 0.5})
    run.summary["acc"] = 0.9
    run.summary["best/epoch"] = 3
    run.summary.final = "yes"
    wandb.summary["from_module"] = True
    run.summary.update({"a": 1, "nested": {"b": 2}})
    run.summary["nested"]["c"] = 3
    seen("acc", run.summary["acc"])
    seen("final", run.summary.final)
    seen("get", [run.summary.get("a"), run.summary.get("nope"), run.summary.get("nope", 7)])
    seen("in", "acc" in run.summary.keys())  # noqa: SIM118
    with seen.error("missing"):
        run.summary["nope"]
    run.finish()


@script
def set_wins_until_logged_again(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1, "b": 1})
    run.summary["a"] = 100
    run.summary["b"] = 100
    run.log({"b": 2})
    run.finish()


@script
def deleted(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.summary["a"] = 1
    run.summary["b"] = {"c": 1, "d": 2}
    del run.summary["a"]
    del run.summary["b"]["c"]
    run.finish()


@differs(
    "runs/0/summary/nan",
    "<nan>",
    wandb="NaN becomes null",
    tracker="NaN is kept",
    because="NaN and null are different values",
)
@script
def numpy_values(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.summary["array"] = np.arange(4)
    run.summary["scalar"] = np.float32(0.5)
    run.summary["nan"] = float("nan")
    run.summary["none"] = None
    run.summary["tuple"] = (1, 2)
    run.finish()


@script
def min_max_mean_last(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("loss", summary="min")
    run.define_metric("acc", summary="max")
    run.define_metric("both", summary="min,max")
    run.define_metric("mean", summary="mean")
    run.define_metric("last", summary="last")
    run.define_metric("first", summary="first")
    run.define_metric("none", summary="none")
    run.define_metric("copy", summary="copy")
    for value in (2.0, 1.0, 4.0):
        run.log(dict.fromkeys(("loss", "acc", "both", "mean", "last", "first", "none", "copy"), value))
    run.finish()


@differs("seen/best", {"raised": []}, **_BEST)
@differs("runs/0/summary/acc", {"best": 1}, **_BEST)
@differs(
    "runs/0/metrics",
    {"acc": {"step_metric": None, "step_sync": False, "hidden": False, "summary": ["best"]}},
    **_BEST,
)
@script
def best_with_goal(seen: Seen) -> None:
    run = wandb.init(project="demo")
    with seen.error("best"):
        run.define_metric("acc", summary="best")
    run.log({"acc": 1})
    run.finish()


_NAN = {
    "wandb": "after one NaN, min, max and mean stay NaN",
    "tracker": "ignores NaN in them",
    "because": "wandb/wandb#7781 leaves this open; tracker follows numpy's nanmin",
}


@differs(
    "runs/0/summary/x/max",
    3,
    **_NAN,
)
@differs(
    "runs/0/summary/x/mean",
    2.0,
    **_NAN,
)
@differs(
    "runs/0/summary/x/min",
    1,
    **_NAN,
)
@script
def min_of_what_is_no_number(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.define_metric("x", summary="min,max,mean")
    for value in (3, float("nan"), 1, "text", None, True, float("inf")):
        run.log({"x": value})
    run.finish()
