"""Published files read back as typed records: what ``tracker.store.published`` and ``artifacts`` wrote.

Fields that older files lack have defaults; fields that are not known here are passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tracker import values
from tracker.errors import StoreVersionError
from tracker.store.fold import SegmentState

FORMAT = 1


class PublishedPart(msgspec.Struct):
    """A Parquet file of a segment."""

    path: str
    rows: int
    first_row: int
    last_row: int
    size: int


class PublishedCapture(msgspec.Struct):
    """A Parquet file with samples (kind ``system``) or output (``console``) of a segment."""

    kind: str
    path: str
    rows: int
    first_row: int
    last_row: int
    size: int


class PublishedSegment(msgspec.Struct):
    """A segment in ``run.json``; ``state`` is there once it is sealed."""

    segment: str
    rank: int = 0
    attempt: int = 0
    started_at: float = 0.0
    start_step: int = 0
    ended: str | None = None
    sealed: bool = False
    sequence: int = 0
    parts: list[PublishedPart] = []
    captured: list[PublishedCapture] = []
    state: SegmentState | None = None


class PublishedFile(msgspec.Struct):
    """A file of a run."""

    path: str
    sha256: str
    size: int
    mimetype: str


class PublishedUse(msgspec.Struct):
    """An artifact version that a run used."""

    entity: str
    project: str
    name: str
    version: int
    used_at: float


class PublishedRun(msgspec.Struct):
    """``run.json``. ``number``, ``uses``, ``edits`` and ``revision`` came with catalog revision 0002."""

    format: int
    entity: str
    project: str
    id: str
    name: str
    state: str
    created_at: float
    updated_at: float
    finished_at: float | None
    duration: float
    last_step: int | None
    exit_code: int | None
    error: str | None
    group: str | None
    job_type: str | None
    tags: list[str]
    notes: str | None
    host: str | None
    program: str | None
    config: dict[str, Any]
    summary: dict[str, Any]
    files: list[PublishedFile]
    segments: list[PublishedSegment]
    number: int | None = None
    uses: list[PublishedUse] | None = None
    edits: dict[str, Any] = {}
    revision: int = 0


class PublishedVersion(msgspec.Struct):
    """``versions/N.json``. Files written before catalog revision 0003 have ``entries`` for ``file_count``."""

    format: int
    entity: str
    project: str
    name: str
    type: str
    digest: str
    size: int
    description: str | None
    metadata: dict[str, Any]
    created_at: float
    logged_by: str | None
    segment: str
    sequence: int
    manifest: str
    entries: list[Any] = []
    file_count: int | None = None
    tags: list[str] = []
    updated_at: float = 0.0
    expires_at: float | None = None
    deleted_at: float | None = None
    source: str | None = None


class PublishedAlias(msgspec.Struct):
    """``aliases/NAME.json``."""

    alias: str
    version: int


class PublishedDeletion(msgspec.Struct):
    """``deleted.json``: when a run was deleted, and its segments then."""

    format: int
    entity: str
    project: str
    id: str
    time: float
    segments: list[str] = []


class PublishedCollection(msgspec.Struct):
    """``collection.json``."""

    format: int
    entity: str
    project: str
    name: str
    description: str | None = None
    tags: list[str] = []
    updated_at: float = 0.0


T = TypeVar("T")


def reread(path: Path, kind: type[T]) -> T:
    """Return what a published file says.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be read.
        StoreVersionError: A newer tracker wrote it.
    """
    try:
        plain = values.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    found = plain.get("format", FORMAT) if isinstance(plain, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise StoreVersionError(
            f"{path} has format {found}, this tracker reads up to {FORMAT}: "
            "upgrade airgap-tracker to rebuild the catalog. Nothing was changed."
        )
    return msgspec.convert(plain, kind)  # its ValidationError is a ValueError
