"""Changes of the documents of a project: saved views, reports and notes.

A document is one file, which a rename replaces. A write transaction of the catalog serializes the changes of
all processes, although the catalog does not have the documents. Each change names the version that its editor
read, so that no editor overwrites the change of another one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import EditConflictError, NotFoundError, UsageError
from tracker.ground.documents import Document
from tracker.ground.values import dumps, to_plain, without_surrogates
from tracker.store.catalog.models import Project
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.published.documents import (
    KINDS,
    PublishedDocument,
    describe_document,
    new_document,
    size_of,
)
from tracker.store.published.models import read_published_model
from tracker.store.store import Store

LARGEST_CONTENT = 1024 * 1024
LARGEST_NUMBER_OF_DOCUMENTS = 500
LONGEST_NAME = 1000
# The notes of a project are one document, with this id.
NOTES = "notes"


def create_document(
    store: Store, entity: str, project: str, kind: str, name: str, content: Any, owner: str | None = None
) -> Document:
    """Create a document and return it.

    Args:
        store: The store.
        entity: Entity of the project.
        project: Name of the project.
        kind: ``"views"``, ``"reports"`` or ``"notes"``.
        name: Name of the document.
        content: The content: see ``Document``.
        owner: Name of the person who makes the document.

    Raises:
        NotFoundError: The project does not exist.
        UsageError: A value is invalid, or the project has too many documents.
        EditConflictError: The project has notes already.
    """
    content = _checked(kind, name, content)
    owner = _checked_owner(owner)
    document_id = NOTES if kind == "notes" else os.urandom(8).hex()
    with _exclusive(store) as session:
        _require_project(session, entity, project)
        if len(store.layout.list_documents(entity, project, kind)) >= LARGEST_NUMBER_OF_DOCUMENTS:
            raise UsageError(
                f"{entity}/{project} has {LARGEST_NUMBER_OF_DOCUMENTS} {kind}, the limit: delete some"
            )
        place = (entity, project, kind, document_id)
        if store.layout.document(*place).exists():
            raise EditConflictError(f"{entity}/{project} has {kind} already: change these")
        return _publish(store, new_document(place, without_surrogates(name), owner, content, time.time()))


def update_document(
    store: Store,
    entity: str,
    project: str,
    kind: str,
    document_id: str,
    version: int,
    name: str | None = None,
    content: Any = None,
) -> Document:
    """Change a document and return its new version.

    Args:
        store: The store.
        entity: Entity of the project.
        project: Name of the project.
        kind: ``"views"``, ``"reports"`` or ``"notes"``.
        document_id: Id of the document.
        version: The version that the editor read.
        name: New name; None to keep the name.
        content: New content: see ``Document``; None to keep the content.

    Raises:
        NotFoundError: The document does not exist.
        EditConflictError: The document has another version.
        UsageError: A value is invalid.
    """
    with _exclusive(store):
        found = _read(store, entity, project, kind, document_id, version)
        found.name = found.name if name is None else without_surrogates(name)
        found.content = _checked(kind, found.name, found.content if content is None else content)
        found.version += 1
        found.updated_at = time.time()
        return _publish(store, found)


def delete_document(
    store: Store, entity: str, project: str, kind: str, document_id: str, version: int
) -> None:
    """Delete a document. See ``update_document`` for arguments and errors."""
    with _exclusive(store):
        _read(store, entity, project, kind, document_id, version)
        store.check_lease()
        store.layout.document(entity, project, kind, document_id).unlink()


def copy_document(store: Store, document: PublishedDocument, *, dry_run: bool = False) -> bool:
    """Add a document of another store, unless this store has it with a later change.

    Args:
        store: The store. It has the project of the document.
        document: The document.
        dry_run: Change nothing.

    Returns:
        Whether the document was added or replaced, or would be.
    """
    path = store.layout.document(document.entity, document.project, document.kind, document.id)
    with _exclusive(store):
        with suppress(FileNotFoundError, ValueError):
            if read_published_model(path, PublishedDocument).updated_at >= document.updated_at:
                return False
        if not dry_run:
            _publish(store, document)
    return True


@contextmanager
def _exclusive(store: Store) -> Iterator[Session]:
    with store.writing() as session:
        session.connection()  # a transaction takes the lock only when it is used
        yield session


def _read(
    store: Store, entity: str, project: str, kind: str, document_id: str, version: int
) -> PublishedDocument:
    try:
        path = store.layout.document(entity, project, kind, document_id)
        found = read_published_model(path, PublishedDocument)
    except FileNotFoundError:
        raise NotFoundError(f"there is no document {kind}/{document_id} in {entity}/{project}") from None
    if found.version != version:
        raise EditConflictError(
            f"{kind}/{document_id} has version {found.version}, and the change is for version {version}: "
            "read the document again, and repeat the change"
        )
    return found


def _publish(store: Store, document: PublishedDocument) -> Document:
    store.check_lease()
    path = store.layout.document(document.entity, document.project, document.kind, document.id)
    publish_checksummed(store.layout.new_temporary(), path, document)
    return describe_document(document)


def _require_project(session: Session, entity: str, project: str) -> None:
    found = select(Project.id).where(Project.entity == entity, Project.name == project)
    if session.scalar(found) is None:
        raise NotFoundError(f"there is no project {entity}/{project} in this store")


def _checked(kind: str, name: str, content: Any) -> Any:
    """Return the plain form of a valid content."""
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r:.80}: use {', '.join(KINDS)}")
    if not name.strip() or len(name) > LONGEST_NAME:
        raise UsageError(f"a document's name is a string of 1 to {LONGEST_NAME} characters")
    if kind == "views" and not isinstance(content, dict):
        raise UsageError(f"the content of a view is an object, not {content!r:.80}")
    if kind == "notes" and not isinstance(content, str):
        raise UsageError(f"the content of notes is Markdown text, not {content!r:.80}")
    if kind == "reports" and not (isinstance(content, list) and all(map(_is_block, content))):
        raise UsageError(
            'the content of a report is a list of {"type": "markdown", "text": TEXT} and '
            f'{{"type": "panel", "panel": OBJECT}}, not {content!r:.80}'
        )
    try:
        plain = to_plain(content)
        dumps(plain).encode()
    except (TypeError, UnicodeEncodeError, RecursionError):
        raise UsageError("the content is not valid JSON, or is nested too deeply") from None
    if (size := size_of(plain)) > LARGEST_CONTENT:
        raise UsageError(f"the content has {size} bytes, more than {LARGEST_CONTENT}")
    return plain


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or len(block) != 2:
        return False
    if block.get("type") == "markdown":
        return isinstance(block.get("text"), str)
    return block.get("type") == "panel" and isinstance(block.get("panel"), dict)


def _checked_owner(owner: str | None) -> str | None:
    if owner is not None and not 0 < len(owner) <= LONGEST_NAME:
        raise UsageError(f"an owner is a string of 1 to {LONGEST_NAME} characters")
    return None if owner is None else without_surrogates(owner)
