"""The catalog's tables. It is an index: everything but users and keys can be read from files."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Steps, offsets and sizes outgrow the 32 bits that PostgreSQL gives an INTEGER.
Big = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """Base of all tables. Plain values are kept as exact JSON (``tracker.ground.values``)."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}


class Clock(Base):
    """One row: counts committed changes, so that readers can ask what is newer."""

    __tablename__ = "clock"
    id: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[Big] = mapped_column(default=0)


class Project(Base):
    """A project of an entity."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("entity", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    entity: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[float]


class Run(Base):
    """A run: the merged view of what its writers said."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("project_id", "run_id"),
        Index("ix_runs_project_created", "project_id", "created_at"),
        Index("ix_runs_project_updated", "project_id", "updated_at"),
        Index("ix_runs_revision", "revision"),
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
    edits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    revision: Mapped[Big]
    project: Mapped[Project] = relationship(lazy="joined")


class RunField(Base):
    """One value of a run's config or summary, or one tag, for filters and orders; derived from them.

    A number or a bool stands in ``number``, a string in ``text``: see ``tracker.store.catalog.run_index``.
    """

    __tablename__ = "run_fields"
    __table_args__ = (
        # The first one finds all rows of a field, the second only strings.
        Index("ix_run_fields_number", "project_id", "field", "number", "run_id"),
        Index(
            "ix_run_fields_text",
            "project_id",
            "field",
            "text",
            "run_id",
            sqlite_where=text("text IS NOT NULL"),
            postgresql_where=text("text IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},  # the rows lie in their primary key: a third less to store
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[float | None]
    text: Mapped[str | None]


class Segment(Base):
    """What one writer wrote in one attempt, and how far it has been applied.

    After a rebuild, what records before ``adopted`` did beyond the segment (files, versions, aliases,
    uses) stands in published files already; applying them again gives only rows, config and summary.
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
    """A history row that is not in a Parquet part yet; ``data`` is msgpack."""

    __tablename__ = "hot_rows"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    row: Mapped[Big] = mapped_column(primary_key=True)
    step: Mapped[Big]
    time: Mapped[float]
    runtime: Mapped[float]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Part(Base):
    """A Parquet file with history rows of one segment; ``path`` is relative to the store."""

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
    """A sample of system metrics that is not in a Parquet file yet; ``data`` is msgpack."""

    __tablename__ = "samples"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id"), primary_key=True)
    number: Mapped[Big] = mapped_column(primary_key=True)
    time: Mapped[float]
    runtime: Mapped[float]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ConsoleLine(Base):
    """A line of a segment's output that is not in a Parquet file yet. Stream 1 is stdout, 2 stderr."""

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
    """A file of a run (media and others): a path and the blob that holds its bytes."""

    __tablename__ = "run_files"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[Big]
    mimetype: Mapped[str]


class Collection(Base):
    """An artifact collection: versions of one thing under one name."""

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
    """One version of an artifact; ``manifest`` is the blob that lists its entries.

    A version that was deleted keeps its row, as its number is never given again. ``source`` names the version
    that a link points to, ``ENTITY/PROJECT/NAME:vN``.
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
    """An alias names one version of its collection."""

    __tablename__ = "aliases"
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))


class Packed(Base):
    """Where a small content is that shares a blob with others: its digest, its pack, its offset, its size.

    A blob that a version names has a row too, its own name being the pack: ``tracker.store.blobs.packs``.
    ``size`` is null in rows that were written before catalog revision 0005.
    """

    __tablename__ = "packed"
    __table_args__ = ({"sqlite_with_rowid": False},)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    pack: Mapped[bytes] = mapped_column(LargeBinary)
    offset: Mapped[Big] = mapped_column("pack_offset")
    size: Mapped[Big | None]


class ArtifactUse(Base):
    """A run used a version."""

    __tablename__ = "artifact_uses"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    used_at: Mapped[float]


class ApiKey(Base):
    """A key that opens the server; only its SHA-256 is kept."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
