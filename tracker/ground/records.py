"""The vocabulary: one typed record per thing that can happen to a run, and its encoding.

A record is one journal frame's payload: a msgpack array whose first element is the kind's number.
Fields are only ever added at the end, with a default, so that an old journal stays readable;
numbers are never given to another kind. Anything else needs a new journal format version.
"""

from __future__ import annotations

from typing import Any, TypedDict, Union

import msgspec

from tracker.errors import JournalError, UsageError
from tracker.ground.parsed_types import Count, Digest, DigestOrEmpty, Integer, Seconds, Time, Token
from tracker.ground.values import plain_integer, without_surrogates

# Extension type of an integer beyond 64 bits: its decimal digits.
BIG_INTEGER = 1

# Row.flags
COMMIT = 1  # the row is complete with this record
ASIDE = 2  # a row of its own (a smaller step): the open row stays open

# RunStarted.rank: no launcher gives as many. An older tracker gave a forked child its pid beyond this.
FORKED = 2**22
# That of a process which was forked from a run's writer, or handed the run: the writer's own beyond this.
CHILD = 2**23
# That of a segment in which something is said of a run from outside, such as a file that ``Api`` adds.
OUTSIDE = 2**24


def is_child(rank: int) -> bool:
    """Whether a rank is that of a child of a run's writer."""
    return CHILD <= rank < OUTSIDE


def writer_rank(rank: int) -> int:
    """Return the rank of the writer in whose history the rows of a rank stand: its own, or its parent's."""
    return rank - CHILD if is_child(rank) else rank


class Process(msgspec.Struct, frozen=True, array_like=True):
    """Which process wrote a segment, so that others on its host can see whether it lives.

    Attributes:
        host: Node name.
        boot: Kernel boot id.
        namespace: Inode of the pid namespace, 0 when unknown.
        pid: Process id within that namespace.
        started: Start time in clock ticks since boot.
    """

    host: str
    boot: str
    namespace: Integer
    pid: Integer
    started: Integer


class RunStarted(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first record of a segment: which run, and who writes.

    Attributes:
        time: Unix seconds.
        rank: Which of the run's writers: 0 for the primary one; others never decide the run's state.
        attempt: Orders a writer's segments: 0, then one more per resume.
        start_step: First step this segment will give.
        runtime_base: Seconds that the run had lasted before this segment.
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
    """One ``log`` call: part of history row ``row``, which stands at ``step``."""

    row: Integer
    step: Integer
    flags: Integer
    time: Time
    data: dict[str, Any]


class ConfigChanged(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Config keys that were set (top level) or removed."""

    values: dict[str, Any]
    removed: list[str] = []


class SummaryChanged(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Summary keys that the script set itself; they hold until the key is logged again."""

    values: dict[str, Any]
    removed: list[str] = []


class MetricDefined(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """What ``define_metric`` said of a name or, ending in ``*``, of a prefix."""

    name: str
    step_metric: str | None = None
    step_sync: bool = False
    hidden: bool = False
    summary: list[str] = []
    goal: str | None = None
    overwrite: bool = False


class FileSaved(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A run file: media or other. Its bytes are the blob ``sha256``, written before this record."""

    path: str
    sha256: Digest
    size: Count
    mimetype: str


class ArtifactLogged(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """An artifact was logged.

    Attributes:
        digest: Digest over names and contents; empty when ``draft`` is given.
        manifest: The blob (SHA-256) that lists its entries; empty when ``draft`` is given.
        size: Bytes of all entries.
        file_count: How many entries.
        aliases: Moved to the version.
        client_id: 32 random hex digits.
        time: Unix seconds.
        ttl: Seconds from ``time`` on after which it may be deleted; None: never.
        draft: Token of the draft that holds its files, when nobody has computed their digests yet.
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


class ArtifactUsed(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The run uses a version of an artifact collection.

    Attributes:
        version: Its number, as the writer saw it.
        time: Unix seconds.
        digest: Its digest: where the number turned out to be another one, this decides. Empty in old records.
    """

    entity: str
    project: str
    name: str
    version: Integer
    time: Time
    digest: str = ""


class RunFinished(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The writer ended in good order: ``state`` is ``"finished"``, ``"failed"`` or ``"preempted"``.

    Attributes:
        error: Type and message of the exception that ended it, or ``SIGTERM``.
        reason: Why it did not finish, as in ``tracker.ground.read_models.RunInfo``; None in old records.
    """

    time: Time
    state: str
    exit_code: Integer = 0
    error: str | None = None
    reason: str | None = None


class RowsLost(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Writing failed and works again: how many records no longer fitted into memory meanwhile."""

    count: Integer
    reason: str
    time: Time


class VersionValues(TypedDict, total=False):
    """What an edit gives a version."""

    description: str | None
    metadata: dict[str, Any]
    tags: list[str]
    expires_at: Seconds | None


class RunValues(TypedDict, total=False):
    """What a script gives its run after it began."""

    name: str | None
    tags: list[str] | None
    notes: str | None
    group: str | None
    job_type: str | None


class ArtifactChanged(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """What is said of a version was changed, or the version deleted; ``None`` fields stay as they are.

    Attributes:
        version: Its number, as the writer saw it.
        digest: Its digest: where the number turned out to be another one, this decides.
        time: Unix seconds.
        aliases_added: Moved to this version.
        aliases_removed: Taken from it.
        values: ``description``, ``metadata``, ``tags`` and ``expires_at`` (unix seconds, or None), as given.
        deleted: The version goes: its number is never given again.
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
    """A version was linked into another collection, such as a registered model.

    Attributes:
        entity: Of the version that is linked.
        project: Likewise.
        name: Its collection.
        version: Its number, as the writer saw it.
        digest: Its digest: where the number turned out to be another one, this decides.
        target_entity: Where to.
        target_project: Likewise.
        target_name: The collection, made if there is none.
        aliases: Moved to the new version of that collection.
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
    """What the machine did at one moment, as the writer's process sees it; names as wandb's: ``cpu``, ..."""

    time: Time
    values: dict[str, float]


class ConsoleLines(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """Lines that the writer's process printed. One that comes again (a progress bar) replaces itself.

    Attributes:
        time: Unix seconds.
        lines: Number (counted from 0 over both streams), stream (1: stdout, 2: stderr) and text of each.
    """

    time: Time
    lines: list[tuple[int, int, str]]


class AlertRaised(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """``Run.alert``: something that a person should look at.

    Attributes:
        time: Unix seconds.
        level: ``"INFO"``, ``"WARN"`` or ``"ERROR"``.
    """

    time: Time
    title: str
    text: str
    level: str = "INFO"


class RunChanged(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """What the script itself changed of its run after it began.

    Attributes:
        time: Unix seconds; a person's edit that is later holds against it.
        values: ``name``, ``tags``, ``notes``, ``group`` and ``job_type``, as far as they were given.
    """

    time: Time
    values: RunValues


class FileRemoved(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """A run's file was taken away: its name goes, and its bytes with garbage collection."""

    path: str


class SegmentRestored(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """What the records of a sealed segment added up to: written behind its rows where it is sent to a server.

    Attributes:
        state: The fields of ``tracker.runstate.fold.SegmentState`` as plain values.
    """

    state: dict[str, Any]


class RunEdited(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """A person edited the run in the store from which it is sent.

    Attributes:
        time: Unix seconds; of two edits of a field the later one holds.
        values: New values by field, as in ``tracker.store.ingest.run_edits.RunEdit``.
    """

    time: Time
    values: dict[str, Any]


class InvalidRecord(msgspec.Struct, frozen=True):
    """A record of a known kind with a value that the kind does not allow. Never written, only decoded.

    Attributes:
        kind: Name of the kind, such as ``FileSaved``.
        reason: Which value, and what is allowed.
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
    """A value of a type that a newer tracker writes."""


def read_extension(code: int, data: memoryview) -> Any:
    """Return the value of a msgpack extension (``ext_hook`` of every decoder of ours)."""
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
    """Return a plain value with what msgpack refuses replaced: huge integers, lone surrogates."""
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
    """Return a record as a frame's payload, whatever plain values it holds.

    Raises:
        UsageError: A field has a value of a wrong type, which no reader would take.
    """
    try:
        payload = encode(record)
    except (OverflowError, UnicodeEncodeError):
        fields = {name: packable(getattr(record, name)) for name in record.__struct_fields__}
        payload = encode(msgspec.structs.replace(record, **fields))
    if type(record) is not Row:  # a row's fields are made by us; what others hold came from a caller
        try:
            _decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise UsageError(f"{type(record).__name__} cannot be recorded: {error}") from error
    return payload


def decode(payload: bytes, path: str = "", offset: int = 0) -> Record:
    """Return the record in a frame's payload; an ``InvalidRecord`` when it has a value that is not allowed.

    Raises:
        JournalError: The payload is of a kind, or has a value of a type, that this tracker does not know, as
            a newer one may write: the journal waits for an upgrade. ``path`` and ``offset`` say where it is.
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
        reason += "; a newer tracker wrote it: upgrade airgap-tracker on this machine"
        raise JournalError("decode", path, offset, reason) from error


def _tag(payload: bytes) -> int | None:
    """Return the number of a record's kind; None when the payload is not an array with a number first."""
    # The length of a msgpack array is in its first byte, or in the 2 or 4 bytes after it.
    begin = {0xDC: 3, 0xDD: 5}.get(payload[0], 1) if payload else 1
    if not payload or not (begin > 1 or payload[0] & 0xF0 == 0x90):
        return None
    tag = payload[begin : begin + 1]
    return tag[0] if tag and tag[0] < 0x80 else None  # a kind's number is below 128: one byte
