"""Reading a run while its parts are merged and removed: the answer is the state at the begin of the read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import Writer, apply_all, get_run, segment_id
from sqlalchemy import event, select
from sqlalchemy.orm import ORMExecuteState, Session

from tracker.errors import StoreError
from tracker.store.catalog.models import HotRow, Part, Run
from tracker.store.history import compaction
from tracker.store.ingest import apply
from tracker.store.queries import history
from tracker.store.queries.charts import chart
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of 50 rows and more."""
    monkeypatch.setattr(apply, "HOT_ROWS", 50)
    monkeypatch.setattr(apply, "BATCH_BYTES", 5000)
    monkeypatch.setattr(compaction, "SMALLEST_CLASS", 50)


def parts_of(store: Store, segment: str) -> list[Path]:
    with store.reading() as session:
        at = segment_id(store, segment)
        return [store.root / path for path in session.scalars(select(Part.path).where(Part.segment_id == at))]


class Resumed:
    """A run of two attempts. Readers read the first attempt's rows before the second attempt's parts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        first = Writer(store.layout, A)
        first.log({"y": -1.0})
        self._second = Writer(store.layout, B, attempt=1, start_step=1)
        self.rows = 1
        self.grow()

    def grow(self) -> None:
        """Log rows in the second attempt until it has another part."""
        before = parts_of(self._store, B) if self.rows > 1 else []
        while self.rows == 1 or parts_of(self._store, B) == before:
            for _ in range(20):
                self._second.log({"y": float(self.rows)})
                self.rows += 1
            apply_all(self._store)

    def merge(self) -> None:
        """Merge the parts of the second attempt, as its recorder would. All former parts are gone then."""
        before = parts_of(self._store, B)
        while set(before) & set(parts_of(self._store, B)):
            self.grow()
            compaction.compact(self._store, segment_id(self._store, B))


def read(
    store: Store, question: Callable[[Session, Run], Any], between: Callable[[], None]
) -> tuple[Any, int]:
    """Run a query, and call ``between`` after the first attempt is read.

    Returns the answer, and how often the query was run.
    """
    run = get_run(store)
    first, asked = segment_id(store, A), 0

    def ask(session: Session) -> Any:
        nonlocal asked
        asked += 1

        def before_query(state: ORMExecuteState) -> None:
            query: Any = state.statement
            if HotRow.__table__ in query.get_final_froms() and first in query.compile().params.values():
                between()

        event.listen(session, "do_orm_execute", before_query)
        return question(session, run)

    return store.answer(ask), asked


def count_rows(store: Store) -> Callable[[Session, Run], int]:
    return lambda session, run: len(history.rows(session, run, store.root))


def count_cells(store: Store) -> Callable[[Session, Run], int]:
    return lambda session, run: len(history.table(session, run, store.root))


def count_points(store: Store) -> Callable[[Session, Run], int]:
    return lambda session, run: len(chart(store, session, run, ["y"], points=20_000)[0].columns["x"])


@pytest.mark.parametrize("question", [count_rows, count_cells, count_points])
def test_parts_that_are_merged_while_others_are_read(
    store: Store, question: Callable[[Store], Callable[[Session, Run], int]]
) -> None:
    run = Resumed(store)
    before, merged = run.rows, []

    def merge() -> None:
        old = parts_of(store, B)
        run.merge()
        merged.append(not any(path.exists() for path in old))

    found, asked = read(store, question(store), merge)
    assert merged == [True]
    assert (found, asked) == (before, 1)


def test_a_missing_part_that_the_catalog_names_is_reported(store: Store) -> None:
    Resumed(store)
    (part, *_) = parts_of(store, B)
    part.unlink()
    asked = 0

    def ask(session: Session) -> Any:
        nonlocal asked
        asked += 1
        return history.rows(session, get_run(store), store.root)

    with pytest.raises(StoreError, match=r"\.parquet'\): restore the file from a backup"):
        store.answer(ask)
    assert asked == 1  # the part was not merged, so a retry would not help


def test_a_merged_part_is_not_reported_as_lost(store: Store) -> None:
    """The rows are in another part. The query is retried with the current catalog, as often as needed."""
    run = Resumed(store)
    late = 0

    def ask(session: Session) -> int:
        nonlocal late
        pieces = history.visible_sources(session, get_run(store), store.root)
        if late < 5:
            late += 1
            run.merge()
        return sum(len(part.path.read_bytes()) > 0 for piece in pieces for part in piece.parts)

    assert store.answer(ask) == len(parts_of(store, B))
    assert late == 5
