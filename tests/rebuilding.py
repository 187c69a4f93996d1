"""Rebuilding a store's catalog, and comparing the whole content of the store before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders import ENTITY, all_rows, answers
from sqlalchemy import select

from tracker.ground import values
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Part, Run, Rung, Segment
from tracker.store.queries import charts, runs
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import Rebuilt, rebuild
from tracker.store.store import Store


@pytest.fixture
def small_parts() -> Iterator[None]:
    """Make parts and overview ladders from a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.store.ingest.apply.HOT_ROWS", 6)
        patch.setattr("tracker.store.history.ladder.LADDER_ROWS", 6)
        yield


def again(store: Store) -> tuple[Store, Rebuilt]:
    """Close the store, rebuild its catalog, and open it."""
    store.close()
    with hold_exclusively(store.layout) as hold:
        found = rebuild(store.layout, hold)
    return open_store(store.root, create=False), found


def lose_catalog(store: Store) -> None:
    """Close the store and remove its catalog."""
    store.close()
    for path in store.root.glob("catalog.db*"):
        path.unlink()


def everything(store: Store) -> dict[str, Any]:
    """Return the answers of the queries, with charts, ladders, row counts and published artifact files."""
    found: dict[str, Any] = {"answers": answers(store)}
    with store.reading() as session:
        for run in session.scalars(select(Run)):
            keys = [key.key for key in runs.run_detail(session, ENTITY, run.project.name, run.run_id).keys]
            lines = charts.chart(store, session, run, keys or ["none"], points=4)
            found[f"chart of {run.project.name}/{run.run_id}"] = [
                (line.key, line.kind, {name: list(column) for name, column in line.columns.items()})
                for line in lines
            ]
        parts = {part.id: part.path for part in session.scalars(select(Part))}
        found["rungs"] = sorted(
            (parts[rung.part_id], rung.key, rung.bucket_rows, rung.data.hex())
            for rung in session.scalars(select(Rung))
            if _is_sealed(session, rung.part_id)
        )
        found["rows"] = {
            name: len(all_rows(store, name)) for name in session.scalars(select(Segment.segment))
        }
    found["published"] = {
        str(path.relative_to(store.root)): values.loads(path.read_bytes())
        for path in sorted((store.root / "artifacts").rglob("*.json"))
    }
    return found


def _is_sealed(session: Any, part_id: int) -> bool:
    """Return whether a part belongs to a sealed segment. Other parts are written again, under other names."""
    segment = session.get_one(Segment, session.get_one(Part, part_id).segment_id)
    return bool(segment.sealed)


def shown(found: dict[str, Any]) -> str:
    """Return a result of ``everything`` as text, in which NaN equals NaN."""
    return values.dumps(json.loads(json.dumps(found, default=str)), indent=1, sort_keys=True)
