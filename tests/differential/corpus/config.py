"""Config: sources, changes and errors."""

from __future__ import annotations

import argparse

import numpy as np
import wandb

from differential.script import Seen, differs, script


@script
def from_init(seen: Seen) -> None:
    with wandb.init(
        project="demo", config={"lr": 0.1, "layers": [64, 32], "opt": {"name": "adam", "eps": 1e-8}}
    ) as run:
        seen("lr", run.config["lr"])
        seen("attribute", run.config.lr)
        seen("nested", run.config["opt"])
        seen("as_dict", run.config.as_dict())
        seen("module", dict(wandb.config))
        seen("keys", sorted(run.config.keys()))
        seen("in", ["lr" in run.config, "nope" in run.config])
        seen("get", [run.config.get("nope"), run.config.get("nope", 3)])
        with seen.error("missing key"):
            run.config["nope"]
        with seen.error("missing attribute"):
            run.config.nope  # noqa: B018


@script
def update(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.config.update({"a": 1, "b": {"c": 2}})
    run.config["d"] = 4
    run.config.e = "five"
    wandb.config.f = None
    run.config.update({"a": 1})
    with seen.error("changed", words='Attempted to change value of key "a" from 1 to 2'):
        run.config.update({"a": 2})
    with seen.error("set", words="allow_val_change=True"):
        run.config["a"] = 3
    run.config.update({"a": 9}, allow_val_change=True)
    seen("after", dict(run.config))
    run.finish()


@script
def allow_val_change_from_init(seen: Seen) -> None:
    run = wandb.init(project="demo", config={"a": 1}, allow_val_change=True)
    with seen.error("changed"):
        run.config.a = 2
    run.finish()


@script
def setdefaults(seen: Seen) -> None:
    run = wandb.init(project="demo", config={"a": 1})
    run.config.setdefaults({"a": 5, "b": 6})
    seen("config", dict(run.config))
    run.finish()


@script
def from_namespace(seen: Seen) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--name", default="x")
    arguments = parser.parse_args([])
    run = wandb.init(project="demo", config=arguments)
    other = argparse.Namespace(depth=3)
    run.config.update(other)
    seen("config", dict(run.config))
    run.finish()


@differs(
    "runs/0/config/nan",
    "<nan>",
    wandb="NaN becomes null",
    tracker="NaN is kept",
    because="NaN and null are different values",
)
@script
def numpy_and_friends(seen: Seen) -> None:
    import datetime
    import pathlib

    run = wandb.init(project="demo")
    run.config.update(
        {
            "int": np.int64(3),
            "float": np.float64(0.25),
            "bool": np.bool_(True),
            "array": np.arange(3),
            "tuple": (1, 2),
            "path": pathlib.Path("/data/x"),
            "nan": float("nan"),
            "inf": float("inf"),
            "big": 2**60,
            "date": datetime.date(2024, 1, 2),
        }
    )
    run.finish()


@script
def refuses_what_is_no_config(seen: Seen) -> None:
    with seen.error("list", words="config must be a dict or have a __dict__ attribute"):
        wandb.init(project="demo", config=[1, 2])
    run = wandb.init(project="demo")
    with seen.error("object"):
        run.config["x"] = object()
    run.config["after"] = 1
    run.finish()


@script
def include_and_exclude_keys(seen: Seen) -> None:
    both = {"a": 1, "b": 2, "c": 3}
    wandb.init(project="demo", config=both, config_exclude_keys=["b"]).finish()
    wandb.init(project="demo", config=both, config_include_keys=["b"]).finish()


@differs(
    "runs",
    [],
    wandb="raises TypeError after the run has started, so that the run fails",
    tracker="raises TypeError before the run starts",
    because="an invalid config must not leave a failed run",
)
@script
def keys_that_are_no_text(seen: Seen) -> None:
    run = wandb.init(project="demo", config={1: "one", "b": {2: "two"}})
    seen("config", dict(run.config))
    run.finish()
