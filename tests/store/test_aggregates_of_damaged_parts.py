"""Aggregates over attempts when the rows of an earlier attempt cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import ENTITY, PROJECT, Writer, apply_all, seal_all

from tracker.ground.records import MetricDefined
from tracker.reading.local import LocalReader
from tracker.store.ingest import run_row
from tracker.store.store import Store

A, B = "a" * 32, "b" * 32


def test_rows_that_cannot_be_read_are_not_tried_again_for_each_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Writer(store.layout, A)
    first.log({"loss": 1.0})
    first.finish()
    apply_all(store)
    seal_all(store)
    (part,) = store.root.rglob(f"{A}-*.parquet")
    part.unlink()
    asked: list[Path] = []
    own = run_row.read_source
    monkeypatch.setattr(run_row, "read_source", lambda *given: asked.append(part) or own(*given))
    second = Writer(store.layout, B, start=first.clock + 1, attempt=1, start_step=1)
    second.put(MetricDefined("loss", summary=["min"]))
    for value in (3.0, 2.0, 4.0):
        second.log({"loss": value})
        apply_all(store)
    assert len(asked) == 2  # the second time because the part might have been merged
    assert LocalReader(store).run(ENTITY, PROJECT, "run1").summary["loss"] == {"min": 2.0}
