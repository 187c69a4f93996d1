"""Frozen records that readers of a store return. They are the same locally and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project: its number of runs, the time of their last change, its start time (unix seconds)."""

    entity: str
    name: str
    runs: int
    updated_at: float
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ProjectOverview:
    """States, activity and storage of a project, for a list of projects.

    Attributes:
        states: The number of runs in each state.
        first_day: Start of the first day of ``runs_per_day`` in unix seconds. Days are in UTC.
        runs_per_day: The number of runs that were created on each day. The last day is today.
        versions: The number of artifact versions, without links.
        artifact_bytes: Their total size. A file that versions share counts once for each version.
        private: Whether only members of the project can see it.
    """

    states: dict[str, int]
    first_day: float
    runs_per_day: list[int]
    versions: int
    artifact_bytes: int
    private: bool


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list of runs. Times are in unix seconds, ``duration`` in seconds.

    Attributes:
        error: Type and message of the exception that ended the run. For a silent host: what is not known.
        reason: Why the run did not finish: ``"exception"``, ``"exit status N"``, ``"signal N (NAME)"``,
            ``"time limit"``, ``"process gone"``, ``"host restarted"`` or ``"host silent"``. Of a
            preempting run: why it will be preempted. None if the run finished, if it is running, or if an
            older tracker wrote it.
        last_seen: Time of the last sign of life of a writer that died without recording its end.
        host: Name of the primary writer's host.
        archived: Whether the run is hidden from lists that do not ask for archived runs.
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
    archived: bool = False


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of a project's runs. ``total`` is the number of all matching runs.

    ``revision`` is the store's revision at the time of the query. ``next`` is the cursor of the next page,
    or None if there are no more runs.
    """

    total: int
    revision: int
    runs: list[RunInfo]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key of a run's history.

    ``kind`` is number, image, media, table, histogram, text, null or other. ``count`` is the number of
    values. ``numbers`` is true if at least one value is a number: a chart can then show the numbers.
    ``other_ranks`` is the number of ranks, other than that of the primary writer, that logged numbers.
    """

    key: str
    kind: str
    count: int
    last_step: int | None
    numbers: bool = False
    other_ranks: int = 0


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """The records that one writer (rank, node) of a run wrote in one attempt.

    Attributes:
        id: The segment's id, for ``history(segment=...)``.
        rank: Rank of the writer. The primary writer has the smallest. A child has the rank of its parent.
        attempt: 0 for the first attempt; each resume adds 1.
        host: Name of the writer's host.
        started_at: Start time in unix seconds.
        start_step: First step of the segment.
        last_step: Largest logged step; None without rows.
        rows: Number of complete rows.
        state: State of the segment, with the same values as a run's state.
        shown: Whether the default history contains rows of this segment.
        shown_before: The default history contains only rows with smaller steps, because a later attempt
            logged the other steps again. None: it contains all rows.
        samples: Number of samples of system metrics.
        console_lines: Number of lines of output.
        child: Whether the writer is a child: another writer forked it, or gave it the run.
        ended_at: Time of the end, or of the last sign of life, in unix seconds; None while it runs.
        reason: Reason why it did not finish, with the same values as a run's reason.
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
    ended_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AlertInfo:
    """An alert of ``Run.alert``, with its time (unix seconds) and level (INFO, WARN or ERROR)."""

    time: float
    title: str
    text: str
    level: str


@dataclass(frozen=True, slots=True)
class RunDetail(RunInfo):
    """A run with its history keys, problems, number of attempts, segments, alerts, latest system metrics."""

    keys: list[KeyInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    attempts: int = 0
    segments: list[SegmentInfo] = field(default_factory=list)
    alerts: list[AlertInfo] = field(default_factory=list)
    system_metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """System metrics that one writer (rank, node) of a run sampled in one attempt.

    Attributes:
        segment: Id of the segment, see ``SegmentInfo``.
        rank: Rank of the writer. The primary writer has the smallest. A child has the rank of its parent.
        attempt: 0 for the first attempt; each resume adds 1.
        host: Name of the writer's host.
        rows: The samples, oldest first: ``_runtime`` (seconds), ``_timestamp`` (unix seconds) and metrics
            under wandb's names, such as ``cpu``.
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
    """A line of a run's output: its number, start time (unix seconds), stream (stdout or stderr) and text."""

    line: int
    time: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """A page of a run's output. ``total`` counts all lines, ``found`` the lines that match a search."""

    total: int
    lines: list[OutputLine]
    found: int = 0


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a run.

    Attributes:
        path: Name of the file in the run.
        size: Size in bytes.
        mimetype: MIME type.
        sha256: Checksum of the content.
        updated_at: When the content was last stored (unix seconds); None if the content is not in the store.
    """

    path: str
    size: int
    mimetype: str
    sha256: str
    updated_at: float | None = None


@dataclass(frozen=True, slots=True)
class RunName:
    """The path of a run."""

    entity: str
    project: str
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The store's revision, and the runs that changed since the revision in the query.

    ``removed`` are the runs that were deleted or moved to another project.
    """

    revision: int
    runs: list[RunName] = field(default_factory=list)
    removed: list[RunName] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TablePage:
    """A page of a table's rows. ``steps`` are the steps with tables of the key.

    ``total`` counts all rows, ``found`` those that match the filter.
    """

    key: str
    step: int
    steps: list[int]
    path: str
    columns: list[str | int]
    total: int
    rows: list[list[Any]]
    found: int = 0


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An artifact version.

    Attributes:
        entity: Entity of the project.
        project: Project of the collection.
        name: Name of the collection.
        type: Type, such as ``"model"``.
        version: ``v0``, ``v1``, ...
        aliases: Current aliases, sorted.
        size: Total size of the files in bytes.
        file_count: Number of files.
        digest: Digest of names and contents, equal to wandb's.
        created_at: Creation time in unix seconds.
        updated_at: Time of the last edit in unix seconds.
        description: Free text.
        metadata: Plain values.
        tags: Tags, sorted.
        logged_by: Id of the run that logged the version.
        logged_in: ``ENTITY/PROJECT`` of this run, if the version is in another project: the run was moved, or
            the version is a link.
        expires_at: Time in unix seconds from which on the version may be deleted; None: never.
        source: ``ENTITY/PROJECT/NAME:vN`` of the version that this link points to; None if it is not a link.
        manifest: SHA-256 of the blob that lists the files.
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
    logged_in: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactDetail(ArtifactInfo):
    """An artifact version with the runs that use it."""

    used_by: list[RunName] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """An artifact collection: versions under one name.

    Attributes:
        entity: Entity of the project.
        project: Project of the collection.
        name: Name of the collection.
        type: Type of all its versions.
        versions: Number of versions.
        latest: The newest version, ``vN``; None without versions.
        size: Total size of all versions in bytes. A file that versions share counts once for each version.
        updated_at: Time of the newest version in unix seconds.
        description: Free text.
        tags: Tags, sorted.
        created_at: Time of the oldest version that is not deleted, in unix seconds.
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
