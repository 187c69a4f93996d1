"""Builders of journals and stores for tests, and dumps of a store for comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from tracker.ground import values
from tracker.ground.records import (
    ArtifactLogged,
    ArtifactUsed,
    ConsoleLines,
    FileSaved,
    Process,
    Record,
    Row,
    RunFinished,
    RunStarted,
    SystemSample,
    pack,
)
from tracker.journal.writer import JournalWriter
from tracker.runstate.fold import unpack_state
from tracker.runstate.steps import StepCounter
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, make_manifest, read_manifest, write_manifest
from tracker.store.catalog.hot_rows import unpack_data
from tracker.store.catalog.models import (
    Alias,
    ArtifactUse,
    HotRow,
    Part,
    Project,
    Run,
    RunFile,
    Segment,
    Version,
)
from tracker.store.history.parquet import read_part_rows
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.ingest.seal import seal
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.queries import artifacts, history, media, runs
from tracker.store.store import Store

HOST = "node1"
ENTITY = "team"
PROJECT = "demo"
START = 1_700_000_000.0


class Writer:
    """Writer of one segment. Its own clock advances by one second per record."""

    def __init__(
        self,
        layout: Layout,
        segment: str,
        run_id: str = "run1",
        *,
        start: float = START,
        project: str = PROJECT,
        entity: str = ENTITY,
        **started: Any,
    ) -> None:
        self.layout = layout
        self.segment = segment
        self.clock = start
        self.run_id = run_id
        self.steps = StepCounter(started.get("start_step", 0))
        layout.make()
        layout.host_journals(HOST).mkdir(parents=True, exist_ok=True)
        self.journal = JournalWriter(layout.journal(HOST, segment, 0), segment)
        self.put(RunStarted(entity, project, run_id, start, Process(HOST, "boot", 1, 42, 7), **started))

    @property
    def path(self) -> Path:
        """The current journal file."""
        return self.journal.path

    def put(self, record: Record) -> int:
        """Write a record; return the offset of its end."""
        return self.journal.append(pack(record))

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> int:
        """Write a ``log`` call."""
        row, at, flags = self.steps.place(step, commit)
        return self.put(Row(row, at, flags, self.tick(), data))

    def tick(self) -> float:
        """Advance the clock by one second; return the time."""
        self.clock += 1.0
        return self.clock

    def file(self, path: str, content: bytes, mimetype: str = "text/plain") -> None:
        """Save a run file."""
        blob = BlobStore(self.layout).add_bytes(content)
        self.put(FileSaved(path, blob.sha256, blob.size, mimetype))

    def artifact(
        self, name: str, files: dict[str, bytes], aliases: list[str] | None = None, **fields: Any
    ) -> ArtifactLogged:
        """Log an artifact."""
        record = artifact_record(
            BlobStore(self.layout), name, files, aliases or ["latest"], self.tick(), **fields
        )
        self.put(record)
        return record

    def use(self, name: str, version: int, project: str = PROJECT, digest: str = "") -> None:
        """Use an artifact version."""
        self.put(ArtifactUsed(ENTITY, project, name, version, self.tick(), digest))

    def next_file(self) -> None:
        """Continue in a new journal file, as after a failed write."""
        old = self.journal
        old.close()
        path = self.layout.journal(HOST, self.segment, old.index + 1)
        self.journal = JournalWriter(path, self.segment, old.index + 1, old.sequence)

    def finish(self, state: str = "finished", exit_code: int = 0, error: str | None = None) -> None:
        """Record the end of the run and close the journal."""
        self.put(RunFinished(self.tick(), state, exit_code, error))
        self.journal.close()


def artifact_record(
    blobs: BlobStore, name: str, files: dict[str, bytes], aliases: list[str], time: float, **fields: Any
) -> ArtifactLogged:
    """Store an artifact's content; return the record that logs it."""
    stored = {path: blobs.add_bytes(content) for path, content in files.items()}
    manifest = make_manifest(Entry(path, blob.md5, blob.size, blob.sha256) for path, blob in stored.items())
    return ArtifactLogged(
        name,
        fields.pop("artifact_type", "dataset"),
        manifest.digest,
        write_manifest(blobs, manifest).sha256,
        manifest.size,
        len(manifest.entries),
        aliases,
        "client",
        time,
        **fields,
    )


def no_catalog() -> Any:
    """Take the place of the reader that a reader of files opens for other questions."""
    raise AssertionError("the files of artifacts must be enough")


def apply_all(store: Store, *, final: bool = False) -> int:
    """Apply all journals completely; return the number of records."""
    total = 0
    journals = store.layout.list_journals()
    for position, journal in enumerate(journals):
        last = position + 1 == len(journals) or journals[position + 1].segment != journal.segment
        while (done := apply_journal(store, journal, final=final or not last)).records:
            total += done.records
    return total


def end_segments(store: Store) -> None:
    """Mark the segments whose writers did not record an end as crashed."""
    with store.reading() as session:
        names = session.scalars(select(Segment.segment).where(Segment.ended.is_(None))).all()
    for name in names:
        finish_segment(store, name, "crashed")


def seal_all(store: Store) -> None:
    """Seal all segments that have ended."""
    with store.reading() as session:
        ids = session.scalars(select(Segment.id).where(Segment.ended.is_not(None))).all()
    for segment_id in ids:
        seal(store, segment_id)


def segment_id(store: Store, segment: str) -> int:
    """Return a segment's id in the catalog."""
    with store.reading() as session:
        return session.scalars(select(Segment.id).where(Segment.segment == segment)).one()


def get_run(store: Store, run_id: str = "run1") -> Run:
    """Return a run's catalog row."""
    with store.reading() as session:
        return session.scalars(select(Run).where(Run.run_id == run_id)).one()


def problems(store: Store, segment: str) -> list[str]:
    """Return the problems that were found when a segment was applied."""
    with store.reading() as session:
        return unpack_state(
            session.scalars(select(Segment.state).where(Segment.segment == segment)).one()
        ).problems


def read_history(store: Store, run_id: str = "run1", **options: Any) -> list[dict[str, Any]]:
    """Return the result of the query for a run's history."""
    with store.reading() as session:
        run = session.scalars(select(Run).where(Run.run_id == run_id)).one()
        return history.rows(session, run, store.root, **options)


def all_rows(store: Store, segment: str) -> list[tuple[Any, ...]]:
    """Return all rows of a segment in the order of logging: hot rows, rows in parts, and hidden rows."""
    with store.reading() as session:
        at = session.scalars(select(Segment.id).where(Segment.segment == segment)).one()
        found = [
            (row.row, row.step, row.time, row.runtime, unpack_data(row.data))
            for row in session.scalars(select(HotRow).where(HotRow.segment_id == at))
        ]
        for path in session.scalars(select(Part.path).where(Part.segment_id == at)):
            found += [tuple(row) for row in read_part_rows(store.root / path)]
    return sorted(found, key=lambda row: row[0])


def dump(store: Store, *, with_rows: bool = True) -> str:
    """Return the content of a store as text, without ids, revisions and sizes, which may differ."""
    with store.reading() as session:
        runs = {
            f"{run.project.entity}/{run.project.name}/{run.run_id}": {
                column.key: getattr(run, column.key)
                for column in Run.__mapper__.column_attrs
                if column.key not in ("id", "project_id", "revision")
            }
            for run in session.scalars(select(Run))
        }
        segments = {
            each.segment: {
                "rank": each.rank,
                "attempt": each.attempt,
                "ended": each.ended,
                "sealed": each.sealed,
                "at": [each.journal_index, each.offset, each.sequence],
                "state": msgspec.to_builtins(unpack_state(each.state)),
            }
            for each in session.scalars(select(Segment))
        }
        versions = {
            f"{each.collection.name}:v{each.index}": {
                column.key: getattr(each, column.key)
                for column in Version.__mapper__.column_attrs
                if column.key not in ("id", "collection_id", "run_id")
            }
            for each in session.scalars(select(Version))
        }
        named = {
            each.id: f"{each.collection.name}:v{each.index}" for each in session.scalars(select(Version))
        }
        aliases = sorted(
            (named[each.version_id].partition(":")[0], each.alias, named[each.version_id])
            for each in session.scalars(select(Alias))
        )
        files = sorted(
            (session.get_one(Run, each.run_id).run_id, each.path, each.sha256, each.size, each.mimetype)
            for each in session.scalars(select(RunFile))
        )
        uses = sorted(
            (session.get_one(Run, each.run_id).run_id, named[each.version_id], each.used_at)
            for each in session.scalars(select(ArtifactUse))
        )
        projects = sorted(
            (each.entity, each.name, each.created_at) for each in session.scalars(select(Project))
        )
        parts = sorted(
            (Path(each.path).name[:58], each.rows, each.first_row, each.last_row)
            for each in session.scalars(select(Part))
        )
    rows = {segment: all_rows(store, segment) for segment in segments if with_rows}
    published = {
        str(path.relative_to(store.root)): values.loads(path.read_bytes())
        for path in sorted((store.root / "artifacts").rglob("*.json"))
    }
    for path in sorted((store.root / "runs").rglob("run.json")):
        described = values.loads(path.read_bytes())
        for name in ("revision", "checksum"):  # the checksum includes the revision and the names of parts
            described.pop(name, None)
        for part in [part for segment in described["segments"] for part in segment["parts"]]:
            part["path"] = part["path"].rsplit("-", 3)[0]  # the token and the checksums at the end differ
        if described["state"] != "running":  # the file of a running run may be older than the catalog
            published[str(path.relative_to(store.root))] = described
    answer = {
        "projects": projects,
        "runs": runs,
        "segments": segments,
        "versions": versions,
        "aliases": aliases,
        "files": files,
        "uses": uses,
        "parts": parts,
        "rows": rows,
        "published": published,
        "journals": [journal.path.name for journal in store.layout.list_journals()],
    }
    return values.dumps(msgspec.to_builtins(answer), indent=1, sort_keys=True)


def log_every_kind(store: Store, run_id: str, user_id: str, *, files: dict[str, bytes]) -> None:
    """Write the journals of a run with data of every kind, and of another run that uses its artifact.

    Args:
        store: The store.
        run_id: Id of the run.
        user_id: Id of the run that uses the artifact.
        files: Contents of the run's files by path.
    """
    first = Writer(store.layout, "aa" * 16, run_id, config={"lr": 0.5})
    for value in range(5):
        first.log({"loss": value})
    for path, content in files.items():
        first.file(path, content)
    first.put(SystemSample(first.tick(), {"cpu": 5.0}))
    first.put(ConsoleLines(first.tick(), [(0, 1, "hello")]))
    first.artifact("model", {"weights": b"1"}, ["latest", "first"])
    first.artifact("model", {"weights": b"2"}, ["latest", "best"])
    first.use("model", 0)
    first.finish("failed", 1, "ValueError: wrong")
    second = Writer(store.layout, "bb" * 16, run_id, start=START + 100, attempt=1, start_step=3)
    second.log({"loss": 7}, step=3)
    second.finish()
    other = Writer(store.layout, "cc" * 16, user_id, start=START + 200)
    other.log({"loss": 1})
    other.use("model", 1)
    other.finish()


def answers(store: Store) -> dict[str, Any]:
    """Return the results of all queries on a store, as plain values."""
    found: dict[str, Any] = {}
    with store.reading() as session:
        found["projects"] = runs.list_projects(session)
        for project in found["projects"]:
            place = (project.entity, project.name)
            page = runs.list_runs(session, *place)
            found["/".join(place)] = {
                "runs": page.runs,
                "artifacts": artifacts.list_artifacts(session, *place),
            }
            for listed in page.runs:
                run = runs.get_run(session, *place, listed.id)
                files = media.list_files(session, run)
                found["/".join((*place, listed.id))] = {
                    "run": runs.run_detail(session, *place, listed.id),
                    "history": history.rows(session, run, store.root),
                    "files": {file.path: [file.sha256, file.size, file.mimetype] for file in files},
                    "contents": {file.path: store.blobs.read(file.sha256).decode() for file in files},
                }
            for version in artifacts.list_artifacts(session, *place):
                reference = f"{version.name}:{version.version}"
                detail = artifacts.artifact_detail(session, *place, version.name, version.version)
                entries = read_manifest(store.blobs, detail.manifest).entries
                found["/".join((*place, reference))] = {
                    "detail": detail,
                    "files": entries,
                    "contents": {
                        entry.path: b"".join(
                            store.blobs.chunks(entry.blob or "", entry.offset, entry.size)
                        ).decode()
                        for entry in entries
                    },
                }
    plain: dict[str, Any] = values.loads(values.dumps(msgspec.to_builtins(found)))
    return plain


# Fields of artifact versions that were added with catalog revision 0003 and later.
LATER = ("manifest", "updated_at", "tags", "expires_at", "source", "logged_in")


def as_before(found: dict[str, Any]) -> dict[str, Any]:
    """Convert results of queries to the form of the oldest fixtures, without fields that were added later."""
    for project in found.get("projects", ()):
        project.pop("created_at", None)
    for answer in found.values():
        if not isinstance(answer, dict):
            continue
        if "run" in answer:
            run = answer["run"]
            for name in ("segments", "system_metrics", "alerts"):
                run.pop(name, None)
            for key in run["keys"]:
                key.pop("numbers", None)
                key.pop("other_ranks", None)
        # The summary no longer contains None, as in wandb.
        for run in (*answer.get("runs", ()), *([answer["run"]] if "run" in answer else ())):
            for name in ("reason", "last_seen", "host", "archived"):
                run.pop(name, None)
            run["summary"] = {key: value for key, value in run["summary"].items() if value is not None}
        versions = answer.get("artifacts", [])
        if "detail" in answer:
            detail = answer["detail"]
            versions = [detail]
            if "files" in answer:
                detail["files"] = answer.pop("files")
                detail["used_by"] = [run["id"] for run in detail["used_by"]]
        for version in versions:
            for name in LATER:
                version.pop(name, None)
    return found


def the_journal(store: Store) -> JournalPath:
    (journal,) = store.layout.list_journals()
    return journal
