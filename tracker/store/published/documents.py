"""Documents of a project as published files: saved views, reports and notes. The catalog lacks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tracker.errors import NotFoundError
from tracker.ground import values
from tracker.ground.documents import Document, DocumentInfo
from tracker.ground.parsed_types import Count, Time, prepare
from tracker.store.objects.layout import Layout
from tracker.store.published.models import FORMAT, read_published_model

KINDS = ("views", "reports", "notes")


class PublishedDocument(msgspec.Struct):
    """``documents/ENTITY/PROJECT/KIND/ID.json``."""

    format: int
    entity: str
    project: str
    kind: str
    id: str
    name: str
    owner: str | None
    version: Count
    created_at: Time
    updated_at: Time
    content: Any


prepare(PublishedDocument)


def list_documents(layout: Layout, entity: str, project: str, kind: str) -> list[DocumentInfo]:
    """Return the documents of a kind, the last changed first. Files that are damaged are left out.

    Args:
        layout: The paths of the store.
        entity: Entity of the project.
        project: Name of the project.
        kind: One of ``KINDS``.
    """
    found = []
    for path in layout.list_documents(entity, project, kind):
        try:
            found.append(_describe(read_published_model(path, PublishedDocument)))
        except (ValueError, OSError):
            continue  # `tracker verify --all` reports the file
    return sorted(found, key=lambda each: (-each.updated_at, each.id))


def read_document(layout: Layout, entity: str, project: str, kind: str, document_id: str) -> Document:
    """Return a document with its content.

    Args:
        layout: The paths of the store.
        entity: Entity of the project.
        project: Name of the project.
        kind: One of ``KINDS``.
        document_id: Id of the document.

    Raises:
        NotFoundError: The document does not exist.
    """
    path = layout.document(entity, project, kind, document_id)
    try:
        return describe_document(read_published_model(path, PublishedDocument))
    except FileNotFoundError:
        raise NotFoundError(f"there is no document {kind}/{document_id} in {entity}/{project}") from None


def describe_document(found: PublishedDocument) -> Document:
    """Return the record of a document with its content."""
    info = _describe(found)
    return Document(**{name: getattr(info, name) for name in DocumentInfo.__slots__}, content=found.content)


def size_of(content: Any) -> int:
    """Return the size of a document's content in bytes, as JSON."""
    return len(values.dumps(content).encode("utf-8", "replace"))


def is_document(path: Path) -> bool:
    """Return whether a path in a store is that of a document."""
    return path.parent.name in KINDS and path.parents[3].name == "documents"


def _describe(found: PublishedDocument) -> DocumentInfo:
    return DocumentInfo(
        found.entity,
        found.project,
        found.kind,
        found.id,
        found.name,
        found.owner,
        found.version,
        size_of(found.content),
        found.created_at,
        found.updated_at,
    )


def new_document(
    place: tuple[str, str, str, str], name: str, owner: str | None, content: Any, now: float
) -> PublishedDocument:
    """Return the first version of a document.

    Args:
        place: Entity, project, kind and id.
        name: Name of the document.
        owner: Name of the person who makes the document.
        content: The content: see ``Document``.
        now: Time in unix seconds.
    """
    return PublishedDocument(FORMAT, *place, name, owner, 1, now, now, content)
