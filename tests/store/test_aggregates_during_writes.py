"""Aggregates of an earlier attempt are computed while other processes can write to the catalog."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from builders import ENTITY, PROJECT, Writer, apply_all, seal_all, segment_id

from tracker.ground.records import MetricDefined
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import FinishedRow
from tracker.store.catalog import sqlite
from tracker.store.history import compaction
from tracker.store.ingest import apply, run_row
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.store import Store

A, B = "e" * 32, "f" * 32
SECONDS = 30.0


class Reads:
    """Replaces the function that reads rows: each read waits until the test allows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_continue = threading.Semaphore(0), threading.Semaphore(0)
        self._own = run_row.read_source
        monkeypatch.setattr(run_row, "read_source", self._read)

    def _read(self, *given: Any) -> Iterator[FinishedRow]:
        self.begun.release()
        assert self.may_continue.acquire(timeout=SECONDS)
        yield from self._own(*given)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Make each read of rows wait for the test."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 1)
    return Reads(monkeypatch)


def resume(first: Writer) -> Writer:
    """Resume a run: the second attempt defines the metric of the first one's rows."""
    second = Writer(first.layout, B, start=first.clock + 1, attempt=1, start_step=100)
    second.put(MetricDefined("loss", summary=["min"]))
    second.log({"loss": 3.0})
    return second


def test_another_process_writes_while_rows_are_read(store: Store, reads: Reads) -> None:
    first = Writer(store.layout, A)
    first.log({"loss": 1.0})
    first.finish()
    apply_all(store)
    seal_all(store)
    resume(first)
    other = open_store(store.root)
    applying = threading.Thread(target=apply_all, args=(store,))
    applying.start()
    assert reads.begun.acquire(timeout=SECONDS)
    try:
        apply_edit(other, make_edit(ENTITY, PROJECT, "run1", {"notes": "meanwhile"}))
    finally:
        reads.may_continue.release()
        applying.join()
    run = LocalReader(other).run(ENTITY, PROJECT, "run1")
    assert (run.summary["loss"], run.notes) == ({"min": 1.0}, "meanwhile")
    other.close()


@pytest.mark.parametrize("often", [1, run_row.ATTEMPTS])
def test_rows_that_are_logged_meanwhile_count(store: Store, reads: Reads, often: int) -> None:
    first = Writer(store.layout, A)
    first.log({"loss": 9.0})
    (journal,) = store.layout.list_journals()
    apply_all(store)
    resume(first)
    other = open_store(store.root)
    applying = threading.Thread(target=apply_all, args=(store,))
    applying.start()
    try:
        for value in range(often):
            assert reads.begun.acquire(timeout=SECONDS)
            first.log({"loss": 1.0 - value})
            assert apply.apply_journal(other, journal).records == 1
            reads.may_continue.release()
    finally:
        reads.may_continue.release()  # for one more read, as the rows have changed since the last one
        applying.join()
    assert LocalReader(other).run(ENTITY, PROJECT, "run1").summary["loss"] == {"min": 2.0 - often}
    other.close()


def test_parts_that_are_merged_meanwhile_count(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "HOT_ROWS", 5)
    first = Writer(store.layout, A)
    for value in range(20):
        first.log({"loss": 20.0 - value})
        apply_all(store)
    resume(first)
    applying = threading.Thread(target=apply_all, args=(store,))
    parts = set(store.root.rglob(f"{A}-*.parquet"))
    assert len(parts) > 1
    applying.start()
    assert reads.begun.acquire(timeout=SECONDS)
    other = open_store(store.root)
    compaction.compact_all(other, segment_id(other, A))
    assert not parts & set(store.root.rglob(f"{A}-*.parquet"))
    reads.may_continue.release()
    reads.may_continue.release()
    applying.join()
    assert LocalReader(other).run(ENTITY, PROJECT, "run1").summary["loss"] == {"min": 1.0}
    other.close()
