"""Checks that a store contains every acknowledged call exactly once after a crash test."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tracker.crashtest.writer import ENTITY, KEYS, PROJECT, Killed
from tracker.errors import NotFoundError
from tracker.ground import values
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.blobs.content import BlobStore


class Found(NamedTuple):
    """The result of a comparison of a store with the acknowledged calls.

    Attributes:
        lines: One line for each fault; empty if there is none.
        calls: Number of calls in the store.
        unacknowledged: Number of those calls that were written but killed before they returned.
        tables: Number of tables that were read.
        digests: SHA-256 of everything that the store answers about a run, by run.
    """

    lines: list[str]
    calls: int
    unacknowledged: int
    tables: int
    digests: dict[str, str]


def check(root: Path, acknowledged: dict[str, int]) -> Found:
    """Compare a store with the calls that the writers acknowledged.

    Args:
        root: Folder of the store.
        acknowledged: Number of the last call that had returned, by run.
    """
    store = open_store(root, create=False)
    reader = LocalReader(store)
    lines: list[str] = []
    digests: dict[str, str] = {}
    calls = extra = tables = 0
    listed = reader.runs(ENTITY, PROJECT, limit=1, offset=0, order="-created_at").total
    if listed != len(acknowledged):
        lines.append(f"{len(acknowledged)} runs were started, but the store has {listed}")
    for run_id, last in acknowledged.items():
        try:
            detail = reader.run(ENTITY, PROJECT, run_id)
        except NotFoundError:
            lines.append(f"{run_id}: {last + 1} calls had returned; {_difference([], last)}")
            continue
        rows = reader.history(ENTITY, PROJECT, run_id, None, False)
        digests[run_id] = _digest(detail, rows)
        seen = numbers(rows)
        calls += len(seen)
        expected = range(last + 1)
        if detail.state != "crashed":
            lines.append(f"{run_id}: the writer was killed, but the state is {detail.state!r}")
        if seen == [*expected, last + 1]:
            extra += 1  # the kill came after the write, but before the writer could report it
        elif seen != list(expected):
            lines.append(f"{run_id}: {last + 1} calls had returned; {_difference(seen, last)}")
        tables += _check_tables(store.blobs, run_id, rows, lines)
    store.close()
    return Found(lines, calls, extra, tables, digests)


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    """Return the sorted numbers of the calls in a history, with repetitions."""
    return sorted(row[key] for row in rows for key in KEYS if row.get(key) is not None)


def compare(first: dict[str, str], second: dict[str, str], names: str) -> list[str]:
    """Return one line for each run that differs between two stores.

    Args:
        first: Digests of the first store, by run.
        second: Digests of the second store, by run.
        names: Names of the two stores for the lines.
    """
    return [
        f"{run}: the stores {names} answer differently"
        for run in sorted(first.keys() | second.keys())
        if first.get(run) != second.get(run)
    ]


def acknowledged_by(killed: list[Killed]) -> dict[str, int]:
    """Return the number of the last call that had returned, by run."""
    return {each.run_id: each.acknowledged for each in killed}


def _digest(detail: Any, rows: list[dict[str, Any]]) -> str:
    # The last sign of life of a killed writer is the time of its journal file: copies differ.
    segments = [msgspec.to_builtins(each) | {"ended_at": None} for each in detail.segments]
    plain = msgspec.to_builtins(detail) | {"last_seen": None, "segments": segments}
    answer = values.dumps([plain, rows], sort_keys=True)
    return hashlib.sha256(answer.encode()).hexdigest()


def _difference(seen: list[int], last: int) -> str:
    missing = sorted(set(range(last + 1)) - set(seen))
    beyond = sorted(number for number in set(seen) if number > last + 1)
    twice = sorted({number for at, number in enumerate(seen) if at and seen[at - 1] == number})
    parts = [("missing", missing), ("never made", beyond), ("stored twice", twice)]
    return "; ".join(f"{word}: {_few(found)}" for word, found in parts if found)


def _few(found: list[int]) -> str:
    return f"{', '.join(map(str, found[:10]))}{f' and {len(found) - 10} more' if len(found) > 10 else ''}"


def _check_tables(blobs: BlobStore, run_id: str, rows: list[dict[str, Any]], lines: list[str]) -> int:
    count = 0
    for row in rows:
        table = row.get("table")
        if table is None:
            continue
        number = row["k7"]
        try:
            content = values.loads(blobs.read(table["sha256"]))["data"]
        except (NotFoundError, OSError, ValueError, KeyError) as error:
            lines.append(f"{run_id}: the table of call {number} cannot be read: {error}")
            continue
        count += 1
        if content != [[number]]:
            lines.append(f"{run_id}: the table of call {number} contains {content}")
    return count
