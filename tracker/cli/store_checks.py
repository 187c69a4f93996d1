"""Checks of a store and its environment that change nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path

from tracker.errors import Error, StoreError, StoreVersionError
from tracker.ground.filesystems import existing_parent, filesystem_type, is_network
from tracker.ground.processes import host_name, is_alive
from tracker.ground.settings import Settings
from tracker.ground.terminal import printable
from tracker.journal.reader import read_header
from tracker.reading.open_reader import is_journal_only
from tracker.recorder.election import RecorderLock
from tracker.recorder.failure_file import ALL, read_failures
from tracker.recorder.journal_probe import is_damaged
from tracker.recorder.liveness import writer_of
from tracker.recorder.outbox import list_outboxes, remote_of
from tracker.recorder.spool import spool_of
from tracker.recorder.tails import tails_of_dead
from tracker.store.catalog.lease import catalog_of, held_elsewhere, read_lease
from tracker.store.catalog.migrations import REVISION, REVISIONS
from tracker.store.objects.atomic_files import open_regular
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.objects.store_file import check_description, is_marked_with_people, is_read_only
from tracker.store.published.people import read_people
from tracker.store.recovery.missing_files import KnownFile, examine_files, known_files
from tracker.store.recovery.orphan_segments import describe_orphan
from tracker.version import __version__

# A full backlog of one writer and the catalog need about this much free space, in bytes.
LEAST_FREE = 256 * 1024 * 1024
# How many log files are shown, how many lines of each, and how many bytes are read for them.
MOST_LOGS, LOG_LINES, LOG_BYTES = 3, 15, 10_000
# How many missing files are named.
MOST_FILES = 20


@dataclass(frozen=True)
class Finding:
    """One result of a check. ``good`` is False if the user must act."""

    name: str
    good: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    """Return the results of all checks of a store and its environment; change nothing."""
    layout = Layout(settings.store)
    found = [_versions(), _store(layout), _file_system(settings), _free_space(layout)]
    if is_read_only(layout):
        found += _segments(layout, "journals", "waiting for a user who may write to the store")
    elif layout.description.is_file():
        found += [_catalog(layout, settings), _recorder(layout), *_segments(layout, "journals")]
        found += [*_people(layout), *_files(layout), *_logs(layout)]
    found += _tails(layout)
    for outbox in list_outboxes(layout.root):
        remote = remote_of(outbox)
        found += _segments(outbox, "outbox", f"waiting for {remote.url}" if remote else "without a server")
    if settings.spool is not None:
        spool = spool_of(settings.spool, settings.store)
        found += _segments(spool, "spool", f"waiting for {settings.store}")
    found += [finding for each in (layout, *list_outboxes(layout.root)) for finding in _logs(each)]
    return found


def _versions() -> Finding:
    parts = [f"tracker {__version__}", f"Python {platform.python_version()}"]
    missing = []
    for name in ("msgspec", "sqlalchemy", "alembic", "pyarrow"):
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        parts.append(f"{', '.join(missing)} not installed: a machine that has them must apply the journals")
    return Finding("versions", not missing, ", ".join(parts))


def _store(layout: Layout) -> Finding:
    try:
        check_description(layout)
    except Error as error:
        return Finding("store", False, error.message)
    if not layout.description.is_file():
        return Finding("store", True, f"{layout.root} does not exist yet; the first run creates it")
    if is_read_only(layout) or not os.access(layout.root, os.W_OK | os.X_OK):
        return Finding("store", False, f"{layout.root} is read-only for this user")
    return Finding("store", True, str(layout.root))


def _file_system(settings: Settings) -> Finding:
    place = existing_parent(settings.store)
    kind = filesystem_type(place)
    seen = "shared over a network" if is_network(place) else "local"
    if is_journal_only(settings):
        role = "writes journals only; the host that runs `tracker server` or `tracker sync` keeps the catalog"
    else:
        role = "this host keeps the catalog"
    # Two hosts can damage an SQLite file on a network file system. Only an explicit setting leads here.
    good = is_journal_only(settings) or not is_network(place)
    return Finding("file system", good, f"{kind}, {seen}: {role}")


def _free_space(layout: Layout) -> Finding:
    free = shutil.disk_usage(existing_parent(layout.root)).free
    return Finding("free space", free >= LEAST_FREE, f"{free / 1e9:.1f} GB")


def _catalog(layout: Layout, settings: Settings) -> Finding:
    try:
        holder = held_elsewhere(layout)
    except Error as error:
        return Finding("catalog", False, error.message)
    if holder is not None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
        return Finding("catalog", True, f"{holder.host} (process {holder.pid}) holds it since {since}")
    if not _is_readable_here(layout):
        return Finding("catalog", True, "not read here: a host that is not using it now keeps it")
    if not catalog_of(layout).is_file():
        return Finding(
            "catalog",
            True,
            "none yet" if is_journal_only(settings) else "none yet; the next reader creates it",
        )
    try:
        with closing(_open(layout)) as catalog:
            (revision,) = catalog.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        return Finding(
            "catalog",
            False,
            f"cannot read {catalog_of(layout)} ({error}): run `tracker rebuild`",
        )
    if revision not in REVISIONS:
        text = (
            f"revision {revision} is from a newer tracker: upgrade airgap-tracker (this one knows {REVISION})"
        )
        return Finding("catalog", False, text)
    later = "" if revision == REVISION else f"; the next program that opens it migrates it to {REVISION}"
    return Finding("catalog", True, f"revision {revision}{later}")


def _people(layout: Layout) -> list[Finding]:
    if layout.people.exists() and not os.access(layout.people, os.R_OK):
        return [Finding("people", True, f"{layout.people} belongs to another user")]
    try:
        found = read_people(layout)
        if found is not None:
            text = f"{len(found.users)} users, {len(found.keys)} API keys"
            return [Finding("people", True, text)]
        if is_marked_with_people(layout):
            text = f"{layout.people} is missing: run `tracker user list`, which writes it from the catalog"
            return [Finding("people", False, text)]
    except StoreVersionError as error:
        return [Finding("people", False, error.message)]
    except StoreError:
        text = f"{layout.people} is damaged: run `tracker rebuild`, which writes it again from the catalog"
        return [Finding("people", False, text)]
    return []


def _files(layout: Layout) -> list[Finding]:
    known: dict[Path, KnownFile] = {}
    with suppress(sqlite3.Error, Error), closing(_open(layout)) as catalog:
        known = known_files(layout, catalog)
    lines = [*examine_files(layout, known)]
    found = [Finding("files", False, line) for line in lines[:MOST_FILES]]
    if len(lines) > len(found):
        found.append(Finding("files", False, f"and {len(lines) - len(found)} more"))
    return found or [Finding("files", True, "every run and version has its file")]


def _recorder(layout: Layout) -> Finding:
    lock = RecorderLock(layout)
    try:
        alive = not lock.acquire()
    except OSError as error:
        return Finding("recorder", False, f"cannot open its lock: {error}")
    lock.release()
    failures = read_failures(layout)
    if ALL in failures.reasons:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(failures.time))
        return Finding("recorder", False, f"it failed at {at}: {printable(failures.reasons[ALL])}")
    return Finding("recorder", True, "running" if alive else "not running; the next run starts one if needed")


def _logs(layout: Layout) -> list[Finding]:
    """Return the last lines of the most recently written logs."""
    found = []
    for path in sorted(layout.list_logs(), key=lambda path: path.lstat().st_mtime)[-MOST_LOGS:]:
        with suppress(OSError), open(open_regular(path), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:]
            found.append(Finding("log", True, "\n       ".join([str(path), *map(printable, lines)])))
    return found


def _segments(layout: Layout, name: str, wait: str = "waiting for `tracker sync`") -> list[Finding]:
    live = silent = size = 0
    found = [Finding(name, False, line) for line in _orphans(layout)]
    faults, places = _known_faults(layout), _places(layout)
    for segment, group in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        files = list(group)
        fault = _fault(files, places.get(segment, (0, 0, 0))) or faults.get(segment)
        if fault:
            found.append(Finding(name, False, f"{files[0].path}: {fault}"))
        size += sum(file.path.stat().st_size for file in files if file.path.exists())
        writer = writer_of(files[0])
        if writer is not None and is_alive(writer):
            live += 1
        else:
            silent += 1
    text = f"{live} being written on {host_name()}, {silent} {wait}; {size / 1e6:.1f} MB"
    return [Finding(name, True, text), *found]


def _tails(layout: Layout) -> list[Finding]:
    tails = tails_of_dead(layout)
    if not tails:
        return []
    text = (
        f"{len(tails)} killed process{'es' * (len(tails) > 1)} left records in {tails[0].parent}. The next "
    )
    return [Finding("records on this host", True, text + "run or command here that uses the store adds them")]


def _fault(files: list[JournalPath], place: tuple[int, int, int]) -> str | None:
    try:
        for file in files:
            read_header(file.path)
        if is_damaged(files, *place):
            return "damaged bytes precede intact records that are not applied yet"
    except Error as error:
        return error.message
    return None


def _places(layout: Layout) -> dict[str, tuple[int, int, int]]:
    """Return the journal index, byte offset and record number up to which each segment is applied."""
    try:
        with closing(_open(layout)) as catalog:
            found = catalog.execute(
                "SELECT segment, journal_index, journal_offset, sequence FROM segments WHERE NOT sealed"
            )
            return {segment: tuple(place) for segment, *place in found}
    except sqlite3.Error:
        return {}


def _orphans(layout: Layout) -> list[str]:
    try:
        with closing(_open(layout)) as catalog:
            found = catalog.execute("SELECT segment, state FROM segments WHERE run_id IS NULL AND NOT sealed")
            return [describe_orphan(segment, state) for segment, state in found]
    except sqlite3.Error:
        return []


def _known_faults(layout: Layout) -> dict[str, str]:
    """Return, by segment, the fault that stopped a process from applying it."""
    try:
        with closing(_open(layout)) as catalog:
            return dict(catalog.execute("SELECT segment, fault FROM segments WHERE fault IS NOT NULL"))
    except sqlite3.Error:
        return {}  # no catalog, or a catalog that is older than this column


def _open(layout: Layout) -> sqlite3.Connection:
    try:
        catalog, readable = catalog_of(layout), _is_readable_here(layout)
    except Error as error:
        raise sqlite3.OperationalError(error.message) from error
    if not readable or not catalog.is_file():
        raise sqlite3.OperationalError("this host has no catalog to read")
    return sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True, timeout=5)


def _is_readable_here(layout: Layout) -> bool:
    """Return whether SQLite may open the catalog: on a network file system only where a process holds it."""
    held = read_lease(layout).state == "held" or not is_network(layout.root)
    return held and held_elsewhere(layout) is None
