"""A client that is a year older than the others logs, reads, syncs and sweeps."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker

pytestmark = pytest.mark.wandb_client

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_WANDB_OLDER") or scripts.ROOT / ".venv-wandb_client/bin/python")
LOG = """
import pathlib, wandb
pathlib.Path("data.txt").write_text("content")
with wandb.init(project="p", id="plain", name="first", config={"lr": 0.1}, tags=["x"], notes="notes") as run:
    run.define_metric("epoch")
    run.define_metric("val/*", step_metric="epoch", summary="max")
    for step in range(5):
        run.log({"loss": 1 / (step + 1), "epoch": step, "val/acc": 5 - step, "odd": float("nan")})
    run.log({"html": wandb.Html("<p>text</p>"), "histogram": wandb.Histogram([1, 2, 2, 3]),
             "table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])})
    artifact = wandb.Artifact("data", type="dataset", metadata={"k": 1})
    artifact.add_file("data.txt")
    run.log_artifact(artifact, aliases=["best"]).wait()
    run.save("data.txt", policy="now")
    run.alert("Title", "Text")
    print("printed")
with wandb.init(project="p", id="plain", resume="must") as run:
    assert run.starting_step == 6, run.starting_step
    run.log({"loss": 0.0})
    found = run.use_artifact("data:best").download("down")
    assert (pathlib.Path(found) / "data.txt").read_text() == "content"
with wandb.init(project="p", id="fork", fork_from="plain?_step=2") as run:
    run.log({"loss": 9})
"""
READ = """
import wandb
api = wandb.Api()
run = api.run("local/p/plain")
artifact = api.artifact("local/p/data:best")
show(dict(
    runs=[run.id for run in api.runs("local/p", {"config.lr": 0.1}, order="+created_at")],
    shown=[run.name, run.state, run.tags, run.notes, run.config["lr"], run.lastHistoryStep],
    summary=[run.summary["loss"], run.summary["val/acc"]["max"]],
    scan=[row["loss"] for row in run.scan_history(keys=["loss"])],
    sampled=run.history(keys=["loss"], samples=100, pandas=False)[0],
    media=[file.name.split("/")[1] for file in run.files() if "/" in file.name],
    file=run.file("data.txt").download("read").read(),
    logged=[each.name for each in run.logged_artifacts() if each.type == "dataset"],
    used=[each.name for each in run.used_artifacts()],
    artifact=[artifact.version, artifact.aliases, artifact.metadata, [*artifact.manifest.entries]],
    projects=[project.name for project in api.projects()],
))
"""
SWEEP = """
import wandb, wandb.agents.pyagent as agents
agents.Agent.HEARTBEAT_SLEEP_SECONDS = 0.2
sweep = wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1, 2]}}}, project="p")
def train():
    with wandb.init() as run:
        run.log({"loss": run.config.x})
wandb.agent(sweep, function=train, project="p")
read = wandb.Api().sweep(f"local/p/{sweep}")
show([read.state, [run.config["x"] for run in read.runs]])
"""
OFFLINE = """
import wandb
with wandb.init(project="p", id="offline", mode="offline") as run:
    for step in range(5):
        run.log({"x": step})
"""


@pytest.fixture
def client(own_client: Any) -> Any:
    """Return the older client."""
    return replace(own_client, python=PYTHON)


def test_an_older_client_logs_and_reads(client: Any) -> None:
    client.run(LOG)
    assert client.ask(READ) == {
        "runs": ["plain", "fork"],
        "shown": ["first", "finished", ["x"], "notes", 0.1, 6],
        "summary": [0, 5],
        "scan": [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0],
        "sampled": {"_step": 0, "loss": 1},
        "media": ["html", "table"],
        "file": "content",
        "logged": ["data:v0"],
        "used": ["data:v0"],
        "artifact": ["v0", ["best", "latest"], {"k": 1}, ["data.txt"]],
        "projects": ["p"],
    }
    api = tracker.Api(overrides={"store": str(client.store)})
    run = api.run("local/p/plain")
    detail = run._reader.run("local", "p", "plain")
    assert ([each.title for each in detail.alerts], detail.config["lr"]) == (["Title"], 0.1)
    assert run._reader.console("local", "p", "plain").lines[0].text == "printed"
    fork = api.run("local/p/fork").history(pandas=False)
    assert [(row["_step"], row["loss"]) for row in fork] == [(0, 1), (1, 1 / 2), (2, 1 / 3), (3, 9)]


def test_an_older_client_sweeps_and_syncs(client: Any) -> None:
    assert client.ask(SWEEP) == ["FINISHED", [1, 2]]
    client.run(OFFLINE)
    (folder,) = (client.folder / "wandb").glob("offline-run-*")
    for arguments in ((), ("--include-synced",)):
        done = client.command("sync", *arguments, str(folder))
        assert done.returncode == 0, done.stderr
        run = tracker.Api(overrides={"store": str(client.store)}).run("local/p/offline")
        rows = run.history(pandas=False)
        assert [(row["_step"], row["x"]) for row in rows] == [(step, step) for step in range(5)]
        assert run.state == "finished"
