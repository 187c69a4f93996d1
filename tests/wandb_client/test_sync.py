"""Runs of the real client that were logged to files come to the server, whole and once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker

pytestmark = pytest.mark.wandb_client

PART = """
import sys, wandb
name, mode, begin, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with wandb.init(project="p", id=name, mode=mode, resume="allow", config={f"from_{begin}": begin}) as run:
    for step in range(begin, end):
        run.log({"x": step})
        print("line", step)
    run.summary["end"] = end
"""
ENDLESS = """
import pathlib, sys, time, wandb
run = wandb.init(project="p", id=sys.argv[1], mode="offline")
step = 0
while not pathlib.Path("enough").exists():
    run.log({"x": step, "text": 100 * "x"})
    step += 1
    time.sleep(0.001)
run.finish()
"""


def run_of(client: Any, run: str) -> Any:
    """Return a run that has arrived."""
    return tracker.Api(overrides={"store": str(client.store)}).run(f"local/p/{run}")


def steps(client: Any, run: str) -> list[int]:
    """Return the steps of a run, whose values must be the same."""
    rows = run_of(client, run).history(pandas=False)
    assert all(row["x"] == row["_step"] for row in rows)
    return [row["_step"] for row in rows]


def folders(client: Any) -> list[Path]:
    """Return the folders of offline runs, the oldest first."""
    return sorted((client.folder / "wandb").glob("offline-run-*"))


def sync(client: Any, *arguments: str | Path, ending: str = "Finished syncing") -> None:
    done = client.command("sync", *map(str, arguments))
    assert re.search(ending, done.stderr), done.stderr


def start_endless(client: Any, run: str) -> Any:
    """Start an offline run that logs until the file ``enough`` exists; wait until it has written rows."""
    process = client.start("-c", ENDLESS, run)
    files = lambda: (client.folder / "wandb").glob(f"offline-run-*/run-{run}.wandb")  # noqa: E731
    scripts.wait_for(lambda: any(each.stat().st_size > 50_000 for each in files()), "rows", 60)
    return process


def test_a_killed_run_is_synced(client: Any) -> None:
    process = start_endless(client, "killed")
    process.kill()
    process.communicate()
    counts = set()
    for arguments in ((), ("--include-synced",)):
        # The file may end inside of a record.
        sync(client, *arguments, *folders(client), ending="Finished syncing|ends with an incomplete record")
        arrived = steps(client, "killed")
        assert arrived == [*range(len(arrived))]
        counts.add(len(arrived))
    assert len(counts) == 1
    assert counts.pop() > 100
    assert run_of(client, "killed").state == "failed"


def test_a_run_in_parts_is_synced(client: Any) -> None:
    client.run(PART, "parts", "offline", "0", "5")
    client.run(PART, "parts", "offline", "5", "10")
    sync(client, *folders(client))
    assert steps(client, "parts") == [*range(10)]
    client.run(PART, "parts", "online", "10", "15")
    client.run(PART, "parts", "offline", "15", "20")
    sync(client, folders(client)[-1])
    assert steps(client, "parts") == [*range(20)]
    run = run_of(client, "parts")
    assert {f"from_{begin}": begin for begin in (0, 5, 10, 15)}.items() <= dict(run.config).items()
    assert (run.state, run.summary["end"]) == ("finished", 20)
    lines = run._reader.console("local", "p", "parts").lines
    assert [line.text for line in lines] == [f"line {step}" for step in range(20)]


@pytest.mark.nightly  # the client writes its file every 15 seconds
def test_a_run_is_synced_while_it_is_logged(client: Any) -> None:
    process = start_endless(client, "live")
    syncing = client.start("-m", "wandb", "beta", "sync", "--live", "--yes", *map(str, folders(client)))
    api = tracker.Api(overrides={"store": str(client.store)})
    live = lambda: [run.lastHistoryStep for run in api.runs("local/p") if run.id == "live"]  # noqa: E731
    scripts.wait_for(lambda: max(live(), default=-1) > 0, "rows", 100)
    first = live()[0]
    scripts.wait_for(lambda: live()[0] > first, "more rows", 100)
    assert (process.poll(), run_of(client, "live").state) == (None, "running")
    (client.folder / "enough").touch()
    for each in (process, syncing):
        output, errors = each.communicate(timeout=100)
        assert each.returncode == 0, output + errors
    arrived = steps(client, "live")
    assert arrived == [*range(len(arrived))]
    assert run_of(client, "live").state == "finished"
