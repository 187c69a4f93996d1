"""Paths of a store. Only this module builds and parses the names of files on disk.

store.json                                   format version and id of the store, mode of a group-shared store
catalog.db                                   SQLite index of everything below; a lease may name another file
leases/N.json, leases/N.beat                 the host that holds the catalog, and the name of the catalog
journals/HOST/SEGMENT-INDEX.journal          records that writers append
journals/HOST/silent/SEGMENT-INDEX-SIZE-TIME.journal   sealed journals whose writers may come back
journals/HOST/SEGMENT-INDEX.moved            only in a spool: how many bytes of the journal were moved
blobs/sha256/abcdef...                       content, named by its SHA-256; stores of format 1: ab/cdef...
blobs/sha256/abcdef....pack                  a pack of small contents, with an index
runs/ENTITY/PROJECT/RUN/run.json             description of a run
runs/ENTITY/PROJECT/RUN/history/*.parquet    sealed history of a run
runs/ENTITY/PROJECT/RUN/deleted.json         tombstone: the only file that is left of a deleted run
runs/ENTITY/PROJECT/RUN/deleted/TOKEN.json   description of a deleted run that can be restored
runs/ENTITY/PROJECT/RUN/moved.json           where runs with this id were moved
artifacts/ENTITY/PROJECT/NAME/versions/0.json     one version, claimed by exclusive creation
artifacts/ENTITY/PROJECT/NAME/collection.json     description and tags of a collection, if it has any
artifacts/ENTITY/PROJECT/NAME/aliases/best.json   the version that an alias names
sweeps/ENTITY/PROJECT/SWEEP/sweep.json       the parameters that a sweep searches
sweeps/ENTITY/PROJECT/SWEEP/state.json       the state that a person set: paused, canceled, finished
sweeps/ENTITY/PROJECT/SWEEP/trials/0.json    one trial and its run, claimed by exclusive creation
sweeps/ENTITY/PROJECT/SWEEP/runs/RUN.json    the trial that a run belongs to
sweeps/ENTITY/PROJECT/SWEEP/agents/ID.json   an agent of the wandb client, and the trials that it has got
stops/ENTITY/PROJECT/RUN.json                the time when a person asked a run to stop
documents/ENTITY/PROJECT/KIND/ID.json        a saved view, a report, or the notes of a project
drafts/TOKEN/                                captured files of an artifact that is not a version yet
drafts/TOKEN/wandb.json                      an artifact that a wandb client is sending to a server
trash/SHA256                                 blobs that garbage collection is deleting
logs/HOST-USER-ROLE.log                      errors of tracker itself; FILE.1 is the previous file
retention.txt                                retention rules for garbage collection
remote.json                                  only in an outbox: the server or store that receives its content
sending/SERVER/                              runs of this store that are being sent to a server
bundles/sent/ID.json                         what a bundle of this store contains
bundles/received/ID.json                     what this store has of an imported bundle: its receipt
people.json                                  users, roles, private projects, keys; only its owner can read it
server.key                                   the API key of the store's owner; only the owner can read it
tmp/                                         files being written, on the same file system
locks/                                       locks of recorders, open stores, starting runs; state files
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from tracker.errors import NotFoundError
from tracker.ground.parsed_types import is_digest, is_token
from tracker.ground.processes import MISSED_SECONDS
from tracker.journal.writer import write_held_back
from tracker.store.objects.atomic_files import make_folder

FORMAT_VERSION = 2
# Takes the place of the host in the paths of journals that a server received.
INGEST = "@ingest"
# The same for the journals that a server writes for wandb clients.
WANDB = "@wandb"
# A wandb client may send nothing for 30 s, and waits for up to 60 s until it tries again to reach a server.
_WANDB_MISSED_SECONDS = 300.0
# End of the folder name of the journals that were moved from a spool, after the name of their host.
SPOOLED = "@spool"
# Linux file systems allow names of 255 bytes; ".json" and temporary endings need some of them.
LONGEST_COMPONENT = 200
DIGEST_LENGTH = 64
# End of the file name of a pack with an index.
PACK_ENDING = ".pack"
# Characters that are kept of a longer name; a digest of the whole name follows them.
KEPT_OF_LONG = 150
# With 64 locks, jobs that begin at the same time rarely share a lock.
STARTING_LOCKS = 64
JOURNAL_NAME = re.compile(r"([0-9a-f]{32})-(\d{6})\.journal")
_SILENT_NAME = re.compile(r"([0-9a-f]{32})-(\d{6})-(\d+)-(\d+)\.journal")
# For more names than this, listing the folders is faster than testing each name.
_MOST_TRIED = 100


# By the folder of a store: moves the journals that wait in a spool of this process to the store.
arrivals: dict[Path, Callable[[], None]] = {}
_moving = ContextVar("_moving", default=False)


@contextmanager
def without_arrivals() -> Iterator[None]:
    """Move nothing when this thread lists journals: it moves journals, and has the lock of the spool."""
    token = _moving.set(True)
    try:
        yield
    finally:
        _moving.reset(token)


class JournalPath(NamedTuple):
    """A journal file, with the segment and the number from its name."""

    path: Path
    segment: str
    number: int

    @property
    def missed_after(self) -> float:
        """Seconds after which its writer counts as silent, if the file is not touched."""
        return _WANDB_MISSED_SECONDS if self.path.parent.name == WANDB else MISSED_SECONDS


class SilentJournal(NamedTuple):
    """A journal that was set aside when its segment was sealed, although its writer may come back.

    Attributes:
        path: Where the journal is.
        segment: The segment from its name.
        number: The number from its name.
        size: Its size in bytes when it was set aside.
        changed_at: Its modification time then, in whole unix seconds.
    """

    path: Path
    segment: str
    number: int
    size: int
    changed_at: int

    @property
    def journal(self) -> JournalPath:
        """Its place among the journals."""
        place = self.path.parent.parent / f"{self.segment}-{self.number:06d}.journal"
        return JournalPath(place, self.segment, self.number)


class Layout:
    """Paths of the store at ``root``. Only ``make`` writes to the disk."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        # A private copy (``tracker.store.recovery.private_copy``) sets this to the root of the copied store.
        self.source = self.root
        self.description = self.root / "store.json"
        # The name of a new store's catalog; `tracker.store.catalog.lease.catalog_of` returns the one in use.
        self.catalog = self.root / "catalog.db"
        self.leases = self.root / "leases"
        self.journals = self.root / "journals"
        self.blobs = self.root / "blobs" / "sha256"
        self.drafts = self.root / "drafts"
        self.temporary = self.root / "tmp"
        self.locks = self.root / "locks"
        self.trash = self.root / "trash"
        self.logs = self.root / "logs"
        self.retention = self.root / "retention.txt"
        self.remote = self.root / "remote.json"
        self.server_key = self.root / "server.key"
        self.people = self.root / "people.json"

    def make(self) -> None:
        """Create the folders that writers need. Keep existing folders."""
        folders = (self.temporary, self.journals, self.blobs, self.drafts, self.locks, self.leases)
        for folder in folders:
            make_folder(folder)

    def host_journals(self, host: str) -> Path:
        """Return the folder of the journals written on ``host``."""
        return self.journals / path_component(host)

    def journal(self, host: str, segment: str, index: int) -> Path:
        """Return the path of a journal.

        Args:
            host: Name of the host where the writer of the segment runs.
            segment: Id of the segment.
            index: Number of the journal in the segment, from 0.
        """
        return self.host_journals(host) / f"{segment}-{index:06d}.journal"

    def list_journals(self, host: str | None = None) -> list[JournalPath]:
        """Return the journals of one host, or of all hosts, ordered by segment and number.

        Records of this process that wait to be written are written first, and those in its spool are moved.
        """
        write_held_back()
        self.move_arrivals()
        found = []
        for folder in self.journal_folders(host):
            for path in _children(folder):
                if match := JOURNAL_NAME.fullmatch(path.name):
                    found.append(JournalPath(path, match[1], int(match[2])))
        return sorted(found, key=lambda journal: (journal.segment, journal.number))

    def move_arrivals(self) -> None:
        """Move the journals that wait in a spool of this process to this store."""
        if (move := arrivals.get(self.root)) is not None and not _moving.get():
            move()

    def journal_folders(self, host: str | None = None) -> list[Path]:
        """Return the folder of the journals of one host, or those of all hosts."""
        return [self.host_journals(host)] if host else _children(self.journals)

    def silent_place(self, journal: JournalPath, size: int, changed_at: int) -> Path:
        """Return the path to which a journal is set aside.

        Args:
            journal: The journal.
            size: See ``SilentJournal``.
            changed_at: See ``SilentJournal``.
        """
        name = f"{journal.segment}-{journal.number:06d}-{size}-{changed_at}.journal"
        return journal.path.parent / "silent" / name

    def list_silent(self, host: str | None = None) -> list[SilentJournal]:
        """Return the journals of one host, or of all hosts, that were set aside."""
        found = []
        for folder in self.journal_folders(host):
            for path in _children(folder / "silent"):
                if match := _SILENT_NAME.fullmatch(path.name):
                    found.append(SilentJournal(path, match[1], *map(int, match.groups()[1:])))
        return found

    def segment_journals(self, segment: str, last: int) -> list[JournalPath]:
        """Return the journals of one segment with numbers up to ``last``.

        If ``last`` is small, the method tests each name, so its cost does not depend on other journals.
        """
        if last > _MOST_TRIED:
            return [each for each in self.list_journals() if each.segment == segment and each.number <= last]
        names = [(number, f"{segment}-{number:06d}.journal") for number in range(last + 1)]
        return [
            JournalPath(folder / name, segment, number)
            for folder in _children(self.journals)
            for number, name in names
            if (folder / name).exists()
        ]

    def blob(self, sha256: str) -> Path:
        """Return the path of the blob with that SHA-256 (64 hex digits).

        Raises:
            NotFoundError: ``sha256`` is not a SHA-256.
        """
        if not is_digest(sha256):
            raise NotFoundError(f"there is no content {sha256!r}: give a SHA-256, 64 lower-case hex digits")
        return self.blobs / sha256

    def blob_places(self, sha256: str) -> tuple[Path, ...]:
        """Return the possible paths of a blob: as a blob, as a pack with an index, in a store of format 1.

        Raises:
            NotFoundError: ``sha256`` is not a SHA-256.
        """
        return self.blob(sha256), self.pack(sha256), self.blobs / sha256[:2] / sha256[2:]

    def pack(self, sha256: str) -> Path:
        """Return the path of the pack with an index that has that SHA-256."""
        return self.blobs / f"{sha256}{PACK_ENDING}"

    def list_packs(self) -> list[Path]:
        """Return the packs with an index, sorted. Ignore files with unknown names."""
        return sorted(
            path
            for path in _children(self.blobs)
            if path.name.endswith(PACK_ENDING) and is_digest(path.name.removesuffix(PACK_ENDING))
        )

    @property
    def is_copy(self) -> bool:
        """Return whether this is a private copy of a store that this process may only read."""
        return self.source != self.root

    def draft(self, token: str) -> Path:
        """Return the folder of a draft.

        Raises:
            NotFoundError: ``token`` is not a token of a draft.
        """
        return self.drafts / _checked_token(token)

    def finalized(self, token: str) -> Path:
        """Return the path of the note that remains of a finalized draft after the draft is removed."""
        return self.drafts / f"{_checked_token(token)}.json"

    def list_drafts(self) -> list[Path]:
        """Return the folders of all drafts, and the notes of removed drafts."""
        return _children(self.drafts)

    def new_temporary(self) -> Path:
        """Return a new random path in the temporary folder of the store."""
        return self.temporary / os.urandom(16).hex()

    def run(self, entity: str, project: str, run_id: str) -> Path:
        """Return the folder with the published files of a run.

        Args:
            entity: Entity of the run.
            project: Project of the run.
            run_id: Id of the run, unique in the project.
        """
        return self.root / "runs" / path_component(entity) / path_component(project) / path_component(run_id)

    def run_file(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of ``run.json`` of a run. See ``Layout.run``."""
        return self.run(entity, project, run_id) / "run.json"

    def tombstone(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of the tombstone of a deleted run. See ``Layout.run``.

        The tombstone is the only file in the folder of a deleted run that cannot be restored.
        """
        return self.run(entity, project, run_id) / "deleted.json"

    def tombstones(self) -> Iterator[Path]:
        """Yield the tombstones of all deleted runs."""
        return self.root.glob("runs/*/*/*/deleted.json")

    def kept_run(self, entity: str, project: str, run_id: str, token: str) -> Path:
        """Return the path of the description of a deleted run that can be restored. See ``Layout.run``.

        Raises:
            NotFoundError: ``token`` is not the id of a segment.
        """
        if not is_token(token):
            raise NotFoundError(
                f"there is no deleted run {token!r}: give a token of 32 lower-case hex digits"
            )
        return self.run(entity, project, run_id) / "deleted" / f"{token}.json"

    def moves(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of the file with the moves of a run to other projects. See ``Layout.run``."""
        return self.run(entity, project, run_id) / "moved.json"

    def list_moves(self) -> Iterator[Path]:
        """Yield the files with the moves of all runs."""
        return self.root.glob("runs/*/*/*/moved.json")

    def kept_runs(self) -> Iterator[Path]:
        """Yield the descriptions of all deleted runs that can be restored."""
        return self.root.glob("runs/*/*/*/deleted/*.json")

    def collection(self, entity: str, project: str, name: str) -> Path:
        """Return the folder of an artifact collection.

        Args:
            entity: Entity of the collection.
            project: Project of the collection.
            name: Name of the collection, unique in the project.
        """
        return (
            self.root / "artifacts" / path_component(entity) / path_component(project) / path_component(name)
        )

    def collection_file(self, entity: str, project: str, name: str) -> Path:
        """Return the path of ``collection.json``, with the description and tags. See ``Layout.collection``.

        The file is absent until a person sets one of them.
        """
        return self.collection(entity, project, name) / "collection.json"

    def version(self, entity: str, project: str, name: str, index: int) -> Path:
        """Return the path of the published file of an artifact version.

        Args:
            entity: Entity of the collection.
            project: Project of the collection.
            name: Name of the collection.
            index: Number of the version, from 0.
        """
        return self.collection(entity, project, name) / "versions" / f"{index}.json"

    def alias(self, entity: str, project: str, name: str, alias: str) -> Path:
        """Return the path of the published file that contains the version of an alias.

        Args:
            entity: Entity of the collection.
            project: Project of the collection.
            name: Name of the collection.
            alias: The alias.
        """
        return self.collection(entity, project, name) / "aliases" / f"{path_component(alias)}.json"

    def list_versions(self, entity: str, project: str, name: str) -> list[int]:
        """Return the numbers of the published versions, ascending. See ``Layout.collection``."""
        folder = self.collection(entity, project, name) / "versions"
        return sorted(
            int(path.stem) for path in _children(folder) if path.suffix == ".json" and path.stem.isdigit()
        )

    def alias_files(self, entity: str, project: str, name: str) -> list[Path]:
        """Return the published files of the aliases of a collection. See ``Layout.collection``."""
        folder = self.collection(entity, project, name) / "aliases"
        return sorted(path for path in _children(folder) if path.suffix == ".json")

    def sweep(self, entity: str, project: str, sweep: str) -> Path:
        """Return the folder of a sweep.

        Args:
            entity: Entity of the sweep.
            project: Project of the sweep.
            sweep: Id of the sweep, unique in the project.
        """
        return self.sweeps(entity, project) / path_component(sweep)

    def sweeps(self, entity: str, project: str) -> Path:
        """Return the folder of the sweeps of a project."""
        return self.root / "sweeps" / path_component(entity) / path_component(project)

    def sweep_run(self, entity: str, project: str, sweep: str, run_id: str) -> Path:
        """Return the path of the file that names the trial of a run in a sweep.

        Args:
            entity: Entity of the sweep.
            project: Project of the sweep.
            sweep: Id of the sweep.
            run_id: Id of the run.
        """
        return self.sweep(entity, project, sweep) / "runs" / f"{path_component(run_id)}.json"

    def sweep_agents(self, entity: str, project: str, sweep: str) -> Path:
        """Return the folder with the agents of a sweep that use the wandb client. See ``Layout.sweep``."""
        return self.sweep(entity, project, sweep) / "agents"

    def stop_request(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of the file that asks a run to stop. See ``Layout.run``."""
        folder = self.root / "stops" / path_component(entity) / path_component(project)
        return folder / f"{path_component(run_id)}.json"

    def run_files(self) -> Iterator[Path]:
        """Yield the file ``run.json`` of every run."""
        return self.root.glob("runs/*/*/*/run.json")

    def run_folders(self) -> Iterator[Path]:
        """Yield the folder of every run, deleted runs included."""
        return self.root.glob("runs/*/*/*")

    def version_files(self) -> Iterator[Path]:
        """Yield the published file of every artifact version."""
        return self.root.glob("artifacts/*/*/*/versions/*.json")

    def described_files(self) -> Iterator[Path]:
        """Yield every published file that has a field ``format``."""
        yield from self.run_files()
        yield from self.tombstones()
        yield from self.list_moves()
        yield from self.kept_runs()
        yield from self.version_files()
        yield from self.root.glob("artifacts/*/*/*/collection.json")
        yield from self.root.glob("documents/*/*/*/*.json")
        yield self.people

    def document(self, entity: str, project: str, kind: str, document_id: str) -> Path:
        """Return the path of a document.

        Args:
            entity: Entity of the project.
            project: Project of the document.
            kind: Kind of the document, such as ``"views"``.
            document_id: Id of the document.
        """
        return self._documents(entity, project, kind) / f"{path_component(document_id)}.json"

    def list_documents(self, entity: str, project: str, kind: str) -> list[Path]:
        """Return the documents of a project of one kind. See ``Layout.document``."""
        return [path for path in _children(self._documents(entity, project, kind)) if path.suffix == ".json"]

    def _documents(self, entity: str, project: str, kind: str) -> Path:
        return (
            self.root / "documents" / path_component(entity) / path_component(project) / path_component(kind)
        )

    def starting_lock(self, run: str) -> Path:
        """Return the path of the lock that a process holds while it begins a run.

        Several runs may share a lock.
        """
        return self.locks / f"starting-{crc32(run.encode('utf-8', 'replace')) % STARTING_LOCKS:02}.lock"

    @property
    def store_lock(self) -> Path:
        """Path of the lock that every process shares while it has the store open."""
        return self.locks / "store.lock"

    def lease(self, number: int) -> Path:
        """Return the path of a lease on the catalog. The lease with the largest number is in force."""
        return self.leases / f"{number}.json"

    def beat(self, number: int) -> Path:
        """Return the path of the file that the holder of a lease rewrites regularly while it is alive."""
        return self.leases / f"{number}.beat"

    @property
    def lease_lock(self) -> Path:
        """Path of the lock that all processes share while they use the lease of their host."""
        return self.locks / "lease.lock"

    @property
    def garbage_lock(self) -> Path:
        """Path of the exclusive lock of garbage collection."""
        return self.locks / "garbage.lock"

    @property
    def naming_lock(self) -> Path:
        """Path of the lock that a writer shares from storing a run file until its record is written."""
        return self.locks / "naming.lock"

    @property
    def repacking(self) -> Path:
        """Path of the file with the versions that a garbage collection is repacking; absent otherwise."""
        return self.locks / "repacking.json"

    @property
    def moving(self) -> Path:
        """Path of the file with the move of a run that is not complete; absent otherwise."""
        return self.locks / "moving.json"

    @property
    def sign_in(self) -> Path:
        """Folder of the sign-in tokens for browsers. A token is a file, named by the hash of the token."""
        return self.locks / "sign-in"

    @property
    def served_at(self) -> Path:
        """Path of the file with the address of the server that was started last."""
        return self.locks / "server.json"

    @property
    def sending_progress(self) -> Path:
        """Path of a file in an outbox. Its mtime changes whenever the server has accepted bytes."""
        return self.locks / "sending-progress"

    @property
    def server_away(self) -> Path:
        """Path of a file in an outbox. It exists while the server is unreachable or rejects the API key."""
        return self.locks / "server-away"

    @property
    def verified_to(self) -> Path:
        """Path of the file with the position at which an interrupted `tracker verify --all` resumes."""
        return self.locks / "verified.json"

    def sent_bundle(self, bundle: str) -> Path:
        """Return the path of the file with what a bundle of this store contains.

        Args:
            bundle: Id of the bundle, 32 hex digits.
        """
        return self.root / "bundles" / "sent" / f"{bundle}.json"

    def received_bundle(self, bundle: str) -> Path:
        """Return the path of the receipt of a bundle that this store has imported. See ``sent_bundle``."""
        return self.root / "bundles" / "received" / f"{bundle}.json"

    def list_sent_bundles(self) -> list[Path]:
        """Return the files with what the bundles of this store contain."""
        return [path for path in _children(self.root / "bundles" / "sent") if path.suffix == ".json"]

    @property
    def uploads(self) -> Path:
        """Path of a file whose mtime is the time of the last upload of content before its record."""
        return self.locks / "uploads"

    def list_blobs(self) -> Iterator[os.DirEntry[str]]:
        """Yield the directory entry of every blob. ``blob_name`` returns the SHA-256 for its path."""
        with suppress(FileNotFoundError), os.scandir(self.blobs) as entries:
            for entry in entries:
                if entry.is_dir():
                    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(entry) as inside:
                        yield from inside
                else:
                    yield entry

    def list_trash(self) -> list[Path]:
        """Return the blobs that garbage collection has moved to the trash and not deleted yet."""
        return _children(self.trash)

    def list_logs(self) -> list[Path]:
        """Return the log files of the processes of all hosts and users."""
        return _children(self.logs)

    def list_temporary(self) -> list[Path]:
        """Return the temporary files: those that are being written, and those that were abandoned."""
        return _children(self.temporary)

    def recorder_locks(self) -> list[Path]:
        """Return the lock files of all past and present recorders."""
        return [path for path in _children(self.locks) if path.name.startswith("recorder-")]

    def recorder_lock(self, host: str) -> Path:
        """Return the path of the lock that this user's recorder on ``host`` holds."""
        return self.locks / f"recorder-{path_component(host)}-{os.getuid()}.lock"

    def recorder_failures(self, host: str) -> Path:
        """Return the path of the file with the failures of this user's recorder on ``host``.

        The file is absent while there are no failures.
        """
        return self.locks / f"failures-{path_component(host)}-{os.getuid()}.json"


def blob_name(path: str) -> str:
    """Return the SHA-256 from the path of a blob."""
    folder, name = os.path.split(path.removesuffix(PACK_ENDING))
    return name if len(name) == DIGEST_LENGTH else os.path.basename(folder) + name


def parse_journal_name(name: str) -> tuple[str, int] | None:
    """Return the segment and the number of a journal name without ending (``SEGMENT-NUMBER``), or None."""
    match = JOURNAL_NAME.fullmatch(name + ".journal")
    return (match[1], int(match[2])) if match else None


def moved_bytes_file(journal: Path) -> Path:
    """Return the path of the file that tells how many bytes of a journal in a spool were moved."""
    return journal.with_suffix(".moved")


def _checked_token(token: str) -> str:
    if not is_token(token):
        raise NotFoundError(f"there is no draft {token!r}: give a token of 32 lower-case hex digits")
    return token


def path_component(name: str) -> str:
    """Return ``name`` as a safe path component: percent-encoded, never ``.`` or ``..``.

    A name that is too long for a file system is cut. The result then ends with ``%~``, which encoding never
    produces, and a digest of the whole name. The files in such a folder contain the full name.
    """
    quoted = quote(name, safe=" +=@,()")
    if len(quoted) > LONGEST_COMPONENT:
        import hashlib  # imported late, because few names are that long

        return f"{quoted[:KEPT_OF_LONG]}%~{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
