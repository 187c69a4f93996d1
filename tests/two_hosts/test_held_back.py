"""Writers on a network mount, whose rows reach the journal every 50 ms: killed writers, and a lost host."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import scripts
from mounts import sshfs_of, two_mounts

from tracker.ground.records import Row, decode
from tracker.journal.reader import Corrupt, Frame, read_frames
from tracker.recorder.tails import list_tails, recover_tails
from tracker.store.objects.layout import Layout

pytestmark = pytest.mark.mounts

KILLS = 12
# Logs rows and prints the number of each row after `log()` has returned.
WRITER = """
import os, sys, tracker
run = tracker.init(project="p", id=sys.argv[1], settings={"silent": True, "x_disable_stats": True})
at = 0
while True:
    run.log({"x": at, "pad": "y" * (at * 7919 % 300)})
    os.write(1, b"%d\\n" % at)
    at += 1
"""


@contextmanager
def writing(mount: Path, run_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a writer in a mount, and wait for its first row."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, run_id],
        cwd=mount,
        env=scripts.environment(TRACKER_X_DISABLE_META="true"),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"0\n"
            yield process
        finally:
            process.kill()


def last_acknowledged(process: subprocess.Popen[bytes]) -> int:
    """Return the number of the last row whose ``log()`` returned in a writer that was killed."""
    assert process.stdout is not None
    last = process.stdout.read().split(b"\n")[-2]
    return int(last)


def rows(mount: Path) -> list[int]:
    """Return the numbers of the rows in the journals of one run, in their order."""
    found, sequence = [], 0
    for journal in Layout(mount / "tracker-store").list_journals():
        for outcome in read_frames(journal.path, journal.segment, sequence=sequence, final=True):
            assert not isinstance(outcome, Corrupt), outcome
            if isinstance(outcome, Frame):
                sequence = outcome.sequence + 1
                record = decode(outcome.payload)
                if isinstance(record, Row):
                    found.append(record.data["x"])
    return found


def test_killed_writers_lose_nothing_that_log_has_accepted(tmp_path: Path) -> None:
    with two_mounts(tmp_path) as (here, _):
        there = tmp_path / "shared"  # what other hosts see when their caches have expired
        chance, waited = random.Random(3), 0
        for number in range(KILLS):
            shutil.rmtree(here / "tracker-store", ignore_errors=True)
            with writing(here, f"run{number}") as writer:
                time.sleep(chance.uniform(0, 0.3))  # the moment of the kill
                writer.kill()
                last = last_acknowledged(writer)
            # Another host sees the rows up to some row: no row is missing or repeated before it.
            before = rows(there)
            assert before == list(range(len(before)))
            waited += last + 1 - len(before)
            recover_tails(Layout(here / "tracker-store"))
            after = rows(there)
            assert after in (list(range(last + 1)), list(range(last + 2)))
            assert list_tails() == []
        assert waited > 0  # the kills came while rows were held back


def test_a_lost_host_leaves_a_prefix_of_its_rows(tmp_path: Path) -> None:
    """The writer, its mount and its local disk are gone at once."""
    with two_mounts(tmp_path) as (here, _):
        there = tmp_path / "shared"
        with writing(here, "run") as writer:
            scripts.wait_for(lambda: len(rows(there)) > 1000, "rows on another host")
            os.kill(sshfs_of(here), signal.SIGKILL)
            writer.kill()
            last = last_acknowledged(writer)
        for tail in list_tails():
            tail.unlink()
        left = rows(there)
        assert left == list(range(len(left)))
        assert 1000 < len(left) <= last + 2
        print(f"{last + 1 - len(left)} of {last + 1} rows are lost")
