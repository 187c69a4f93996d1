"""Tests of ``tracker doctor``: its results, and crash tests that must fail."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import scripts
from serving import command

import tracker
from tracker.ground.processes import host_name
from tracker.store.objects.layout import Layout


def findings(done: object) -> dict[str, tuple[bool, str]]:
    return {each["name"]: (each["good"], each["text"]) for each in json.loads(done.stdout)}  # type: ignore[attr-defined]


def test_folder_without_a_store_is_accepted_and_unchanged(tmp_path: Path) -> None:
    done = command("doctor", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "does not exist yet; the first run creates it" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_doctor_describes_a_store(tmp_path: Path) -> None:
    with tracker.init(project="p", settings={"journal_only": True, "silent": True}) as run:
        run.log({"x": 1})
    done = command("doctor", "--json", folder=tmp_path)
    assert done.returncode == 0
    found = findings(done)
    assert found["catalog"] == (True, "none yet; the next reader creates it")
    assert found["recorder"][1].startswith("not running")
    assert "0.0 MB" in found["journals"][1]
    command("sync", folder=tmp_path)
    assert findings(command("doctor", "--json", folder=tmp_path))["catalog"][1].startswith("revision ")


def test_faults_are_reported_with_status_1(tmp_path: Path) -> None:
    tracker.init(project="p", settings={"journal_only": True, "silent": True}).finish()
    command("sync", folder=tmp_path)
    root = tmp_path / "tracker-store"
    foreign = Layout(root).journal(host_name(), "0" * 32, 0)
    foreign.write_bytes(b"not a journal" * 10)
    with sqlite3.connect(root / "catalog.db") as catalog:
        catalog.execute("UPDATE alembic_version SET version_num = '9999'")
    catalog.close()
    done = command("doctor", folder=tmp_path)
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert "revision 9999 is from a newer tracker" in wrong[0]
    assert "does not begin with a journal header" in wrong[1]


def test_journal_only_host_does_not_keep_the_catalog(tmp_path: Path) -> None:
    done = command("doctor", "--json", folder=tmp_path, TRACKER_JOURNAL_ONLY="1")
    assert findings(done)["file system"][1].endswith("keeps the catalog")


@pytest.mark.slow
def test_crash_test_passes_and_removes_its_files(tmp_path: Path) -> None:
    done = command(
        "doctor", "--crash-test", str(tmp_path), "--kills", "25", "--seed", "5", "--json", folder=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["kills"] == 25
    assert report["kills_inside_a_burst"] >= 23
    assert report["calls_in_the_store"] >= report["acknowledged_calls"] > 25
    assert report["damaged_journals"] > 0
    assert list(tmp_path.iterdir()) == []


def test_crash_test_needs_an_existing_folder(tmp_path: Path) -> None:
    done = command("doctor", "--crash-test", "nowhere", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("tracker: nowhere is not a folder")


SABOTAGED = """
import sys
from pathlib import Path
{sabotage}
from tracker.crashtest.run import crash_test
if __name__ == "__main__":
    folder = Path("evidence"); folder.mkdir()
    for line in crash_test(folder, {kills}, 3, lambda line: None).failures:
        print(line)
"""
BUFFERED = """
from tracker.journal.writer import JournalWriter
import os
held = []
def write(descriptor, data, real=os.write):
    held.append(data)
    if len(held) % 5 == 0:
        for each in held: real(descriptor, each)
        held.clear()
    return len(data)
import tracker.journal.writer as module
class Patched:
    def __getattr__(self, name): return write if name == "write" else getattr(os, name)
module.os = Patched()
"""
BUFFERED_WHOLE = """
import os
class Patched:
    def __getattr__(self, name): return (lambda _, data: len(data)) if name == "write" else getattr(os, name)
import tracker.journal.writer as module
module.os = Patched()
"""
HELD_BACK = "from tracker.sdk.process import run_journal; run_journal.is_network = lambda _: True"
LOST_TAIL = f"""
{HELD_BACK}
from tracker.recorder import follow, tails; tails.recover_tails = follow.recover_tails = lambda *_: 0
"""
SHORT_BURSTS = "from tracker.crashtest import writer; writer.BURST = 3"
TWICE = """
from tracker.store.ingest import apply
from tracker.crashtest import check
plain = check.numbers
check.numbers = lambda rows: plain(rows + rows[:1])
"""
SILENT = """
from tracker.journal import reader
reader._Scanner._gap = lambda self, start, end, reason, following: reader.Corrupt(start, end, reason, None)
"""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("sabotage", "says"),
    [
        pytest.param(BUFFERED, "calls had returned; missing: ", id="a buffer in user space"),
        pytest.param(BUFFERED_WHOLE, "run00003: ", id="a run without a single written byte"),
        pytest.param(SHORT_BURSTS, "kills came inside a burst of writes", id="kills between bursts"),
        pytest.param(TWICE, "stored twice: ", id="rows that are stored twice"),
        pytest.param(LOST_TAIL, "calls had returned; missing: ", id="a tail that is lost"),
        pytest.param(SILENT, "are damaged, but got", id="damage reported without record numbers"),
    ],
)
def test_crash_test_detects_a_fault(tmp_path: Path, sabotage: str, says: str) -> None:
    done = scripts.run(SABOTAGED.format(sabotage=sabotage, kills=10), tmp_path)
    assert says in done.stdout
    assert done.stderr == ""  # every part of the test worked, with a relative path of the folder


@pytest.mark.slow
def test_crash_test_passes_where_rows_wait_in_a_tail(tmp_path: Path) -> None:
    done = scripts.run(SABOTAGED.format(sabotage=HELD_BACK, kills=10), tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
