"""Frozen records about the documents of a project: saved views, reports and notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document of a project, without its content.

    Attributes:
        entity: Entity of the project.
        project: Project of the document.
        kind: ``"views"`` (a saved view of the dashboard), ``"reports"`` or ``"notes"``.
        id: Id of the document, unique in its project and kind. The notes of a project have the id ``notes``.
        name: Name of the document.
        owner: Name of the person who made the document; None if it is not known.
        version: Number of the version: 1 for a new document, and one more with each change.
        size: Size of the content in bytes, as JSON.
        created_at: Time of the first version in unix seconds.
        updated_at: Time of this version in unix seconds.
    """

    entity: str
    project: str
    kind: str
    id: str
    name: str
    owner: str | None
    version: int
    size: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Document(DocumentInfo):
    """A document of a project.

    Attributes:
        content: For a view: a dict. For notes: Markdown text. For a report: a list of blocks,
            ``{"type": "markdown", "text": TEXT}`` or ``{"type": "panel", "panel": DICT}``.
    """

    content: Any = None
