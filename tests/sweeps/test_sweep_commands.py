"""``tracker sweep`` and ``tracker agent``: a sweep of a program that imports only wandb."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

from tracker import Api
from tracker.cli.main import main

TRAIN = """
import argparse, os, sys
import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--layers", type=int)
given = parser.parse_args()
run = wandb.init()
assert (run.config.lr, run.config.layers) == (given.lr, given.layers), run.config
assert os.environ["WANDB_SWEEP_ID"] == run.sweep_id and os.environ["WANDB_RUN_ID"] == run.id
run.log({"loss": given.lr * given.layers})
"""
SWEEP = """
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters:
  lr: {values: [0.25, 0.5]}
  layers: {min: 1, max: 2}
"""


def tracker(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command in this process; return what it printed."""
    main(list(words))
    return capsys.readouterr().out


def start_agent(folder: Path, path: str, **variables: str) -> subprocess.Popen[str]:
    """Start ``tracker agent``."""
    command = [sys.executable, "-m", "tracker.cli.main", "agent", path]
    environment = scripts.environment(**variables)
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the program and its sweep."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_agents_share_the_trials_of_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tracker(capsys, "sweep", "sweep.yaml", "--project", "p", "--name", "both")
    path = made.split()[-1]
    assert made.splitlines()[-1] == f"Run sweep agent with: tracker agent {path}"
    agents = [start_agent(folder, path, TRACKER_PROJECT="elsewhere") for _ in range(2)]
    said = [agent.communicate(timeout=120)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    sweep = Api().sweep(path)
    assert (sweep.name, sweep.state, len(sweep.runs)) == ("both", "FINISHED", 4)
    assert {run.state for run in sweep.runs} == {"finished"}, said
    assert sorted((run.config["lr"], run.config["layers"]) for run in sweep.runs) == [
        (lr, layers) for lr in (0.25, 0.5) for layers in (1, 2)
    ]
    assert (best := sweep.best_run()) is not None and best.summary["loss"] == 0.25


def test_macros_of_a_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show = "import json, sys; json.dump(sys.argv[1:], open(sys.argv[1], 'w'))"
    words = ("no_hyphens", "no_boolean_flags", "no_equals", "json", "append_hydra", "override_hydra")
    command = ["${interpreter}", "-c", show, "${envvar:WHERE}.json", *(f"${{args_{each}}}" for each in words)]
    parameters = {"a": {"value": 1}, "b": {"value": False}, "c": {"value": True}}
    given = {
        "method": "grid",
        "command": [*command, "${args_json_file}", "${other}"],
        "parameters": parameters,
    }
    (folder / "sweep.json").write_text(json.dumps(given))
    path = tracker(capsys, "sweep", "sweep.json").split()[-1]
    monkeypatch.setenv("WHERE", "words")
    tracker(capsys, "agent", path)
    *printed, file = json.loads((folder / "words.json").read_text())
    assert " ".join(printed) == (
        "words.json a=1 b=False c=True --a=1 --c --a 1 --b False --c True "
        '{"a": 1, "b": false, "c": true} +a=1 +b=False +c=True ++a=1 ++b=False ++c=True'
    )
    assert json.loads(Path(file).read_text()) == {"a": 1, "b": False, "c": True}


def test_a_sweep_is_paused_and_canceled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.py").write_text(
        "import time, wandb\nrun = wandb.init()\nrun.log({'loss': 1})\ntime.sleep(100)\n"
    )
    (folder / "sweep.yaml").write_text(SWEEP + "command: ['${interpreter}', '${program}']\n")
    path = tracker(capsys, "sweep", "sweep.yaml", "-p", "p").split()[-1]
    assert tracker(capsys, "sweep", "--pause", path) == f"Sweep {path} is now paused.\n"
    agent = start_agent(folder, path)
    assert agent.stderr is not None and "the sweep is paused: waiting" in agent.stderr.readline()
    tracker(capsys, "sweep", "--resume", path)
    scripts.wait_for(lambda: [run for run in Api().sweep(path).runs if "loss" in run.summary], "a row")
    tracker(capsys, "sweep", "--cancel", path)
    assert "the sweep was canceled" in agent.communicate(timeout=60)[1]
    assert agent.returncode == 0
    assert [run.state for run in Api().sweep(path).runs] == ["preempted"]


def test_missing_sweeps_and_files_are_reported(folder: Path) -> None:
    (folder / "sweep.yaml").write_text("method: [")
    for words, message in (
        (("sweep", "no.yaml"), "File 'no.yaml' does not exist"),
        (("sweep", "sweep.yaml"), "sweep.yaml is neither JSON nor YAML"),
        (("agent", "x"), "does not contain the sweep local/uncategorized/x"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(list(words))
