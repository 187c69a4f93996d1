"""Every on-disk name of a store, built and parsed in this one file.

store.json                                   format version and id of the store; the mode that a group shares
catalog.db                                   SQLite index of everything below; see leases
leases/N.json, leases/N.beat                 which host holds the catalog, and which file it is
journals/HOST/SEGMENT-INDEX.journal          what writers append to
blobs/sha256/abcdef...                       content, named by its SHA-256; stores of format 1: ab/cdef...
blobs/sha256/abcdef....pack                  a pack of small contents, with an index
runs/ENTITY/PROJECT/RUN/run.json             the run, self-describing
runs/ENTITY/PROJECT/RUN/history/*.parquet    its sealed history
runs/ENTITY/PROJECT/RUN/deleted.json         the run was deleted: nothing else is left of it
artifacts/ENTITY/PROJECT/NAME/versions/0.json     one version, claimed by exclusive creation
artifacts/ENTITY/PROJECT/NAME/collection.json     its description and tags, if somebody gave any
artifacts/ENTITY/PROJECT/NAME/aliases/best.json   which version an alias names
sweeps/ENTITY/PROJECT/SWEEP/sweep.json       what a sweep searches
sweeps/ENTITY/PROJECT/SWEEP/state.json       what a person said of it: paused, canceled, finished
sweeps/ENTITY/PROJECT/SWEEP/trials/0.json    one trial and its run, claimed by exclusive creation
sweeps/ENTITY/PROJECT/SWEEP/runs/RUN.json    which trial a run is
drafts/TOKEN/                                what an artifact captured that has no version yet
trash/SHA256                                 blobs that garbage collection is deleting
logs/HOST-USER-ROLE.log                      what went wrong in tracker itself; FILE.1 is the one before
retention.txt                                which versions garbage collection keeps
remote.json                                  in an outbox: the server that it is for
sending/SERVER/                              runs of this store on their way to a server
server.key                                   the API key of the store's owner; only the owner can read it
tmp/                                         files being written, on the same file system
locks/                                       election of recorders, who has the store open, who begins a run
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from tracker.errors import NotFoundError
from tracker.ground.parsed_types import is_digest, is_token
from tracker.store.objects.atomic_files import make_folder

FORMAT_VERSION = 2
# Stands for a host in the names of journals that came over HTTP.
INGEST = "@ingest"
# Linux file systems take names of 255 bytes; .json and temporary endings need some of them.
LONGEST_COMPONENT = 200
DIGEST_LENGTH = 64
# Of the name of a pack with an index.
PACK_ENDING = ".pack"
KEPT_OF_LONG = 150
# Jobs that begin at once rarely share one of so many.
STARTING_LOCKS = 64
JOURNAL_NAME = re.compile(r"([0-9a-f]{32})-(\d{6})\.journal")
# Beyond so many names of journals, listing a folder is quicker than to look for each.
_MOST_TRIED = 100


class JournalPath(NamedTuple):
    """A journal file and what its name says."""

    path: Path
    segment: str
    number: int


class Layout:
    """Paths inside the store at ``root``; nothing here touches the disk except ``make``."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        # Another store in ``tracker.store.recovery.private_copy``: the one that a private copy shows.
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

    def make(self) -> None:
        """Create the folders that writers need; keep what is there."""
        folders = (self.temporary, self.journals, self.blobs, self.drafts, self.locks, self.leases)
        for folder in folders:
            make_folder(folder)

    def host_journals(self, host: str) -> Path:
        """Folder of the journals written on ``host``."""
        return self.journals / _component(host)

    def journal(self, host: str, segment: str, index: int) -> Path:
        """Journal file ``index`` of a segment that is written on ``host``."""
        return self.host_journals(host) / f"{segment}-{index:06d}.journal"

    def list_journals(self, host: str | None = None) -> list[JournalPath]:
        """Return the journals of one host, or of all, by segment and index."""
        folders = [self.host_journals(host)] if host else _children(self.journals)
        found = []
        for folder in folders:
            for path in _children(folder):
                if match := JOURNAL_NAME.fullmatch(path.name):
                    found.append(JournalPath(path, match[1], int(match[2])))
        return sorted(found, key=lambda journal: (journal.segment, journal.number))

    def segment_journals(self, segment: str, last: int) -> list[JournalPath]:
        """Return one segment's journals up to number ``last``; few are found without listing all others."""
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
        """The blob of that SHA-256 (64 hex digits).

        Raises:
            NotFoundError: It is no SHA-256, so no blob has that name.
        """
        if not is_digest(sha256):
            raise NotFoundError(f"there is no content {sha256!r}: that is not a SHA-256 in lower-case hex")
        return self.blobs / sha256

    def blob_places(self, sha256: str) -> tuple[Path, ...]:
        """Where a blob may be: its own name, that of a pack with an index, that of a store of format 1.

        Raises:
            NotFoundError: It is no SHA-256, so no blob has that name.
        """
        return self.blob(sha256), self.pack(sha256), self.blobs / sha256[:2] / sha256[2:]

    def pack(self, sha256: str) -> Path:
        """The blob of that SHA-256 that is a pack with an index."""
        return self.blobs / f"{sha256}{PACK_ENDING}"

    def list_packs(self) -> list[Path]:
        """Return the packs with an index; files with other names than ours are left out."""
        return sorted(
            path
            for path in _children(self.blobs)
            if path.name.endswith(PACK_ENDING) and is_digest(path.name.removesuffix(PACK_ENDING))
        )

    @property
    def is_copy(self) -> bool:
        """Whether this is a private copy of a store that this process may only read."""
        return self.source != self.root

    def draft(self, token: str) -> Path:
        """Folder of a draft.

        Raises:
            NotFoundError: It is no token, so no draft has that name.
        """
        return self.drafts / _checked_token(token)

    def settled(self, token: str) -> Path:
        """File that says what became of a draft that is gone."""
        return self.drafts / f"{_checked_token(token)}.json"

    def list_drafts(self) -> list[Path]:
        """Return the folders of all drafts, and the files of those that are gone."""
        return _children(self.drafts)

    def new_temporary(self) -> Path:
        """A name in the store's temporary folder that nobody else uses."""
        return self.temporary / os.urandom(16).hex()

    def run(self, entity: str, project: str, run_id: str) -> Path:
        """Folder of one run's published files."""
        return self.root / "runs" / _component(entity) / _component(project) / _component(run_id)

    def run_file(self, entity: str, project: str, run_id: str) -> Path:
        """The run's self-describing file."""
        return self.run(entity, project, run_id) / "run.json"

    def tombstone(self, entity: str, project: str, run_id: str) -> Path:
        """File that says that a run was deleted; all else of its folder is gone."""
        return self.run(entity, project, run_id) / "deleted.json"

    def tombstones(self) -> Iterator[Path]:
        """Yield the files of all deleted runs."""
        return self.root.glob("runs/*/*/*/deleted.json")

    def collection(self, entity: str, project: str, name: str) -> Path:
        """Folder of one artifact collection."""
        return self.root / "artifacts" / _component(entity) / _component(project) / _component(name)

    def collection_file(self, entity: str, project: str, name: str) -> Path:
        """Published file of what people said of a collection; absent unless somebody did."""
        return self.collection(entity, project, name) / "collection.json"

    def version(self, entity: str, project: str, name: str, index: int) -> Path:
        """Published file of one artifact version."""
        return self.collection(entity, project, name) / "versions" / f"{index}.json"

    def alias(self, entity: str, project: str, name: str, alias: str) -> Path:
        """Published file that says which version an alias names."""
        return self.collection(entity, project, name) / "aliases" / f"{_component(alias)}.json"

    def list_versions(self, entity: str, project: str, name: str) -> list[int]:
        """Return the version numbers that are published, ascending."""
        folder = self.collection(entity, project, name) / "versions"
        return sorted(
            int(path.stem) for path in _children(folder) if path.suffix == ".json" and path.stem.isdigit()
        )

    def alias_files(self, entity: str, project: str, name: str) -> list[Path]:
        """Return the published files of a collection's aliases; each says its alias and version."""
        folder = self.collection(entity, project, name) / "aliases"
        return sorted(path for path in _children(folder) if path.suffix == ".json")

    def sweep(self, entity: str, project: str, sweep: str) -> Path:
        """Folder of one sweep."""
        return self.sweeps(entity, project) / _component(sweep)

    def sweeps(self, entity: str, project: str) -> Path:
        """Folder of a project's sweeps."""
        return self.root / "sweeps" / _component(entity) / _component(project)

    def sweep_run(self, entity: str, project: str, sweep: str, run_id: str) -> Path:
        """File that says which trial of a sweep a run is."""
        return self.sweep(entity, project, sweep) / "runs" / f"{_component(run_id)}.json"

    def run_files(self) -> Iterator[Path]:
        """Yield every published run file, of all entities and projects."""
        return self.root.glob("runs/*/*/*/run.json")

    def run_folders(self) -> Iterator[Path]:
        """Yield the folders of all runs, of all entities and projects."""
        return self.root.glob("runs/*/*/*")

    def version_files(self) -> Iterator[Path]:
        """Yield every published version file."""
        return self.root.glob("artifacts/*/*/*/versions/*.json")

    def described_files(self) -> Iterator[Path]:
        """Yield every published file that says of which format it is."""
        yield from self.run_files()
        yield from self.tombstones()
        yield from self.version_files()
        yield from self.root.glob("artifacts/*/*/*/collection.json")

    def starting_lock(self, run: str) -> Path:
        """File whose lock a process holds while it begins a run; a few runs share one."""
        return self.locks / f"starting-{crc32(run.encode('utf-8', 'replace')) % STARTING_LOCKS:02}.lock"

    @property
    def store_lock(self) -> Path:
        """File whose lock everybody shares who has the store open."""
        return self.locks / "store.lock"

    def lease(self, number: int) -> Path:
        """File of one lease on the catalog; the one of the largest number is in force."""
        return self.leases / f"{number}.json"

    def beat(self, number: int) -> Path:
        """File whose content changes while the holder of that lease lives."""
        return self.leases / f"{number}.beat"

    @property
    def lease_lock(self) -> Path:
        """File whose lock all processes of the host share that use its lease."""
        return self.locks / "lease.lock"

    @property
    def garbage_lock(self) -> Path:
        """File whose lock garbage collection has alone."""
        return self.locks / "garbage.lock"

    @property
    def naming_lock(self) -> Path:
        """File whose lock is shared from storing a run's file to writing the record that names it."""
        return self.locks / "naming.lock"

    @property
    def repacking(self) -> Path:
        """File that names the versions whose packs a collection is about to replace; gone when it has."""
        return self.locks / "repacking.json"

    @property
    def sign_in(self) -> Path:
        """Folder of the tokens that sign a browser in; a file for each, named by its hash."""
        return self.locks / "sign-in"

    @property
    def served_at(self) -> Path:
        """File that says where the server listens that was started last."""
        return self.locks / "server.json"

    @property
    def sending_progress(self) -> Path:
        """File of an outbox whose mtime changes whenever the server has taken bytes."""
        return self.locks / "sending-progress"

    @property
    def server_away(self) -> Path:
        """File of an outbox that is there while the server cannot be reached, or refuses the key."""
        return self.locks / "server-away"

    @property
    def verified_to(self) -> Path:
        """File that says up to where an interrupted `tracker verify --all` has read."""
        return self.locks / "verified.json"

    @property
    def uploads(self) -> Path:
        """File whose mtime says when something last came over HTTP that no record named yet."""
        return self.locks / "uploads"

    def list_blobs(self) -> Iterator[os.DirEntry[str]]:
        """Yield every blob; ``blob_name`` says which it is."""
        with suppress(FileNotFoundError), os.scandir(self.blobs) as entries:
            for entry in entries:
                if entry.is_dir():
                    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(entry) as inside:
                        yield from inside
                else:
                    yield entry

    def list_trash(self) -> list[Path]:
        """Return what garbage collection had taken away and not deleted."""
        return _children(self.trash)

    def list_logs(self) -> list[Path]:
        """Return what the processes of all hosts and users logged."""
        return _children(self.logs)

    def list_temporary(self) -> list[Path]:
        """Return the files that are being written, and those that nobody finished."""
        return _children(self.temporary)

    def recorder_locks(self) -> list[Path]:
        """Return the lock files of all recorders there were."""
        return [path for path in _children(self.locks) if path.name.startswith("recorder-")]

    def recorder_lock(self, host: str) -> Path:
        """File whose lock the recorder of ``host`` holds."""
        return self.locks / f"recorder-{_component(host)}-{os.getuid()}.lock"

    def recorder_failures(self, host: str) -> Path:
        """File that says what the recorder of ``host`` cannot do; absent while all is well."""
        return self.locks / f"failures-{_component(host)}-{os.getuid()}.json"


def blob_name(path: str) -> str:
    """Return the SHA-256 that the path of a blob stands for."""
    folder, name = os.path.split(path.removesuffix(PACK_ENDING))
    return name if len(name) == DIGEST_LENGTH else os.path.basename(folder) + name


def parse_journal_name(name: str) -> tuple[str, int] | None:
    """Return the segment and the number in ``SEGMENT-NUMBER`` (a journal's name without ending)."""
    match = JOURNAL_NAME.fullmatch(name + ".journal")
    return (match[1], int(match[2])) if match else None


def _checked_token(token: str) -> str:
    if not is_token(token):
        raise NotFoundError(f"there is no draft {token!r}: that is not 32 lower-case hex digits")
    return token


def _component(name: str) -> str:
    """Return ``name`` as one safe path component: percent-encoded, never ``.`` or ``..``.

    One that would be too long for a file system is cut, with a digest of the whole behind ``%~``,
    which encoding never produces. The files inside say the full name.
    """
    quoted = quote(name, safe=" +=@,()")
    if len(quoted) > LONGEST_COMPONENT:
        import hashlib  # few names are so long

        return f"{quoted[:KEPT_OF_LONG]}%~{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
