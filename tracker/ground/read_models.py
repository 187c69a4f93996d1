"""What questions to a store are answered with: frozen records, the same locally and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project: how many runs it has, when one of them last changed, when it began (unix seconds)."""

    entity: str
    name: str
    runs: int
    updated_at: float
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as lists show it. Times are unix seconds, ``duration`` is seconds.

    Attributes:
        error: Type and message of the exception that ended it, or what is not known of a silent host.
        reason: Why it did not finish: ``"exception"``, ``"exit status N"``, ``"signal N (NAME)"``,
            ``"time limit"``, ``"process gone"``, ``"host restarted"`` or ``"host silent"``. None: it
            finished, still runs, or an older tracker wrote it.
        last_seen: When the writer of a crashed run was last heard of.
        host: Where the primary writer runs.
    """

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
    tags: list[str]
    group: str | None
    job_type: str | None
    notes: str | None
    config: dict[str, Any]
    summary: dict[str, Any]
    error: str | None
    reason: str | None = None
    last_seen: float | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of a project's runs; ``total`` counts all that match, ``revision`` dates the answer."""

    total: int
    revision: int
    runs: list[RunInfo]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A history key: kind (number, image, media, table, histogram, text, null or other) and extent.

    ``numbers`` says that some of its values are numbers, which a chart shows whatever the others are.
    """

    key: str
    kind: str
    count: int
    last_step: int | None
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What one writer (rank, node) of a run wrote in one attempt.

    Attributes:
        id: Names it in ``history(segment=...)``.
        rank: 0 for the primary writer; a child has its parent's.
        attempt: 0, then one more per resume.
        host: Where it was written.
        started_at: Unix seconds.
        start_step: First step that it gives.
        last_step: Largest step logged, None when there is none.
        rows: How many rows are complete.
        state: As a run's.
        shown: Whether its rows belong to the history that shows by default.
        shown_before: Only those of smaller steps do (None: all): a later attempt logged the others again.
        samples: How many samples of system metrics there are.
        console_lines: How many lines of output.
        child: A process wrote it that was forked from the writer, or handed the run.
    """

    id: str
    rank: int
    attempt: int
    host: str | None
    started_at: float
    start_step: int
    last_step: int | None
    rows: int
    state: str
    shown: bool
    shown_before: int | None
    samples: int = 0
    console_lines: int = 0
    child: bool = False


@dataclass(frozen=True, slots=True)
class AlertInfo:
    """What ``Run.alert`` said: when (unix seconds), and how grave it is (INFO, WARN or ERROR)."""

    time: float
    title: str
    text: str
    level: str


@dataclass(frozen=True, slots=True)
class RunDetail(RunInfo):
    """A run with its history's keys, problems, attempts and their segments, latest system metrics."""

    keys: list[KeyInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    attempts: int = 0
    segments: list[SegmentInfo] = field(default_factory=list)
    alerts: list[AlertInfo] = field(default_factory=list)
    system_metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """What one writer (rank, node) of a run sampled in one attempt.

    Attributes:
        segment: Its id, see ``SegmentInfo``.
        rank: 0 for the primary writer; a child has its parent's.
        attempt: 0, then one more per resume.
        host: Where it was sampled.
        rows: Oldest first: ``_runtime`` (seconds), ``_timestamp`` (unix seconds), and wandb's names, ``cpu``.
        child: See ``SegmentInfo``.
    """

    segment: str
    rank: int
    attempt: int
    host: str | None
    rows: list[dict[str, Any]]
    child: bool = False


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line of a run's output: its place, when it began (unix seconds), ``stdout`` or ``stderr``, text."""

    line: int
    time: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """Some of a run's output; ``total`` counts all lines, ``found`` those that match a search."""

    total: int
    lines: list[OutputLine]
    found: int = 0


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a run.

    Attributes:
        path: Its name.
        size: Bytes.
        mimetype: What it is.
        sha256: Of its content.
        updated_at: When its content was last stored (unix seconds); None when it is not in the store.
    """

    path: str
    size: int
    mimetype: str
    sha256: str
    updated_at: float | None = None


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """Names a run that changed."""

    entity: str
    project: str
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The store's revision, and the runs that changed since the one asked about."""

    revision: int
    runs: list[ChangedRun] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TablePage:
    """Some rows of a table; ``total`` counts all, ``steps`` are those at which the key has tables."""

    key: str
    step: int
    steps: list[int]
    path: str
    columns: list[str | int]
    total: int
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An artifact version.

    Attributes:
        entity: Whose project it is in.
        project: Project of its collection.
        name: The collection.
        type: Such as ``"model"``.
        version: ``v0``, ``v1``, ...
        aliases: Those that name it now, sorted.
        size: Bytes of all files together.
        file_count: How many files.
        digest: Digest over names and contents, equal to wandb's.
        created_at: Unix seconds.
        updated_at: Unix seconds of the last edit.
        description: Free text.
        metadata: Plain values.
        tags: Sorted.
        logged_by: Id of the run that logged it.
        expires_at: Unix seconds after which it may be deleted; None: never.
        source: ``ENTITY/PROJECT/NAME:vN`` of the version that it links to; None for an original.
        manifest: SHA-256 of the blob that lists its files.
    """

    entity: str
    project: str
    name: str
    type: str
    version: str
    aliases: list[str]
    size: int
    file_count: int
    digest: str
    created_at: float
    description: str | None
    metadata: dict[str, Any]
    logged_by: str | None
    manifest: str
    updated_at: float = 0.0
    tags: list[str] = field(default_factory=list)
    expires_at: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class RunName:
    """Names a run."""

    entity: str
    project: str
    id: str


@dataclass(frozen=True, slots=True)
class ArtifactDetail(ArtifactInfo):
    """An artifact version with the runs that used it."""

    used_by: list[RunName] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """An artifact collection: versions of one thing under one name.

    Attributes:
        entity: Whose project it is in.
        project: Its project.
        name: Its name.
        type: Type of all its versions.
        versions: How many versions there are.
        latest: The newest, ``vN``; None without any.
        size: Bytes of all versions together, contents that they share counted each time.
        updated_at: Unix seconds of the newest version.
        description: Free text.
        tags: Sorted.
        created_at: Unix seconds of the oldest version that is not deleted.
    """

    entity: str
    project: str
    name: str
    type: str
    versions: int
    latest: str | None
    size: int
    updated_at: float
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    created_at: float = 0.0
