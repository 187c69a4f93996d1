"""Files that the real wandb, MLflow and Trackio wrote, compared with what their own readers say."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scripts
from imported import import_all, rows

import tracker

pytestmark = [pytest.mark.importers, pytest.mark.usefixtures("without_recorder")]

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_IMPORTERS_PYTHON") or scripts.ROOT / ".venv-importers/bin/python")

# A run with everything that the client writes.
WANDB = """
import sys, wandb, numpy as np
from PIL import Image
run = wandb.init(project="real", mode="offline", id="full", name="first", tags=["a"], notes="note", group="g",
                 job_type="train", config={"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}})
run.define_metric("val/*", step_metric="epoch")
run.define_metric("acc", summary="max")
run.config.update({"late": 3})
for i in range(300):
    run.log({"loss": 1 / (i + 1), "acc": (i % 7) / 7, "nested": {"a": i, "b": {"c": i * 2}}, "text": f"t{i}",
             "nan": float("nan"), "inf": float("-inf"), "flag": i % 2 == 0, "none": None, "uni\u00e9": i,
             "list": [i, 2], "quoted": 'a "b"'})
    if i % 5 == 0:
        run.log({"epoch": i // 5, "val/loss": i * 0.5})
        print("line", i)
        print(f"\\rprogress {i}", end="", file=sys.stderr)
image = wandb.Image(np.zeros((4, 5, 3), dtype=np.uint8), caption="black")
table = wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])
run.log({"img": image, "tab": table, "hist": wandb.Histogram([1, 2, 3]), "html": wandb.Html("<b>x</b>")})
run.log({"curve": wandb.plot.line(wandb.Table(columns=["x", "y"], data=[[1, 2], [3, 4]]), "x", "y")})
run.summary["best"] = 0.9
run.summary["deep"] = {"x": {"y": 1}}
open("saved.txt", "w").write("hello")
run.save("saved.txt")
artifact = wandb.Artifact("model", "model", metadata={"k": 1}, description="d")
open("weights.bin", "wb").write(bytes(range(256)) * 4000)
artifact.add_file("weights.bin")
artifact.add_reference("https://example.org/data", name="link", checksum=False)
with artifact.new_file("sub/new.txt") as file:
    file.write("new")
run.log_artifact(artifact, aliases=["best", "latest"])
run.alert("title", "text", level="WARN")
run.tags += ("b",)
run.name = "renamed"
run.finish()
"""

WANDB_MORE = """
import wandb
def go(**options):
    run = wandb.init(project="real", mode="offline", **options)
    for i in range(3):
        run.log({"x": i + 10 * options.get("config", {}).get("n", 0)})
    run.finish()
go(id="again", config={"n": 0})
go(id="again", config={"n": 1}, resume="must")
go(id="fork", fork_from="again?_step=1", config={"n": 2})
go(resume_from="again?_step=4", config={"n": 3})
run = wandb.init(project="real", mode="offline", id="typed",
                 settings=wandb.Settings(x_history_value_encoding="json,typed"))
run.log({"i": -3, "f": 2.5, "t": "h\u00e9", "b": True, "n": None, "nan": float("nan"), "l": [1, 2],
         "d": {"k": {"m": 5}}})
run.finish(exit_code=3)
"""

MLFLOW = """
import json, sys
import mlflow
from mlflow.tracking import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("exp: one/two")
with mlflow.start_run(run_name="first", tags={"team": "vision"}, description="notes") as run:
    mlflow.log_params({"lr": 0.1, "name": "adam", "flag": True})
    for i in range(20):
        mlflow.log_metric("train/loss", 1 / (i + 1), step=i)
    mlflow.log_metrics({"nan": float("nan"), "inf": float("inf"), "low": -float("inf")}, step=3)
    mlflow.log_metric("twice", 1, step=1)
    mlflow.log_metric("twice", 2, step=1)
    mlflow.log_text("hello", "sub/a.txt")
with mlflow.start_run(run_name="child", nested=False) as other:
    mlflow.log_metric("x", 1)
client = MlflowClient()
client.set_terminated(other.info.run_id, "FAILED")
def told():
    found = client.get_run(run.info.run_id)
    run_id = found.info.run_id
    metrics = {key: [[m.step, m.timestamp, m.value] for m in client.get_metric_history(run_id, key)]
               for key in found.data.metrics}
    return {"id": run_id, "params": found.data.params, "metrics": metrics, "other": other.info.run_id}
json.dump(told(), open("reported.json", "w"))
"""

MLFLOW_MORE = """
import sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
client.log_metric(sys.argv[2], "train/loss", 9.0, step=20)
client.log_metric(sys.argv[2], "late", 1.0, step=2)
"""

TRACKIO = """
import json, os
import numpy as np
import trackio
run = trackio.init(project="demo", name="first", config={"lr": 0.1, "deep": {"a": 1}}, embed=False)
for i in range(10):
    row = {"loss": 1 / (i + 1), "nan": float("nan"), "inf": float("inf"), "nested": {"a": i}}
    trackio.log(row, step=i * 2)
trackio.log({"img": trackio.Image(np.zeros((4, 5, 3), dtype=np.uint8), caption="c"),
             "hist": trackio.Histogram([1, 2, 3])}, step=20)
trackio.log_system({"gpu": 1.5})
trackio.alert(title="alert", text="text", level=trackio.AlertLevel.WARN)
trackio.finish()
from trackio.sqlite_storage import SQLiteStorage
logs = SQLiteStorage.get_logs("demo", "first")
json.dump(logs, open("reported.json", "w"), default=str)
"""


def run(code: str, folder: Path, *arguments: str) -> Any:
    """Run a script with the real libraries; return what it reported."""
    if not PYTHON.is_file():
        pytest.fail(f"there is no {PYTHON}: run `python3 dev.py test -m importers`", pytrace=False)
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(code)
    variables = {
        name: each for name, each in os.environ.items() if not name.startswith(("TRACKER_", "WANDB_"))
    }
    variables.pop("PYTHONPATH", None)
    variables |= {"HOME": str(folder), "WANDB_SILENT": "true", "TRACKIO_DIR": str(folder / "trackio")}
    variables |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [PYTHON, "script.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    reported = folder / "reported.json"
    return json.loads(reported.read_text()) if reported.is_file() else None


def wandb_says(folder: Path, run_id: str, *options: str) -> str:
    """Return what wandb's own reader prints about a run."""
    (path,) = folder.glob(f"wandb/offline-run-*-{run_id}")
    command = [PYTHON.with_name("wandb"), "leet", "inspect", "--json", *options, path]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts with dotted keys, as wandb's reader prints them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def plain(value: Any) -> Any:
    """Return a value in which NaN and infinity are texts, as wandb's reader prints them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def test_a_run_of_the_real_client_is_as_its_own_reader_says(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    run(WANDB, folder)
    (result,), found = import_all("wandb", folder)
    assert (result.problems, found.problems) == ([], [])
    told = [json.loads(line) for line in wandb_says(folder, "full").splitlines()]
    history = [each["history"]["item"] for each in told if each["type"] == "history"]
    ours = tracker.Api().run("real/full")
    mine = [{key: plain(value) for key, value in flat(row).items()} for row in ours.scan_history()]
    assert len(mine) == len(history) == 362
    for row, theirs in zip(mine, history, strict=True):
        theirs.pop("_runtime"), row.pop("_runtime")  # tracker's is the time since the start of the run
        assert row == flat(theirs)
    summary = json.loads(wandb_says(folder, "full", "--summary"))
    assert ours.config == summary["config"]
    assert (ours.name, ours.tags, ours.notes, ours.group, ours.job_type, ours.state) == (
        "renamed", ["a", "b"], "note", "g", "train", "finished",
    )  # fmt: skip
    assert (ours.summary["best"], ours.summary["deep"], ours.summary["acc"]) == (
        0.9,
        {"x": {"y": 1}},
        {"max": 6 / 7},
    )
    printed = [(line.content, line.level) for line in ours.console_logs()]
    assert [text for text, level in printed if not level] == [f"line {i}" for i in range(0, 300, 5)]
    assert ("progress 295", "error") in printed
    stats = [each["stats"]["item"] for each in told if each["type"] == "stats"]
    system = ours.history(stream="system", pandas=False)
    assert [row["system.memory_percent"] for row in system] == [each["memory_percent"] for each in stats]
    row = next(row for row in ours.scan_history() if row.get("img"))
    files = next((folder / "wandb").glob("offline-run-*")) / "files"
    for value in (row["img"], row["tab"], row["html"]):
        with ours.file(value["path"]).download(root=tmp_path / "down") as file:
            assert Path(file.name).read_bytes() == (files / value["path"]).read_bytes()
    assert "curve" in ours.rawconfig["_wandb"]["visualize"]
    artifact = tracker.Api().artifact("real/model:best")
    assert (artifact.metadata, artifact.description, artifact.aliases) == ({"k": 1}, "d", ["best", "latest"])
    theirs = next(each["artifact"] for each in told if each.get("artifact", {}).get("name") == "model")
    assert artifact.digest == theirs["digest"]
    place = Path(artifact.download(root=tmp_path / "model", allow_missing_references=True))
    assert (place / "weights.bin").read_bytes() == (folder / "weights.bin").read_bytes()
    assert (place / "sub/new.txt").read_text() == "new"
    assert sorted(each.name for each in ours.logged_artifacts()) == [
        "model:v0", "run-full-curve_table:v0", "run-full-tab:v0",
    ]  # fmt: skip
    shutil.copytree(folder / "wandb", tmp_path / "copy", symlinks=True)
    assert [each.status for each in import_all("wandb", tmp_path / "copy", folder)[0]] == ["unchanged"] * 2


def test_resumed_rewound_forked_and_typed_runs_of_the_real_client(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    run(WANDB_MORE, folder)
    results, _ = import_all("wandb", folder)
    assert not any(each.problems for each in results)
    again = [(row["_step"], row["x"]) for row in rows("real/again")]
    assert again == [(0, 0), (1, 1), (2, 2), (3, 10), (4, 11), (5, 30), (6, 31), (7, 32)]
    fork = [(row["_step"], row["x"]) for row in rows("real/fork")]
    assert fork == [(0, 0), (1, 1), (2, 20), (3, 21), (4, 22)]
    (typed,) = rows("real/typed")
    assert math.isnan(typed.pop("nan"))
    values = {"i": -3, "f": 2.5, "t": "h\u00e9", "b": True, "n": None, "l": [1, 2], "d": {"k": {"m": 5}}}
    assert typed == {**values, "_step": 0}
    assert tracker.Api().run("real/typed").state == "failed"


@pytest.mark.parametrize("kind", ["folder", "sqlite"])
def test_runs_of_mlflow_are_as_its_client_says(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "real"
    address = f"file://{folder}/mlruns" if kind == "folder" else f"sqlite:///{folder}/mlflow.db"
    place = folder / ("mlruns" if kind == "folder" else "mlflow.db")
    told = run(MLFLOW, folder, address)
    results, _ = import_all("mlflow", place)
    assert [each.problems for each in results] == [[], []]
    path = f"exp- one-two/{told['id']}"
    ours = tracker.Api().run(path)
    assert {key: str(value) for key, value in ours.config.items()} == told["params"]
    expected = {
        key: sorted((step, as_logged(value)) for step, _, value in each)
        for key, each in told["metrics"].items()
    }
    assert series(path) == {**expected, "nan": [(3, "NaN")]}
    assert (ours.name, ours.tags, ours.notes, ours.state) == ("first", ["team=vision"], "notes", "finished")
    with ours.file("sub/a.txt").download(root=tmp_path / "down", replace=True) as file:
        assert file.read() == "hello"
    assert tracker.Api().run(f"exp- one-two/{told['other']}").state == "failed"
    assert {each.status for each in import_all("mlflow", place)[0]} == {"unchanged"}
    run(MLFLOW_MORE, folder, address, told["id"])
    results, _ = import_all("mlflow", place)
    assert sorted((each.status, each.rows) for each in results) == [("added", 2), ("unchanged", 0)]
    expected["train/loss"].append((20, 9.0))
    assert series(path) == {**expected, "nan": [(3, "NaN")], "late": [(2, 1.0)]}


def series(path: str) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for row in rows(path):
        for key, value in row.items():
            if key != "_step" and value is not None:
                found.setdefault(key, []).append((row["_step"], plain(value)))
    return found


def as_logged(value: float) -> Any:
    """Return the logged value. MLflow's database, and so its client, has the largest number for infinity."""
    return plain(math.copysign(math.inf, value) if abs(value) > 1e308 else value)


def test_runs_of_trackio_are_as_its_storage_says(tmp_path: Path) -> None:
    told = run(TRACKIO, tmp_path / "real")
    (result,), _ = import_all("trackio", tmp_path / "real/trackio")
    assert result.problems == []
    (ours,) = tracker.Api().runs("demo")
    assert (ours.name, ours.config) == ("first", {"lr": 0.1, "deep": {"a": 1}})
    mine = rows(f"demo/{ours.id}")
    assert len(mine) == len(told) == 11
    for row, theirs in zip(mine[:10], told, strict=False):
        assert (row["_step"], row["loss"], row["nested"]) == (
            theirs["step"],
            theirs["loss"],
            theirs["nested"],
        )
        assert math.isnan(row["nan"]) and row["inf"] == math.inf
    image = mine[10]["img"]
    (file,) = (tmp_path / "real/trackio/media").rglob("*.png")
    with ours.file(image["path"]).download(root=tmp_path / "down") as kept:
        assert Path(kept.name).read_bytes() == file.read_bytes()
    assert mine[10]["hist"]["bins"] == told[10]["hist"]["bins"]
    assert ours.history(stream="system", pandas=False)[0]["system.gpu"] == 1.5
    assert [(each.title, each.level) for each in tracker.Api().run(f"demo/{ours.id}")._info.alerts] == [
        ("alert", "WARN")
    ]
    assert import_all("trackio", tmp_path / "real/trackio")[0][0].status == "unchanged"
