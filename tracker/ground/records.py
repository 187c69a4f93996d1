"""The kinds of records, one for each event of a run, and their encoding.

A record is the payload of one frame of a journal: a msgpack array that starts with the number of the record's
kind. To keep old journals readable, a new field is added at the end and has a default, and the number of a
kind is never used for another kind. Any other change needs a new version of the journal format.
"""

from __future__ import annotations

from typing import Any, TypedDict, Union

import msgspec

from tracker.errors import JournalError, UsageError
from tracker.ground.parsed_types import (
    Count,
    Digest,
    DigestOrEmpty,
    Integer,
    Seconds,
    StoreName,
    Time,
    Token,
    VersionNumber,
)
from tracker.ground.values import plain_integer, without_surrogates

# Number of the msgpack extension for an integer of more than 64 bits. Its data are the decimal digits.
BIG_INTEGER = 1

# Row.flags
COMMIT = 1  # this record completes the row
ASIDE = 2  # a separate row with a smaller step: the open row stays open

# Special values of RunStarted.rank. They are larger than any rank of a launcher.
# FORKED + pid: a forked child of an older tracker.
FORKED = 2**22
# CHILD + rank of the writer: a child, which is a process that the writer forked, or gave the run to.
CHILD = 2**23
# OUTSIDE: a segment that another program adds to a run, for example with a file that ``Api`` uploads.
OUTSIDE = 2**24


def is_child(rank: int) -> bool:
    """Return whether a rank is that of a child of a run's writer."""
    return CHILD <= rank < OUTSIDE


def writer_rank(rank: int) -> int:
    """Return the rank of the writer whose history contains the rows: for a child its parent, else itself."""
    return rank - CHILD if is_child(rank) else rank


class Process(msgspec.Struct, frozen=True, array_like=True):
    """The process that wrote a segment. Other processes of its host use this to check whether it is alive.

    Attributes:
        host: Host name.
        boot: The kernel's id of the boot.
        namespace: Inode of the pid namespace; 0 if unknown.
        pid: Process id in this namespace.
        started: Start time of the process in clock ticks since boot.
    """

    host: str
    boot: str
    namespace: Integer
    pid: Integer
    started: Integer


class RunStarted(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first record of a segment: the run and its writer.

    Attributes:
        time: Start time in unix seconds.
        rank: Number of the writer in the run. The writer with the smallest number decides the run's state.
        attempt: Number of the segment among those of its writer: 0, then 1 more for each resume.
        start_step: Step of the segment's first row if ``log`` gets no step.
        runtime_base: Duration of the run before this segment, in seconds.
    """

    entity: str
    project: str
    run_id: str
    time: Time
    process: Process
    name: str | None = None
    rank: Integer = 0
    attempt: Integer = 0
    start_step: Integer = 0
    group: str | None = None
    job_type: str | None = None
    tags: list[str] | None = None
    notes: str | None = None
    config: dict[str, Any] = {}
    program: str | None = None
    runtime_base: Seconds = 0.0


class Row(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """One call of ``log``: it adds data to row number ``row``, at step ``step``."""

    row: Integer
    step: Integer
    flags: Integer
    time: Time
    data: dict[str, Any]


class ConfigChanged(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Top-level config keys that were set or removed."""

    values: dict[str, Any]
    removed: list[str] = []


class SummaryChanged(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Summary keys that the script itself set or removed. A value is valid until the key is logged again."""

    values: dict[str, Any]
    removed: list[str] = []


class MetricDefined(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A call of ``define_metric`` for a name, or for a prefix if the name ends with ``*``."""

    name: str
    step_metric: str | None = None
    step_sync: bool = False
    hidden: bool = False
    summary: list[str] = []
    goal: str | None = None
    overwrite: bool = False


class FileSaved(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A media file or other file of the run. The content is the blob ``sha256``, which exists already."""

    path: str
    sha256: Digest
    size: Count
    mimetype: str


class ArtifactLogged(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """An artifact was logged.

    Attributes:
        digest: Digest of names and contents; empty if ``draft`` is given.
        manifest: SHA-256 of the blob that lists the files; empty if ``draft`` is given.
        size: Total size of the files in bytes.
        file_count: Number of files.
        aliases: Aliases that move to the new version.
        client_id: Random id of the artifact, 32 hex digits.
        time: Unix seconds.
        ttl: The version may be deleted this number of seconds after ``time``; None: never.
        draft: Token of the draft that contains the files, if their digests are not computed yet.
        entity: Entity of the collection, if the run was moved after it had logged the artifact; else None.
        project: Project of the collection, with ``entity``.
        number: Number of the version in the store from which the artifact was copied; None if it was logged
            here. The copy gets this number if it is free.
        origin: Name of that store, with ``number``. If the copy gets another number, ``ORIGIN-vNUMBER``
            becomes an alias of it.
    """

    name: str
    artifact_type: str
    digest: str
    manifest: DigestOrEmpty
    size: Count
    file_count: Count
    aliases: list[str]
    client_id: str
    time: Time
    description: str | None = None
    metadata: dict[str, Any] = {}
    tags: list[str] = []
    ttl: Seconds | None = None
    draft: Token | None = None
    entity: str | None = None
    project: str | None = None
    number: VersionNumber | None = None
    origin: StoreName | None = None

    def place(self, started: RunStarted) -> tuple[str, str]:
        """Return the entity and the project of the collection. ``started`` is the segment's first record."""
        return self.entity or started.entity, self.project or started.project


class ArtifactUsed(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The run uses a version of an artifact collection.

    Attributes:
        version: Number of the version when the record was written. The number can change later.
        time: Unix seconds.
        digest: Digest of the version, which identifies it if the number changed. Empty in old records.
    """

    entity: str
    project: str
    name: str
    version: Integer
    time: Time
    digest: str = ""


class RunFinished(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The writer ended and recorded its state: ``"finished"``, ``"failed"`` or ``"preempted"``.

    Attributes:
        error: Type and message of the exception that ended the run, or ``SIGTERM``.
        reason: Why the run did not finish: see ``tracker.ground.read_models.RunInfo``. None in old records.
    """

    time: Time
    state: str
    exit_code: Integer = 0
    error: str | None = None
    reason: str | None = None


class RowsLost(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Writing works again after an error. ``count`` records were lost, because the buffer was full."""

    count: Integer
    reason: str
    time: Time


class VersionValues(TypedDict, total=False):
    """Values that an edit sets in an artifact version."""

    description: str | None
    metadata: dict[str, Any]
    tags: list[str]
    expires_at: Seconds | None


class Preemption(TypedDict):
    """The announcement that the run's machine will be taken away.

    Attributes:
        reason: ``time limit`` or ``signal N (NAME)``; None if the script called ``mark_preempting``.
        job_end: End of the job by its time limit in unix seconds, or None if it is not known.
    """

    reason: str | None
    job_end: Seconds | None


class RunValues(TypedDict, total=False):
    """Values that change in a run after ``init``. Older trackers ignore keys that they do not know."""

    preempting: Preemption
    name: str | None
    tags: list[str] | None
    notes: str | None
    group: str | None
    job_type: str | None


class ArtifactChanged(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """An artifact version was edited or deleted.

    Attributes:
        version: Number of the version when the record was written. The number can change later.
        digest: Digest of the version. It identifies the version if the number changed.
        time: Unix seconds.
        aliases_added: Aliases that move to this version.
        aliases_removed: Aliases that are removed from it.
        values: New values of ``description``, ``metadata``, ``tags`` and ``expires_at`` (unix seconds, or
            None for never). A missing key means no change.
        deleted: Whether the version is deleted. Its number is never used again.
    """

    entity: str
    project: str
    name: str
    version: Integer
    digest: str
    time: Time
    aliases_added: list[str] = []
    aliases_removed: list[str] = []
    values: VersionValues = {}
    deleted: bool = False


class ArtifactLinked(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """A version was linked to another collection, such as a registered model.

    Attributes:
        entity: Entity of the source version.
        project: Project of the source version.
        name: Collection of the source version.
        version: Number of the source version when the record was written. The number can change later.
        digest: Digest of the source version. It identifies the version if the number changed.
        target_entity: Entity of the target collection.
        target_project: Project of the target collection.
        target_name: Name of the target collection. It is made if it does not exist.
        aliases: Aliases that move to the new version of the target collection.
        time: Unix seconds.
    """

    entity: str
    project: str
    name: str
    version: Integer
    digest: str
    target_entity: str
    target_project: str
    target_name: str
    aliases: list[str]
    time: Time


class SystemSample(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """System metrics at one time, as the writer's process sees them, under wandb's names, such as ``cpu``."""

    time: Time
    values: dict[str, float]


class ConsoleLines(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """Lines that the writer's process printed.

    A line replaces an earlier line with the same number: a progress bar, for example, prints its line again.

    Attributes:
        time: Unix seconds.
        lines: Each line's number (counted from 0 over both streams), stream (1: stdout, 2: stderr) and text.
    """

    time: Time
    lines: list[tuple[int, int, str]]


class AlertRaised(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """An alert of ``Run.alert``.

    Attributes:
        time: Unix seconds.
        level: ``"INFO"``, ``"WARN"`` or ``"ERROR"``.
    """

    time: Time
    title: str
    text: str
    level: str = "INFO"


class RunChanged(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """The script changed fields of its run after ``init``, or learned that it will be preempted.

    Attributes:
        time: Unix seconds. A later edit by a user takes precedence.
        values: New values of ``name``, ``tags``, ``notes``, ``group``, ``job_type`` and ``preempting``. A
            missing key means no change.
    """

    time: Time
    values: RunValues


class FileRemoved(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """A file was removed from the run. Garbage collection deletes its content later."""

    path: str


class SegmentRestored(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """The state of a sealed segment. When the segment is sent to a server, this record follows its rows.

    Attributes:
        state: The fields of ``tracker.runstate.fold.SegmentState`` as plain values.
    """

    state: dict[str, Any]


class RunEdited(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """A user edited the run in the store from which it is sent to a server.

    Attributes:
        time: Unix seconds. Of two edits of a field, the later one takes precedence.
        values: New values by field: see ``tracker.store.ingest.run_edits.RunEdit``.
    """

    time: Time
    values: dict[str, Any]


class InvalidRecord(msgspec.Struct, frozen=True):
    """A decoded record of a known kind with an invalid value. It is never written.

    Attributes:
        kind: Name of the kind, such as ``FileSaved``.
        reason: The message of the decoder.
    """

    kind: str
    reason: str


RECORD_KINDS = (
    RunStarted,
    Row,
    ConfigChanged,
    SummaryChanged,
    MetricDefined,
    FileSaved,
    ArtifactLogged,
    ArtifactUsed,
    RunFinished,
    RowsLost,
    ArtifactChanged,
    ArtifactLinked,
    SystemSample,
    ConsoleLines,
    AlertRaised,
    RunChanged,
    FileRemoved,
    SegmentRestored,
    RunEdited,
)
Record = (
    RunStarted
    | Row
    | ConfigChanged
    | SummaryChanged
    | MetricDefined
    | FileSaved
    | ArtifactLogged
    | ArtifactUsed
    | RunFinished
    | RowsLost
    | ArtifactChanged
    | ArtifactLinked
    | SystemSample
    | ConsoleLines
    | AlertRaised
    | RunChanged
    | FileRemoved
    | SegmentRestored
    | RunEdited
    | InvalidRecord
)


class UnknownExtensionError(ValueError):
    """A value has an extension type that only a newer tracker knows."""


def read_extension(code: int, data: memoryview) -> Any:
    """Return the value of a msgpack extension. All msgpack decoders of tracker use this as ``ext_hook``."""
    if code == BIG_INTEGER:
        return int(bytes(data))
    raise UnknownExtensionError(f"unknown extension type {code}")


encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(
    Union[RECORD_KINDS],  # noqa: UP007 - of a tuple
    ext_hook=read_extension,
)
_NAMES = {kind.__struct_config__.tag: kind.__name__ for kind in RECORD_KINDS}


def packable(value: Any) -> Any:
    """Return a plain value in which integers and texts that msgpack cannot encode are replaced."""
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**64:
        plain = plain_integer(value)
        return plain if type(plain) is str else msgspec.msgpack.Ext(BIG_INTEGER, str(plain).encode())
    if kind is str:
        return without_surrogates(value)
    if kind is dict:
        return {packable(key): packable(item) for key, item in value.items()}
    if kind is list:
        return [packable(item) for item in value]
    return value


def pack(record: Record) -> bytes:
    """Return a record as a frame's payload. All plain values can be encoded.

    Raises:
        UsageError: A field has a value of a wrong type, which a reader could not decode.
    """
    try:
        payload = encode(record)
    except (OverflowError, UnicodeEncodeError):
        fields = {name: packable(getattr(record, name)) for name in record.__struct_fields__}
        payload = encode(msgspec.structs.replace(record, **fields))
    if type(record) is not Row:  # no check of rows, for speed: their fields do not come from the user
        try:
            _decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise UsageError(f"{type(record).__name__} cannot be recorded: {error}") from error
    return payload


def decode(payload: bytes, path: str = "", offset: int = 0) -> Record:
    """Return the record in a frame's payload; an ``InvalidRecord`` if it has an invalid value.

    Args:
        payload: The payload.
        path: The journal, for the error message.
        offset: Position of the frame in the journal in bytes, for the error message.

    Raises:
        JournalError: The record's kind or the type of a value is unknown. A newer tracker wrote the record:
            the journal can be applied after an upgrade.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        tag = _tag(payload)
        if tag is not None and tag not in _NAMES:
            reason = f"record kind {tag} is not known"
        elif UnknownExtensionError in (type(error), type(error.__cause__)):
            reason = str(error)
        else:
            return InvalidRecord(_NAMES.get(tag, "record"), str(error))
        reason += ". A newer tracker wrote it: upgrade airgap-tracker on this machine."
        raise JournalError("decode", path, offset, reason) from error


def is_row(payload: bytes) -> bool:
    """Return whether a frame's payload is a ``Row``, without decoding it."""
    return _tag(payload) == Row.__struct_config__.tag


def _tag(payload: bytes) -> int | None:
    """Return the number of a record's kind; None if the payload is not an array that starts with a number."""
    # The length of a msgpack array is in its first byte, or in the 2 or 4 bytes after the first byte.
    begin = {0xDC: 3, 0xDD: 5}.get(payload[0], 1) if payload else 1
    if not payload or not (begin > 1 or payload[0] & 0xF0 == 0x90):
        return None
    tag = payload[begin : begin + 1]
    return tag[0] if tag and tag[0] < 0x80 else None  # all kinds have numbers below 128, in one byte
