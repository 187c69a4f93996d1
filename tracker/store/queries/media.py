"""Media and tables of a run: steps at which a key was logged, and what stands there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker import values
from tracker.answers import MediaItem, MediaStep, TablePage
from tracker.errors import NotFoundError
from tracker.store.models import Run, RunFile
from tracker.store.queries.history import rows
from tracker.store.store import Store


def media(store: Store, session: Session, run: Run, key: str) -> list[MediaStep]:
    """Return the images logged under ``key``, by step."""
    found = []
    for row in rows(session, run, store.root, [key]):
        items = _items(row[key])
        if items:
            found.append(MediaStep(row["_step"], items))
    return found


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
    """Return a page of the table logged under ``key`` at ``step`` (default: the last one).

    Raises:
        NotFoundError: There is no table there, or its content is not in the store.
    """
    logged = {
        row["_step"]: row[key]
        for row in rows(session, run, store.root, [key])
        if isinstance(row[key], dict) and row[key].get("_type") == "table-file"
    }
    if not logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r}")
    at = max(logged) if step is None else step
    if at not in logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r} at step {at}")
    path = logged[at]["path"]
    content = values.loads(store.blobs.read(run_file(session, run, path).sha256))
    data = content["data"]
    return TablePage(
        key, at, sorted(logged), path, content["columns"], len(data), data[offset : offset + limit]
    )


def run_file(session: Session, run: Run, path: str) -> RunFile:
    """Return the catalog's entry of a run's file.

    Raises:
        NotFoundError: The run has no such file.
    """
    found = session.get(RunFile, (run.id, path))
    if found is None:
        raise NotFoundError(f"run {run.run_id} has no file {path}")
    return found


def list_files(session: Session, run: Run) -> list[RunFile]:
    """Return all files of a run, by path."""
    return list(session.scalars(select(RunFile).where(RunFile.run_id == run.id).order_by(RunFile.path)))


def _items(value: Any) -> list[MediaItem]:
    if not isinstance(value, dict):
        return []
    if value.get("_type") == "image-file":
        return [
            MediaItem(
                value["path"],
                value.get("caption"),
                value.get("width"),
                value.get("height"),
                value.get("size"),
            )
        ]
    if value.get("_type") == "images/separated":
        captions = value.get("captions") or [None] * len(value["filenames"])
        return [
            MediaItem(path, caption, value.get("width"), value.get("height"), None)
            for path, caption in zip(value["filenames"], captions, strict=True)
        ]
    return []
