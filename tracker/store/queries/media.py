"""Queries about the media, tables and files of a run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground import values
from tracker.ground.read_models import TablePage
from tracker.store.catalog.models import Run, RunFile
from tracker.store.queries.history import rows
from tracker.store.store import Store

TABLES = ("table-file", "eval-table", "incremental-table-file")


def table(
    store: Store,
    session: Session,
    run: Run,
    key: str,
    *,
    step: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> TablePage:
    """Return a page of a logged table.

    Args:
        store: The store.
        session: A read transaction.
        run: The run.
        key: The history key of the table.
        step: The step at which the table was logged. None: the last one.
        offset: The first row of the page.
        limit: The largest number of rows.

    Raises:
        NotFoundError: There is no table under this key and step, or its content is not in the store.
    """
    logged = {
        row["_step"]: row[key]
        for row in rows(session, run, store.root, [key])
        if isinstance(row[key], dict) and row[key].get("_type") in TABLES
    }
    if not logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r}")
    at = max(logged) if step is None else step
    if at not in logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r} at step {at}")
    path = logged[at]["path"]
    content = _content(store, session, run, path)
    data = content["data"]
    if logged[at]["_type"] == "incremental-table-file":  # each step has only the rows that were new then
        before = [logged[step] for step in sorted(logged) if step < at]
        data = [row for each in before for row in _content(store, session, run, each["path"])["data"]] + data
    return TablePage(
        key, at, sorted(logged), path, content["columns"], len(data), data[offset : offset + limit]
    )


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
    found = [
        (row["_step"], row[key])
        for row in rows(session, run, store.root, [key])
        if isinstance(row[key], (dict, list))
    ]
    if len(found) <= limit:
        return found
    last = len(found) - 1
    return [found[round(at * last / max(1, limit - 1))] for at in range(limit)]


def _content(store: Store, session: Session, run: Run, path: str) -> dict[str, Any]:
    content: dict[str, Any] = values.loads(store.blobs.read(run_file(session, run, path).sha256))
    return content


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
