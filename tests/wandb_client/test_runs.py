"""Runs that the real client logs to the server are those that tracker's own client logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker

pytestmark = pytest.mark.wandb_client

# What both clients write of themselves.
OWN_CONFIG = ("_wandb",)
TIMES = ("_runtime", "_timestamp")
LOG = """
import sys, wandb
run = wandb.init(project="p", id="plain", name="first", config={"lr": 0.1, "deep": {"a": [1, None]}},
                 tags=["x"], notes="some notes", group="g", job_type="train")
run.define_metric("epoch")
run.define_metric("val/*", step_metric="epoch", summary="max")
for step in range(10):
    run.log({"loss": 1 / (step + 1), "epoch": step // 2, "val/acc": step / 10, "odd": float("nan"),
             "deep": {"inner": {"value": step}}, "text": f"step {step}"})
print("to stdout")
print("to stderr", file=sys.stderr)
run.config.update({"later": 5})
run.summary["best"] = {"score": 7}
run.alert("Title", "Text", level="WARN")
run.log({"loss": 0.01}, step=20)
run.tags += ("y",)
run.name = "second"
run.finish()
"""


def answers(store: Path, *, path: str = "local/p/plain") -> dict[str, Any]:
    """Return what ``Api`` and readers answer about a run, without times and what depends on the client."""
    api = tracker.Api(overrides={"store": str(store)})
    run = api.run(path)
    rows = [
        {key: value for key, value in row.items() if key not in TIMES} for row in run.history(pandas=False)
    ]
    detail = run._reader.run(*path.split("/"))
    return {
        "state": run.state,
        "name": run.name,
        "notes": run.notes,
        "tags": sorted(run.tags),
        "group": run.group,
        "job_type": run.job_type,
        "config": {key: value for key, value in run.config.items() if key not in OWN_CONFIG},
        "summary": {key: value for key, value in dict(run.summary).items() if key not in TIMES},
        "rows": rows,
        "last_step": run.lastHistoryStep,
        "keys": [(key.key, key.kind, key.count, key.last_step) for key in detail.keys],
        "alerts": [(alert.title, alert.text, alert.level) for alert in detail.alerts],
    }


def test_a_run_is_the_same_through_both_doors(client: Any, tmp_path: Path) -> None:
    client.run(LOG)
    found = answers(client.store)
    native = tmp_path / "native"
    scripts.run(LOG.replace("wandb", "tracker as wandb", 1), tmp_path, TRACKER_STORE=str(native))
    for name, expected in answers(native).items():
        assert same(found[name]) == same(expected), name


def same(value: Any) -> Any:
    """Return a value that can be compared: the client sends 1.0 as 1, and NaN differs from itself."""
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [same(item) for item in value]
    return "NaN" if value != value else value
