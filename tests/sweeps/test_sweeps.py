"""Sweeps in a script: ``sweep``, ``agent`` with a function, and sweeps in ``Api``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker
from tracker import Api
from tracker.errors import ApiNotFoundError, UsageError

GRID = """
import tracker as wandb

def train():
    with wandb.init(project="elsewhere", config={"lr": 5, "batch": 8}) as run:
        run.config.lr = 7
        assert (run.project, run.sweep_id, run.sweep_url) == ("p", sweep_id, None)
        for step in range(3):
            run.log({"loss": run.config.lr * (3 - step) + run.config.net["depth"]})

sweep_id = wandb.sweep(lambda: {
    "name": "mine",
    "method": "grid",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"lr": {"values": [0.2, 0.1]}, "net": {"parameters": {"depth": {"min": 1, "max": 2}}}},
}, project="p")
wandb.agent(sweep_id, train, count=3)
assert "WANDB_SWEEP_ID" not in __import__("os").environ
assert wandb.Api().sweep("local/p/" + sweep_id).state == "RUNNING"
wandb.agent("p/" + sweep_id, train)
"""


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder of scripts and of ``Api``."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_point_of_a_grid_is_run_once(api: Path) -> None:
    done = scripts.run(GRID, api)
    sweep_id = done.stdout.split()[-1]
    assert done.stdout == f"Create sweep with ID: {sweep_id}\n"
    assert "Ignoring project 'elsewhere' when running a sweep." in done.stderr
    assert "Config items 'lr' were locked by 'sweep' (ignored what init was given)." in done.stderr
    assert "Config item 'lr' was locked by 'sweep' (ignored update)." in done.stderr

    sweep = Api().sweep(f"local/p/{sweep_id}")
    assert (sweep.name, sweep.state, sweep.expected_run_count) == ("mine", "FINISHED", 4)
    assert [run.config for run in sweep.runs] == [
        {"lr": lr, "batch": 8, "net": {"depth": depth}} for lr in (0.2, 0.1) for depth in (1, 2)
    ]
    best = sweep.best_run()
    assert best is not None and best.config["lr"] == 0.1 and best.config["net"] == {"depth": 1}
    worst = sweep.best_run(order="-summary_metrics.loss")
    assert worst is not None and worst.config["net"] == {"depth": 2}
    assert (best.sweep_name, best.sweepName) == (sweep_id, sweep_id)
    assert best.sweep is not None and best.sweep.id == sweep_id
    assert [each.id for each in Api().project("p").sweeps()] == [sweep_id]
    with pytest.raises(ApiNotFoundError, match="does not contain the sweep local/p/nothing"):
        Api().sweep("local/p/nothing")


def test_a_sweep_with_hosts_that_only_write_journals(api: Path) -> None:
    code = GRID.replace('assert wandb.Api().sweep("local/p/" + sweep_id).state == "RUNNING"', "")
    sweep_id = scripts.run(code, api, TRACKER_JOURNAL_ONLY="1").stdout.split()[-1]
    assert len(Api().sweep(f"local/p/{sweep_id}").runs) == 4


HYPERBAND = """
import time
import tracker as wandb

def train():
    with wandb.init() as run:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            run.log({"score": run.config.score})
            if run.config.score == 1 and run.step == 9:
                return
            time.sleep(0.01)

sweep_id = wandb.sweep({
    "method": "grid",
    "metric": {"name": "score", "goal": "maximize"},
    "early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 2},
    "parameters": {"score": {"values": [1, 0]}},
})
wandb.agent(sweep_id, train)
print("continued")
"""


@pytest.mark.slow
def test_hyperband_stops_runs_that_are_not_among_the_best(api: Path) -> None:
    done = scripts.run(HYPERBAND, api)
    assert done.stdout.endswith("continued\n")
    good, bad = Api().runs("uncategorized")
    assert (good.config["score"], good.state, len(good.history(pandas=False))) == (1, "finished", 9)
    assert (bad.config["score"], bad.state) == (0, "preempted")
    assert "hyperband: not among the best after 3 values of score" in done.stderr


LEARNED = """
import sys
import tracker as wandb

def train():
    with wandb.init() as run:
        run.log({"loss": (run.config.x - 3) ** 2})

before = wandb.init(project="p", id="before", config={"x": 3.1, "more": 1})
before.log({"loss": 0.01})
before.finish()
what = {
    "method": "bayes",
    "metric": {"name": "loss"},
    "run_cap": 3,
    "parameters": {"x": {"min": -10.0, "max": 10.0}},
}
sweep_id = wandb.sweep(what, project="p", prior_runs=["before"])
wandb.agent(sweep_id, train)
sys.modules["sklearn"] = sys.modules["sklearn.gaussian_process"] = None
try:
    wandb.sweep(what)
except wandb.UnsupportedError as error:
    print(error)
"""


@pytest.mark.slow
def test_bayes_uses_earlier_runs_and_reports_a_missing_package(api: Path) -> None:
    pytest.importorskip("sklearn")
    code = LEARNED.replace("wandb.UnsupportedError", "NotImplementedError")
    lines = scripts.run(code, api).stdout.splitlines()
    sweep = Api().sweep("local/p/" + lines[0].split()[-1])
    assert len(sweep.runs) == 4 and sweep.runs[0].id == "before" and sweep.state == "FINISHED"
    assert lines[1] == (
        "method bayes without scikit-learn is not supported: pip install scikit-learn, or use method random"
    )


def test_an_agent_stops_if_all_runs_fail(api: Path) -> None:
    code = """
import tracker as wandb

def train():
    wandb.init()
    raise ValueError("no data")

wandb.agent(wandb.sweep({"method": "random", "parameters": {"x": {"min": 0, "max": 9}}}), train)
"""
    done = scripts.run(code, api)
    assert "Detected 3 failed runs in the first 60 seconds" in done.stderr
    runs = Api().runs("uncategorized")
    assert [run.state for run in runs] == ["failed"] * 3
    assert all(run.error == "ValueError: no data" for run in runs)


def test_the_next_agent_continues_after_a_killed_agent(api: Path) -> None:
    code = """
import os, sys
import tracker as wandb

def train():
    with wandb.init() as run:
        run.log({"x": run.config.x})
        if len(sys.argv) == 1 and run.config.x == 2:
            os.kill(os.getpid(), 9)

what = {"method": "grid", "parameters": {"x": {"values": [1, 2, 3]}}}
sweep_id = os.environ.get("SWEEP") or wandb.sweep(what)
sys.stdout.flush()
sys.argv += ["resumed"] * ("SWEEP" in os.environ)
wandb.agent(sweep_id, train)
"""
    sweep_id = scripts.run(code, api, check=False).stdout.split()[-1]
    scripts.run(code, api, SWEEP=sweep_id)
    runs = Api().sweep(sweep_id).runs
    assert [(run.config["x"], run.state) for run in runs] == [
        (1, "finished"),
        (2, "crashed"),
        (3, "finished"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Invalid method None of the sweep. Use one of: grid, random, bayes"),
        ({"method": "grid"}, "parameters must be a dict"),
        ({"method": "grid", "parameters": {"x": 3}}, "Invalid parameter 'x': 3. Use"),
        (
            {"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}},
            "'x' has too many values for a grid",
        ),
        (
            {"method": "random", "parameters": {"x": {"min": 0, "max": 1.5}}},
            "Use two ints or two floats",
        ),
        ({"method": "random", "parameters": {"x": {"min": 2, "max": 1}}}, "min 2 is above max 1. Swap them."),
        (
            {"method": "random", "parameters": {"x": {"distribution": "zipf"}}},
            "Invalid distribution 'zipf' of parameter 'x'. Use one of: constant,",
        ),
        ({"method": "random", "parameters": {"x": {"distribution": "uniform"}}}, "uniform needs min and max"),
        ({"method": "random", "parameters": {"x": {"values": [1], "probabilities": [0.5]}}}, "the sum 1"),
        ({"method": "random", "parameters": {"x": {"value": 1}}, "run_cap": 0}, "Invalid run_cap 0 "),
        ({"method": "bayes", "parameters": {"x": {"value": 1}}}, "method bayes needs a metric"),
        (
            {"method": "random", "parameters": {"x": {"value": 1}}, "early_terminate": {"type": "hyperband"}},
            "early_terminate needs a metric",
        ),
        (
            {
                "method": "random",
                "parameters": {"x": {"value": 1}},
                "metric": {"name": "loss"},
                "early_terminate": {"type": "hyperband"},
            },
            "needs min_iter, or max_iter and s",
        ),
    ],
)
def test_an_invalid_sweep_is_an_error(given: dict[str, object], message: str, api: Path) -> None:
    with pytest.raises(UsageError, match=message):
        tracker.sweep(given)
    assert not (api / "tracker-store").exists()


GO_ON = """
import sys
import tracker as wandb

def train():
    with wandb.init() as run:
        run.log({"loss": run.config.lr})

for sweep_id in sys.stdin.read().split():
    wandb.agent(f"demo/{sweep_id}", train)
"""


def test_sweeps_of_version_0_1_0_continue(api: Path) -> None:
    """See ``tests/fixtures/make_version_0_1_0.py``."""
    shutil.copytree(scripts.ROOT / "tests/fixtures/version-0.1.0/store", api / "tracker-store")
    grid, search = sorted(Api().project("demo").sweeps(), key=lambda each: each.name)
    assert (grid.state, search.state) == ("RUNNING", "PAUSED")
    assert [run.config for run in grid.runs] == [{"lr": lr, "net": {"depth": 2}} for lr in (0.3, 0.1)]
    best = grid.best_run()
    assert best is not None and (best.config["lr"], best.summary["loss"]) == (0.1, 0.1)

    command = [sys.executable, "-m", "tracker.cli.main", "sweep", "--resume", f"demo/{search.id}"]
    subprocess.run(command, cwd=api, env=scripts.environment(), check=True)
    agent = scripts.start(GO_ON, api)
    _, errors = agent.communicate(f"{grid.id} {search.id}", timeout=120)
    assert agent.returncode == 0, errors
    grid, search = (Api().sweep(f"demo/{each.id}") for each in (grid, search))
    assert (grid.state, search.state) == ("FINISHED", "FINISHED")
    assert [run.config["lr"] for run in grid.runs] == [0.3, 0.1, 0.2, 0.4]
    assert len(search.runs) == 3
