"""Queries about the media and files of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground import values
from tracker.store.catalog.models import Run, RunFile
from tracker.store.queries.history import open_history
from tracker.store.store import Store

if TYPE_CHECKING:
    from tracker.store.history.ordered import OrderedHistory


def objects(
    store: Store, session: Session, run: Run, key: str, *, limit: int = 300
) -> list[tuple[int, dict[str, Any] | list[Any]]]:
    """Return the dicts and lists (such as media) that were logged under a key, with their steps.

    Args:
        store: The store.
        session: A read transaction.
        run: The run.
        key: The history key.
        limit: The largest number of steps; more steps are reduced to evenly spaced ones.
    """
    with open_history(session, run, store.root, [key]) as opened:
        count = sum(1 for _ in _object_texts(opened, key))
        last = count - 1
        chosen = {round(at * last / max(1, limit - 1)) for at in range(limit)} if count > limit else None
        return [
            (step, values.loads(text))
            for at, (step, text) in enumerate(_object_texts(opened, key))
            if chosen is None or at in chosen
        ]


def _object_texts(opened: OrderedHistory, key: str) -> Iterator[tuple[int, str]]:
    """Yield the steps and the JSON texts of the dicts and lists under a key."""
    from tracker.store.history.columns import EXACT, column_name, kinds_of

    kind, has_exact = kinds_of(opened.schema).get(key, ("", False))
    name = column_name(key) if kind == "json" else EXACT + key
    if kind != "json" and not has_exact:
        return
    for table in opened.tables():
        cells = zip(table.column("_step").to_pylist(), table.column(name).to_pylist(), strict=True)
        for step, text in cells:
            if text is not None and _is_object(text):
                yield step, text


def _is_object(text: str) -> bool:
    """Return whether a JSON text is a dict or a list, and not a marked number."""
    if '"_type":"number"' in text:
        return isinstance(values.loads(text), (dict, list))
    return text.startswith(("[", "{"))


def run_file(session: Session, run: Run, path: str) -> RunFile:
    """Return the catalog row of a run's file.

    Args:
        session: A read transaction.
        run: The run.
        path: The path of the file in the run.

    Raises:
        NotFoundError: The run has no file of this path.
    """
    found = session.get(RunFile, (run.id, path))
    if found is None:
        raise NotFoundError(f"run {run.run_id} has no file {path}")
    return found


def list_files(session: Session, run: Run) -> list[RunFile]:
    """Return the catalog rows of all files of a run, sorted by path."""
    return list(session.scalars(select(RunFile).where(RunFile.run_id == run.id).order_by(RunFile.path)))
