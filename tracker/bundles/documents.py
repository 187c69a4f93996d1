"""Copying the texts of people: views, reports and notes of projects, and descriptions of collections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tracker.store.ingest.collections import copy_collection
from tracker.store.ingest.documents import copy_document
from tracker.store.published.documents import PublishedDocument
from tracker.store.published.models import PublishedCollection, read_published_model
from tracker.store.store import Store

T = TypeVar("T", PublishedDocument, PublishedCollection)


def copy_project_files(source: Store, store: Store, *, dry_run: bool) -> list[str]:
    """Copy the documents of a store, and the descriptions and tags of its collections, to another store.

    Of two changes of the same document or collection, the later one is kept.

    Args:
        source: The store to copy from.
        store: The store to copy to.
        dry_run: Change nothing.

    Returns:
        One line for each document or collection that was changed, or would be.
    """
    done = "would be copied" if dry_run else "copied"
    root = source.layout.source
    lines = [
        f"{each.entity}/{each.project}: {each.kind} {each.name!r} {done}"
        for each in _read(root.glob("documents/*/*/*/*.json"), PublishedDocument)
        if copy_document(store, each, dry_run=dry_run)
    ]
    return lines + [
        f"{each.entity}/{each.project}/{each.name}: description and tags {done}"
        for each in _read(root.glob("artifacts/*/*/*/collection.json"), PublishedCollection)
        if copy_collection(store, each, dry_run=dry_run)
    ]


def _read(paths: Iterator[Path], kind: type[T]) -> Iterator[T]:
    """Yield the content of published files. Damaged files are left out: `tracker verify` reports them."""
    for path in sorted(paths):
        with suppress(ValueError, OSError):
            yield read_published_model(path, kind)
