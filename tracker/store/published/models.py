"""Typed records of published files, which ``tracker.store.published`` and ``tracker.store.ingest`` write.

Fields that older files lack have defaults. Unknown fields are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tracker.errors import StoreVersionError
from tracker.ground import values
from tracker.ground.parsed_types import (
    Count,
    Digest,
    DigestOrEmpty,
    Integer,
    RelativePath,
    Time,
    Token,
    prepare,
)
from tracker.runstate.collection import VersionState
from tracker.runstate.edits import Edits
from tracker.runstate.fold import SegmentState

FORMAT = 1


class PublishedPart(msgspec.Struct):
    """A Parquet file with history rows of a segment."""

    path: RelativePath
    rows: Integer
    first_row: Integer
    last_row: Integer
    size: Integer


class PublishedCapture(msgspec.Struct):
    """A Parquet file with samples (kind ``system``) or output (``console``) of a segment."""

    kind: str
    path: RelativePath
    rows: Integer
    first_row: Integer
    last_row: Integer
    size: Integer


class PublishedSegment(msgspec.Struct):
    """A segment in ``run.json``.

    Attributes:
        sequence: Number of the first record whose effects are not all in published files.
        captured: Files of samples and output. The file has this field only if there are any.
        state: State of the fold. The file has this field only if the segment is sealed.
    """

    segment: Token
    rank: Integer = 0
    attempt: Integer = 0
    started_at: Time = 0.0
    start_step: Integer = 0
    ended: str | None = None
    sealed: bool = False
    sequence: Integer = 0
    parts: list[PublishedPart] = []
    captured: list[PublishedCapture] = []
    state: SegmentState | None = None


class PublishedFile(msgspec.Struct):
    """A file of a run in ``run.json``."""

    path: str
    sha256: Digest
    size: Count
    mimetype: str


class PublishedUse(msgspec.Struct):
    """An artifact version that a run used."""

    entity: str
    project: str
    name: str
    version: Integer
    used_at: Time


class PublishedLogged(msgspec.Struct):
    """An artifact version that a run logged.

    Attributes:
        entity: Entity of the collection; empty if the collection is in the run's project.
        project: Project of the collection; empty if it is the run's project.
    """

    name: str
    version: Count
    type: str
    digest: str
    manifest: DigestOrEmpty
    created_at: Time
    segment: Token
    sequence: Integer
    entity: str = ""
    project: str = ""


class PublishedName(msgspec.Struct, kw_only=True):
    """The identity of a run in ``run.json``, and the versions that the run logged. Older files lack these."""

    format: int
    entity: str
    project: str
    id: str
    versions: list[PublishedLogged] = []


class PublishedRun(msgspec.Struct, kw_only=True):
    """``run.json``, with the fields in the order of the file.

    Catalog revision 0002 added ``number``, ``uses``, ``edits`` and ``revision``. Older files also lack
    ``versions``.
    """

    format: int
    entity: str
    project: str
    id: str
    number: Integer | None = None
    name: str
    state: str
    created_at: Time
    updated_at: Time
    finished_at: Time | None
    duration: float
    last_step: Integer | None
    exit_code: Integer | None
    error: str | None
    reason: str | None = None
    last_seen: Time | None = None
    group: str | None
    job_type: str | None
    tags: list[str]
    notes: str | None
    host: str | None
    program: str | None
    config: dict[str, Any]
    summary: dict[str, Any]
    edits: Edits = {}
    revision: Integer = 0
    files: list[PublishedFile]
    uses: list[PublishedUse] | None = None
    versions: list[PublishedLogged] = []
    segments: list[PublishedSegment]

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        for segment in content["segments"]:
            for field in ("captured", "state"):
                if not segment[field]:
                    del segment[field]
        return content


class PublishedVersion(VersionState, kw_only=True):
    """``versions/N.json``. Before catalog revision 0003, files had ``entries`` instead of ``file_count``."""

    format: int
    entries: list[Any] = []
    file_count: Integer = -1

    def __post_init__(self) -> None:
        if self.file_count < 0:
            self.file_count = len(self.entries)


class PublishedAlias(msgspec.Struct):
    """``aliases/NAME.json``."""

    alias: str
    version: Integer
    moved_at: Time = 0.0


class PublishedDeletion(msgspec.Struct):
    """``deleted.json``: the time of a run's deletion, and the segments that the run had then."""

    format: int
    entity: str
    project: str
    id: str
    time: Time
    segments: list[Token] = []


class PublishedMove(msgspec.Struct):
    """A move of a run: its time, the target, and the segments that the run had then."""

    time: Time
    entity: str
    project: str
    segments: list[Token]


class PublishedMoves(msgspec.Struct):
    """``moved.json``: the moves of runs with this id away from this project, the oldest first."""

    format: int
    entity: str
    project: str
    id: str
    moves: list[PublishedMove]


class KeptVersion(msgspec.Struct):
    """An artifact version that was deleted together with its run, and the aliases that it had."""

    entity: str
    project: str
    name: str
    version: Count
    manifest: DigestOrEmpty
    aliases: list[str] = []


class KeptRun(msgspec.Struct, kw_only=True):
    """``deleted/TOKEN.json``: a deleted run that can be restored.

    Attributes:
        deleted_at: Time of the deletion.
        keep_until: Garbage collection deletes the run after this time.
        versions: Artifact versions that were deleted together with the run.
        former: The tombstone of an earlier run with the same id.
        run: The run at the time of its deletion. All its segments are sealed.
    """

    format: int
    deleted_at: Time
    keep_until: Time
    versions: list[KeptVersion] = []
    former: PublishedDeletion | None = None
    run: PublishedRun

    @property
    def token(self) -> str:
        """The name of the file: the smallest segment id of the run, as no other run has this segment."""
        return min(each.segment for each in self.run.segments)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        return {**content, "run": self.run.to_json()}


class PublishedCollection(msgspec.Struct):
    """``collection.json``."""

    format: int
    entity: str
    project: str
    name: str
    description: str | None = None
    tags: list[str] = []
    updated_at: Time = 0.0


prepare(PublishedRun, PublishedName, PublishedVersion, PublishedAlias, PublishedDeletion, PublishedCollection)
prepare(KeptRun, PublishedMoves)
T = TypeVar("T")


def read_published_model(path: Path, kind: type[T]) -> T:
    """Return the content of a published file as a record of type ``kind``.

    Raises:
        ValueError: The file is damaged.
        OSError: The file cannot be read.
        StoreVersionError: A newer tracker wrote the file.
    """
    try:
        plain = values.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    found = plain.get("format", FORMAT) if isinstance(plain, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise StoreVersionError(
            f"{path} has format {found}, this tracker reads up to {FORMAT}: "
            "upgrade airgap-tracker to read it. Nothing was changed."
        )
    return msgspec.convert(plain, kind)  # msgspec.ValidationError is a ValueError
