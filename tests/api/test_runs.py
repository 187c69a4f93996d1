"""Runs and lists of runs through ``Api``, as scripts written for wandb use them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tracker
from tracker.api.api import Api


def test_all_path_forms_of_a_run(api: Api) -> None:
    for path in (
        "one",
        "/one/",
        "demo/one",
        "demo:one",
        "team/demo/one",
        "/team/demo/runs/one",
        "team/demo:one",
        "https://wandb.ai/team/demo/runs/one",
        "https://wandb.ai/team/demo/runs/one/workspace",
        "http://localhost:8080/behind/a/proxy/team/demo?run=one",
    ):
        assert api.run(path).path == ["team", "demo", "one"], path


@pytest.mark.parametrize("path", ["", "/", "a/b/c/d/e", "team//one"])
def test_invalid_run_paths(api: Api, path: str) -> None:
    for kind in (tracker.CommError, ValueError, tracker.UsageError):
        with pytest.raises(kind, match="Invalid path"):
            api.run(path)


def test_missing_run(api: Api) -> None:
    for kind in (tracker.CommError, ValueError, tracker.errors.NotFoundError):
        with pytest.raises(kind, match="there is no run team/demo/none"):
            api.run("none")


def test_fields_of_a_run(api: Api) -> None:
    run = api.run("two")
    assert (run.id, run.name, run.display_name, run.displayName) == ("two", "run two", "run two", "run two")
    assert (run.entity, run.username, run.user.username, run.project) == ("team", "team", "team", "demo")
    assert (run.state, run.tags, run.notes, run.description) == ("finished", ["first"], *["some notes"] * 2)
    assert (run.group, run.job_type, run.jobType) == ("g", "train", "train")
    assert (run.sweep, run.sweep_name, run.read_only) == (None, None, False)
    assert run.metadata["host"] == socket.gethostname()
    assert run.commit == run.metadata.get("git", {}).get("commit")
    assert run.config == run.rawconfig == {"lr": 1, "model": {"depth": 2}}
    assert json.loads(run.json_config)["lr"] == {"value": 1, "desc": None}
    assert run.created_at == run.createdAt and run.created_at.endswith("Z") and len(run.created_at) == 20
    assert run.heartbeat_at == run.heartbeatAt >= run.created_at
    assert (run.lastHistoryStep, run.history_line_count, run.historyKeys["lastStep"]) == (9, 10, 9)
    assert run.history_keys["keys"]["loss"]["typeCounts"][0]["count"] == 10
    assert repr(run) == "<Run team/demo/two (finished)>"
    assert set(run.load(force=True)) >= {"id", "displayName", "config", "summaryMetrics", "state"}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = run.nothing
    assert not hasattr(run, "_nothing")
    run.wait_until_finished()


def test_a_summary(api: Api) -> None:
    summary = api.run("two").summary
    assert (summary["loss"], summary.loss, summary.get(" loss "), summary.get("none", 5)) == (
        0.1,
        0.1,
        0.1,
        5,
    )
    assert (summary["nested"]["acc"], summary.nested.acc, "nested" in summary) == (9, 9, True)
    assert (summary["_step"], summary["_wandb"]["runtime"]) == (9, int(summary["_runtime"]))
    assert type(summary._json_dict["nested"]) is dict and json.dumps(summary._json_dict)
    assert summary._json_dict == api.run("two").summary_metrics
    with pytest.raises(KeyError):
        _ = summary["none"]


def test_url_of_a_run(api: Api, served: object) -> None:
    run = api.run("one")
    if api.settings["base_url"] is None:
        assert (run.url, run.to_html(), run.display()) == (None, None, False)
    else:
        assert run.url == f"{api.settings['base_url']}/team/demo?run=one"
        assert f'src="{run.url}"' in run.to_html(height=100)


def test_histories_and_scans(api: Api, tmp_path: Path) -> None:
    run = api.run("one")
    rows = run.history(pandas=False)
    assert [row["_step"] for row in rows] == list(range(10))
    assert [row["_step"] for row in run.history(5, pandas=False)] == [1, 3, 5, 7, 9]
    assert [row["nested.acc"] for row in run.history(keys=["nested.acc"], x_axis="loss", pandas=False)] == [
        1, 3, 5, 7, 9,
    ]  # fmt: skip
    assert all("loss" in row for row in run.history(keys=["nested.acc"], x_axis="loss", pandas=False))
    scan = run.scan_history(["loss", "_step"], 1000, 2, 5)
    assert list(scan) == list(scan) == [{"loss": rows[at]["loss"], "_step": at} for at in (2, 3, 4)]
    assert next(iter(scan))["_step"] == 2 and (scan.min_step, scan.max_step) == (2, 4)
    assert [row["_step"] for row in run.beta_scan_history(page_size=3)] == list(range(10))
    for keys in ("loss", [1], {"loss"}):
        with pytest.raises(ValueError, match="keys"):
            run.scan_history(keys)  # type: ignore[arg-type]
    result = run.download_history_exports(tmp_path / "exports")
    assert (result.contains_live_data, result.errors) == (False, None)
    assert pq.read_table(result.paths).column("loss").to_pylist() == [row["loss"] for row in rows]


def test_a_running_run_has_no_complete_export(tmp_path: Path) -> None:
    run = tracker.init(entity="team", project="demo", id="live", settings={"silent": True})
    run.log({"x": 1})
    found = Api({"entity": "team", "project": "demo"}).run("live")
    with pytest.raises(Exception, match="still running") as raised:
        found.download_history_exports(tmp_path / "exports")
    assert type(raised.value).__name__ == "IncompleteRunHistoryError"
    assert found.download_history_exports(tmp_path / "exports", False).contains_live_data
    run.finish()


def test_lists_of_runs(api: Api) -> None:
    runs = api.runs("team/demo", order="-created_at", per_page=2)
    assert (len(runs), runs.entity, runs.project, runs.per_page, runs.more) == (3, "team", "demo", 2, False)
    assert [run.id for run in runs] == [run.id for run in runs] == ["three", "two", "one"]
    assert (runs[0].id, runs[-1].id, [run.id for run in runs[1:]]) == ("three", "one", ["two", "one"])
    assert (next(runs).id, runs.next().id, next(runs).id, len(runs.objects)) == ("three", "two", "one", 3)
    with pytest.raises(StopIteration):
        next(runs)
    found = api.runs("demo", {"$or": [{"config.lr": 0}, {"display_name": {"$regex": "^run th"}}]}, lazy=False)
    assert {run.id for run in found} == {"one", "three"}
    runs.upgrade_to_full()
    with pytest.raises(tracker.CommError, match="Invalid project path"):
        api.runs("a/b/c")


def test_histories_of_many_runs(api: Api) -> None:
    rows = api.runs().histories(samples=2, keys=["loss"])
    assert [(row["run_id"], row["_step"]) for row in rows] == [
        (name, step) for name in ("one", "two", "three") for step in (4, 9)
    ]
    with pytest.raises(ValueError, match="Invalid format"):
        api.runs().histories(format="csv")
