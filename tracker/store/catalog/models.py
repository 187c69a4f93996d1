"""Tables of the catalog. The catalog is an index: a rebuild restores it from files.

Only ``BrowserSession``, ``AuditEntry``, ``Upload`` and the times of last use are not in files.
"""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tracker.runstate.edits import Edits

# Steps, offsets and sizes can exceed 32 bits, the size of an INTEGER in PostgreSQL.
Big = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """Base class of all tables. Plain values are stored as exact JSON (``tracker.ground.values``)."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}


class Clock(Base):
    """A table with one row, which counts committed changes. Readers use the count to find newer rows.

    ``people_revision`` counts the changes of users, roles and keys.
    """

    __tablename__ = "clock"
    id: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[Big] = mapped_column(default=0)
    people_revision: Mapped[Big] = mapped_column(default=0)


class Project(Base):
    """A project of an entity."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("entity", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    entity: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[float]


class Run(Base):
    """A run: the merged state of the records of all its writers."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("project_id", "run_id"),
        Index("ix_runs_project_created", "project_id", "created_at"),
        Index("ix_runs_project_updated", "project_id", "updated_at"),
        Index("ix_runs_revision", "revision"),
        # Few runs are archived, so that a query finds all of a project's in a short range. Without the same
        # option for PostgreSQL: every process would import its dialect, with 40 ms of CPU time.
        Index("ix_runs_archived", "project_id", sqlite_where=text("archived = 1")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    run_id: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    finished_at: Mapped[float | None]
    duration: Mapped[float] = mapped_column(default=0.0)
    last_step: Mapped[Big | None]
    exit_code: Mapped[int | None]
    error: Mapped[str | None]
    reason: Mapped[str | None]
    last_seen: Mapped[float | None]
    group: Mapped[str | None] = mapped_column("run_group")
    job_type: Mapped[str | None]
    tags: Mapped[list[str]]
    notes: Mapped[str | None]
    host: Mapped[str | None]
    program: Mapped[str | None]
    config: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any]]
    edits: Mapped[Edits] = mapped_column(JSON, default=dict)
    archived: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[Big]
    project: Mapped[Project] = relationship(lazy="joined")


class DeletedRun(Base):
    """A deleted run, and the revision of its deletion. The same id may be deleted several times.

    ``keep_until`` is null if the run cannot be restored: its files are gone. Otherwise ``token`` names the
    file that describes the run: see ``tracker.store.ingest.deletion``.
    """

    __tablename__ = "deleted_runs"
    __table_args__ = (
        Index("ix_deleted_runs_run", "entity", "project", "run_id"),
        Index("ix_deleted_runs_revision", "revision"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    entity: Mapped[str]
    project: Mapped[str]
    run_id: Mapped[str]
    name: Mapped[str]
    deleted_at: Mapped[float]
    keep_until: Mapped[float | None]
    token: Mapped[str]
    revision: Mapped[Big]


class RunField(Base):
    """One value of the config or summary of a run, or one tag, for filters and sort orders.

    A number or a bool is in ``number``, a string in ``text``: see ``tracker.store.catalog.run_index``.
    """

    __tablename__ = "run_fields"
    __table_args__ = (
        # The first index contains all rows, the second only strings.
        Index("ix_run_fields_number", "project_id", "field", "number", "run_id"),
        Index(
            "ix_run_fields_text",
            "project_id",
            "field",
            "text",
            "run_id",
            sqlite_where=text("text IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},  # rows are stored in the primary key, which saves a third of the space
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[float | None]
    text: Mapped[str | None]


class Segment(Base):
    """The records of one writer in one attempt, and the position up to which they have been applied.

    After a rebuild, published files already contain the files, versions, aliases and uses of records before
    ``adopted``. Applying these records again restores only rows, config and summary.
    """

    __tablename__ = "segments"
    __table_args__ = (Index("ix_segments_run", "run_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    rank: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[float] = mapped_column(default=0.0)
    start_step: Mapped[Big] = mapped_column(default=0)
    ended: Mapped[str | None]
    sealed: Mapped[bool] = mapped_column(default=False)
    journal_index: Mapped[int] = mapped_column(default=0)
    offset: Mapped[Big] = mapped_column("journal_offset", default=0)
    sequence: Mapped[Big] = mapped_column(default=0)
    adopted: Mapped[Big] = mapped_column(default=0)
    hot_bytes: Mapped[Big] = mapped_column(default=0)
    hot_count: Mapped[Big] = mapped_column(default=0)
    fault: Mapped[str | None]
    process: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[bytes] = mapped_column(LargeBinary)


class HotRow(Base):
    """A history row that is not in a Parquet part yet. ``data`` is msgpack."""

    __tablename__ = "hot_rows"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    row: Mapped[Big] = mapped_column(primary_key=True)
    step: Mapped[Big]
    time: Mapped[float]
    runtime: Mapped[float]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Part(Base):
    """A Parquet file with history rows of one segment. ``path`` is relative to the store."""

    __tablename__ = "parts"
    __table_args__ = (Index("ix_parts_segment", "segment_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"))
    path: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[Big]
    first_row: Mapped[Big]
    last_row: Mapped[Big]
    size: Mapped[Big]


class Rung(Base):
    """One rung of the overview ladder of one key in one part: see ``tracker.store.history.ladder``."""

    __tablename__ = "rungs"
    part_id: Mapped[int] = mapped_column(ForeignKey("parts.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    bucket_rows: Mapped[Big] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Sample(Base):
    """A sample of system metrics that is not in a Parquet file yet. ``data`` is msgpack."""

    __tablename__ = "samples"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    number: Mapped[Big] = mapped_column(primary_key=True)
    time: Mapped[float]
    runtime: Mapped[float]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ConsoleLine(Base):
    """A line of console output that is not in a Parquet file yet. ``stream``: 1 is stdout, 2 is stderr."""

    __tablename__ = "console_lines"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    line: Mapped[Big] = mapped_column(primary_key=True)
    stream: Mapped[int]
    time: Mapped[float]
    text: Mapped[str]


class CapturedPart(Base):
    """A Parquet file with samples (kind ``system``) or output (``console``) of one segment."""

    __tablename__ = "captured_parts"
    __table_args__ = (Index("ix_captured_parts_segment", "segment_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"))
    kind: Mapped[str]
    path: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[Big]
    first_row: Mapped[Big]
    last_row: Mapped[Big]
    size: Mapped[Big]


class RunFile(Base):
    """A file of a run, for example a media file: its path, and the SHA-256 of its content."""

    __tablename__ = "run_files"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[Big]
    mimetype: Mapped[str]


class Collection(Base):
    """An artifact collection: a name, a type and the versions of one artifact."""

    __tablename__ = "collections"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(default=list)
    project: Mapped[Project] = relationship(lazy="joined")


class Version(Base):
    """One version of an artifact. ``manifest`` is the SHA-256 of its manifest.

    A deleted version keeps its row, because its number is never used again. A link has the name of its source
    version in ``source``, as ``ENTITY/PROJECT/NAME:vN``.
    """

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("collection_id", "index"),
        UniqueConstraint("segment", "sequence"),
        Index("ix_versions_run", "run_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    index: Mapped[int]
    digest: Mapped[str]
    manifest: Mapped[str]
    size: Mapped[Big]
    file_count: Mapped[Big]
    created_at: Mapped[float]
    description: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata")
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    segment: Mapped[str]
    sequence: Mapped[Big]
    tags: Mapped[list[str]] = mapped_column(default=list)
    updated_at: Mapped[float] = mapped_column(default=0.0)
    expires_at: Mapped[float | None]
    deleted_at: Mapped[float | None]
    source: Mapped[str | None]
    collection: Mapped[Collection] = relationship(lazy="joined")


class Alias(Base):
    """An alias of one version of a collection."""

    __tablename__ = "aliases"
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))


class Packed(Base):
    """The place of a small content in a pack: its SHA-256, the pack, the offset and the size in bytes.

    A blob that a version names has a row too, with itself as the pack: see ``tracker.store.blobs.packs``.
    ``size`` is null for such blobs, and in rows that were written before catalog revision 0005.
    """

    __tablename__ = "packed"
    __table_args__ = ({"sqlite_with_rowid": False},)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    pack: Mapped[bytes] = mapped_column(LargeBinary)
    offset: Mapped[Big] = mapped_column("pack_offset")
    size: Mapped[Big | None]


class ArtifactUse(Base):
    """A use of an artifact version by a run."""

    __tablename__ = "artifact_uses"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    used_at: Mapped[float]


class User(Base):
    """A person or a service that uses the server. A user that was disabled keeps its row and its name."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    is_service: Mapped[bool] = mapped_column(default=False)
    is_admin: Mapped[bool] = mapped_column(default=False)
    password: Mapped[str | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    created_at: Mapped[float]
    disabled_at: Mapped[float | None]


class Membership(Base):
    """The role of a user in a project, or in a whole entity if ``project`` is empty."""

    __tablename__ = "memberships"
    entity: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str]


class PrivateProject(Base):
    """A project that only its own members, and administrators of its entity, can see."""

    __tablename__ = "private_projects"
    entity: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(primary_key=True)


class ApiKey(Base):
    """An API key of the server. Only the SHA-256 of the key is stored.

    A key without a user has all rights: the owner's key, and keys from before there were users. ``entity``
    and ``project`` restrict a key to one project.
    """

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(default="")
    scope: Mapped[str] = mapped_column(default="write")
    entity: Mapped[str | None]
    project: Mapped[str | None]
    expires_at: Mapped[float | None]
    last_used_at: Mapped[float | None]


class BrowserSession(Base):
    """A signed-in browser. ``sha256`` is the hash of its cookie.

    A session without a user belongs to the owner of the store. ``how`` is the kind of sign-in, for example
    ``password``. ``key_id`` is the key that signed the browser in: the session ends when the key is revoked.
    """

    __tablename__ = "browser_sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    key_id: Mapped[int | None] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    last_used_at: Mapped[float]
    how: Mapped[str]
    address: Mapped[str]
    agent: Mapped[str]


class AuditEntry(Base):
    """A change that a caller of the server, or the command line, has made."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_target", "target"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[float]
    actor: Mapped[str]
    address: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    detail: Mapped[str]


class Upload(Base):
    """A content that a caller of the server has proven to have: see ``tracker.store.ingest.uploads``.

    ``holder`` is the number of the user. For a key without a user, and for a key of one project, it is the
    number of the key, negated.
    """

    __tablename__ = "uploads"
    __table_args__ = ({"sqlite_with_rowid": False},)
    holder: Mapped[Big] = mapped_column(primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    time: Mapped[float]
