"""Tests of ``tracker rebuild`` together with real recorders, servers and scripts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import scripts
from serving import command, serving

from tracker.api.api import Api
from tracker.store.objects.layout import Layout

SCRIPT = """
import os, sys, tracker
run = tracker.init(project="p", id=sys.argv[1] if len(sys.argv) > 1 else "run", name="as logged", tags=["t"])
for value in range(50):
    run.log({"x": value, "y": {"nested": value / 3}})
artifact = tracker.Artifact("model", "model")
with artifact.new_file("weights") as file:
    file.write(run.id)
run.log_artifact(artifact, aliases=["best"]).wait()
run.use_artifact("model:best")
"""
WAITS = SCRIPT + "print('logged', flush=True)\nsys.stdin.readline()\nrun.finish()\n"
DIES = SCRIPT + "os._exit(3)\n"


def look(folder: Path) -> dict[str, Any]:
    """Return everything that ``Api`` of a new process reads from a store."""
    api = Api({"project": "p", "store": folder / "tracker-store"})
    found: dict[str, Any] = {}
    for run in api.runs():
        run.load()
        found[run.id] = {
            **msgspec.to_builtins(run._info),
            "history": run.history(pandas=False),
            "logged": [artifact.name for artifact in run.logged_artifacts()],
        }
    for artifact in api.artifact_versions("model", "model"):
        detail = api._reader.artifact("local", "p", "model", artifact.version)
        found[artifact.name] = msgspec.to_builtins(detail)
    api._reader.close()
    return found


def rebuild(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command after the last recorder has closed the store."""

    def done() -> subprocess.CompletedProcess[str] | None:
        ran = command("rebuild", folder=folder)
        return None if " is in use: " in ran.stderr else ran

    return scripts.wait_for(done, "the recorder to leave")


@pytest.mark.slow
def test_rebuild_from_end_to_end(tmp_path: Path) -> None:
    store = tmp_path / "tracker-store"
    for code in (SCRIPT + "run.finish()", DIES.replace('"run"', '"dead"')):
        scripts.run(code, tmp_path, check=False)
    api = Api({"project": "p", "store": store})
    run = api.run("dead")
    run.name, run.notes = "as edited", "died of os._exit"
    run.update()
    api._reader.close()
    scripts.wait_for(lambda: not Layout(store).list_journals(), "both runs to be sealed")
    key = command("key", folder=tmp_path).stdout.strip()
    before = look(tmp_path)
    assert before["dead"]["state"] == "crashed"
    assert before["model:v1"]["used_by"][0]["id"] == "dead"
    done = rebuild(tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert re.search(
        r"catalog rebuilt from 2 run files and 2 artifact versions; 0 journal records", done.stdout
    )
    assert "API keys recovered: 1" in done.stdout
    assert look(tmp_path) == before
    for damaged in (b"", b"garbage" * 5000):
        for path in store.glob("catalog.db*"):
            path.unlink()
        if damaged:
            (store / "catalog.db").write_bytes(damaged)
        done = rebuild(tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert "API keys recovered: 1" in done.stdout  # from people.json
        assert ("kept as catalog.db.broken" in done.stdout) == bool(damaged)
        assert look(tmp_path) == before
    for file in (store / "catalog.db", store / "people.json"):
        file.unlink()
    done = rebuild(tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "API keys could not be recovered" in done.stdout
    with serving(store, key=True) as server:
        address = f"{server.url}/api/v1/projects"
        assert httpx.get(address, headers={"Authorization": f"Bearer {key}"}, trust_env=False).is_client_error
        assert server.key is not None  # the server found no key and created one


def test_unsealed_runs_of_dead_writers_are_applied_and_sealed(tmp_path: Path) -> None:
    scripts.run(DIES, tmp_path, check=False, TRACKER_JOURNAL_ONLY="1")
    layout = Layout(tmp_path / "tracker-store")
    assert layout.list_journals()
    done = rebuild(tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert re.search(r"; 5\d journal records applied", done.stdout)
    found = look(tmp_path)
    assert (found["run"]["state"], len(found["run"]["history"])) == ("crashed", 50)
    assert layout.list_journals() == []


@pytest.mark.slow
def test_refused_while_a_recorder_or_a_server_uses_the_store(tmp_path: Path) -> None:
    writing = scripts.start(WAITS, tmp_path)
    assert writing.stdout is not None
    assert writing.stdout.readline() == "logged\n"
    refused = scripts.wait_for(
        lambda: (done := command("rebuild", folder=tmp_path)).returncode == 1 and done, "the recorder"
    )
    assert refused.stderr.count("\n") == 1
    assert "is in use: a recorder follows a run; wait until the run has ended" in refused.stderr
    writing.communicate("\n", timeout=60)
    assert writing.returncode == 0
    assert rebuild(tmp_path).returncode == 0
    with serving(tmp_path / "tracker-store"):
        refused = command("rebuild", folder=tmp_path)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "is in use: a server or another program has it open; stop it, then try again" in refused.stderr
    assert rebuild(tmp_path).returncode == 0


@pytest.mark.slow
def test_active_run_without_a_recorder_loses_nothing(tmp_path: Path) -> None:
    writing = scripts.start(WAITS, tmp_path, TRACKER_JOURNAL_ONLY="1")
    assert writing.stdout is not None
    assert writing.stdout.readline() == "logged\n"
    for _ in range(2):
        assert rebuild(tmp_path).returncode == 0
        found = look(tmp_path)
        assert (found["run"]["state"], len(found["run"]["history"])) == ("running", 50)
        assert [name for name in found if name.startswith("model")] == ["model:v0"]
    writing.communicate("\n", timeout=60)
    assert rebuild(tmp_path).returncode == 0
    assert look(tmp_path)["run"]["state"] == "finished"


@pytest.mark.slow
def test_damaged_run_file_is_reported_in_one_line_with_status_1(tmp_path: Path) -> None:
    for name in ("whole", "torn"):
        scripts.run(SCRIPT.replace('"run"', f'"{name}"') + "run.finish()", tmp_path)
    layout = Layout(tmp_path / "tracker-store")
    scripts.wait_for(lambda: not layout.list_journals(), "both runs to be sealed")
    file = layout.run_file("local", "p", "torn")
    file.write_text(file.read_text()[:-20])
    examined = command("doctor", folder=tmp_path)
    assert examined.returncode == 1
    assert f"{file} cannot be read" in examined.stdout
    done = rebuild(tmp_path)
    assert done.returncode == 0, done.stderr  # the catalog has the content of the file
    assert f"written again from the former catalog: 1; the first is {file}" in done.stdout
    assert "files        every run and version has its file" in command("doctor", folder=tmp_path).stdout
    file.write_text(file.read_text()[:-20])
    (layout.root / "catalog.db").unlink()
    done = rebuild(tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"tracker: {file} cannot be read and was left out: ")
    found = look(tmp_path)
    assert sorted(found) == ["model:v0", "model:v1", "whole"]
    assert len(found["whole"]["history"]) == 50


@pytest.mark.slow
def test_several_processes_rebuild_a_lost_catalog_once(tmp_path: Path) -> None:
    scripts.run(SCRIPT + "run.finish()", tmp_path)
    store = tmp_path / "tracker-store"
    scripts.wait_for(lambda: not Layout(store).list_journals(), "the run to be sealed")
    before = look(tmp_path)
    assert rebuild(tmp_path).returncode == 0  # no process has the catalog open now
    for path in store.glob("catalog.db*"):
        path.unlink()
    code = (
        "import sys, tracker\nprint('ready', flush=True); sys.stdin.readline()\n"
        "from tracker.api.api import Api\n"
        "print([len(run.history(pandas=False)) for run in Api().runs('p')])"
    )
    processes = [scripts.start(code, tmp_path) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("\n", timeout=60) for process in processes]
    assert [out for out, _ in answers] == ["[50]\n"] * 4, answers
    assert "".join(said for _, said in answers).count("was gone: rebuilt from published files") == 1
    assert look(tmp_path) == before


def test_rebuild_without_a_store_fails(tmp_path: Path) -> None:
    done = command("rebuild", "--store", str(tmp_path / "nowhere"), folder=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"tracker: there is no store at \S+nowhere: .*\n", done.stderr)
    assert json.dumps([str(path) for path in tmp_path.iterdir()]) == "[]"
