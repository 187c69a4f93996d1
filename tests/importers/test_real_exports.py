"""Exported folders of wandb: what the real wandb reads in them, and what ``wandb sync`` sends."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from varied_runs import log_runs

import tracker
from tracker.cli.main import main
from tracker.importing.wandb_log import WandbLog

from .test_real_tools import PYTHON, flat, plain, run
from .wandb_receiver import receiving

pytestmark = [pytest.mark.importers, pytest.mark.usefixtures("without_recorder")]

# Decodes all records with wandb's own messages, and reports those with fields that wandb does not know.
DECODE = """
import json
from google.protobuf.unknown_fields import UnknownFieldSet
from wandb.proto import wandb_internal_pb2 as pb
def unknown(message):
    found = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in ([value] if hasattr(value, "ListFields") else value):
                found += unknown(each)
    return found
kinds, wrong = [], 0
for line in open("records.txt"):
    record = pb.Record.FromString(bytes.fromhex(line))
    kinds.append(record.WhichOneof("record_type"))
    wrong += unknown(record)
json.dump({"kinds": kinds, "wrong": wrong}, open("reported.json", "w"))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an exported run."""
    store = tmp_path / "tracker-store"
    monkeypatch.setenv("TRACKER_STORE", str(store))
    log_runs(store, tmp_path)
    main(["export", "demo/full", "--format", "wandb", "-o", "out"])
    (folder,) = (tmp_path / "out").iterdir()
    return folder


def wandb(folder: Path, *arguments: str, **variables: str) -> str:
    """Run the real command ``wandb``."""
    clean = {key: each for key, each in os.environ.items() if not key.startswith(("TRACKER_", "WANDB_"))}
    clean |= {"HOME": str(folder), **variables}
    command = [PYTHON.with_name("wandb"), *arguments]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def our_rows() -> list[dict[str, Any]]:
    rows = tracker.Api().run("demo/full").scan_history()
    return [{key: plain(value) for key, value in flat(row).items()} for row in rows]


def test_wandb_reads_the_exported_run(folder: Path, tmp_path: Path) -> None:
    told = [
        json.loads(line) for line in wandb(tmp_path, "leet", "inspect", "--json", str(folder)).splitlines()
    ]
    history = [flat(each["history"]["item"]) for each in told if each["type"] == "history"]
    assert history == our_rows()
    summary = json.loads(wandb(tmp_path, "leet", "inspect", "--json", "--summary", str(folder)))
    ours = tracker.Api().run("demo/full")
    assert (summary["config"], summary["exit_code"], summary["state"]) == (ours.config, 0, "finished")
    assert (summary["name"], summary["tags"], summary["notes"]) == ("first", ["a"], "note")
    assert (
        flat(summary["summary"]).items()
        >= {key: plain(value) for key, value in flat(ours._info.summary).items()}.items()
    )
    printed = [(each["stream"], each["line"]) for each in summary["console"]]
    assert printed == [("stdout", "out"), ("stderr", "err"), ("stdout", "the hé line")]
    records = [record.hex() for record, _ in WandbLog(folder / "run-full.wandb").records()]
    (tmp_path / "real").mkdir()
    (tmp_path / "real/records.txt").write_text("\n".join(records))
    decoded = run(DECODE, tmp_path / "real")
    assert decoded["wrong"] == 0
    assert decoded["kinds"][:2] == ["header", "run"] and decoded["kinds"][-1] == "exit"
    assert set(decoded["kinds"]) == {
        "header", "run", "metric", "files", "history", "stats", "output_raw", "alert", "artifact", "summary",
        "exit",
    }  # fmt: skip


def test_wandb_sync_sends_the_exported_run(folder: Path, tmp_path: Path) -> None:
    with receiving() as received:
        variables = {"WANDB_BASE_URL": received.url, "WANDB_API_KEY": "local-" + "a" * 40}
        wandb(tmp_path, "sync", str(folder), **variables)
    sent = [json.loads(line) for _, line in sorted(received.lines["wandb-history.jsonl"].items())]
    rows = [{key: plain(value) for key, value in flat(row).items()} for row in sent]
    assert rows == our_rows()
    first = received.inputs("UpsertBucket")[0]
    assert (first["name"], first["displayName"], first["groupName"], first["tags"]) == (
        "full", "first", "g", ["a"],
    )  # fmt: skip
    assert received.ended == 0
    assert [line.rstrip("\n").endswith(text) for (_, line), text in zip(
        sorted(received.lines["output.log"].items()), ("out", "err", "the hé line"), strict=True
    )] == [True] * 3  # fmt: skip
    assert len(received.lines["wandb-events.jsonl"]) == 1
    for path, content in received.uploads.items():
        if path.startswith("media/") or path == "saved.txt":
            assert content == (folder / "files" / path).read_bytes()
    assert received.uploads["saved.txt"] == b"hello"
    assert sum(path.startswith("media/") for path in received.uploads) == 5
    artifacts = {each["artifactCollectionName"] for each in received.inputs("CreateArtifact")}
    assert artifacts == {"model", "run-full-table"}
    assert received.uploads["sub/new.txt"].startswith(b"new ")
    assert [each["title"] for each in received.inputs("NotifyScriptableRunAlert")] == ["title"]
