"""Records that killed writers have left on a disk of this host: ``tracker.journal.coalesced``.

A tail belongs to one user and one host. Any process of them that uses the store writes the records of a tail
whose writer is dead to the next journal file of the segment.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tracker.capture import logs
from tracker.errors import JournalError
from tracker.ground.filesystems import local_state_folder, local_state_places
from tracker.journal.coalesced import ENDING, NEW_ENDING, Tail, TailOwner, is_own, read_tail
from tracker.journal.format import HEADER, pack_header
from tracker.journal.reader import Frame, read_frames, split_frames
from tracker.store.objects.atomic_files import claim, write_new
from tracker.store.objects.layout import JournalPath, Layout

_FOLDER = "tails"
# A tail is made in less time. After this time, an unfinished one is what remains of a killed process.
_MAKING_SECONDS = 3600.0


def tails_folder() -> Path:
    """Return the folder of the tails of this user on this host. It is created.

    Raises:
        UsageError: No folder for it is on a disk of this host.
    """
    folder = local_state_folder() / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def owner_of_tail(layout: Layout, host: str, segment: str, number: int) -> TailOwner:
    """Return the owner of a new tail, for ``recover_tails``.

    Args:
        layout: The store of the journal.
        host: The host of its writer.
        segment: Its segment.
        number: Its number in the segment.
    """
    return TailOwner(str(layout.root), host, segment, number)


def list_tails() -> list[Path]:
    """Return the tails of this user on this host, those of live writers too."""
    return [path for path in _list() if path.suffix == ENDING]


def _list() -> list[Path]:
    folders = (place / _FOLDER for place in local_state_places())
    return sorted(path for folder in folders if _is_private(folder) for path in folder.iterdir())


def _is_private(folder: Path) -> bool:
    """Return whether a folder exists and is this user's: others can make folders in /var/tmp too."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def tails_of_dead(layout: Layout) -> list[Path]:
    """Return the tails of writers that are dead, for journals of a store."""
    found = []
    for path in list_tails():
        if is_own(path):
            continue
        with suppress(OSError, ValueError), _opened(path) as descriptor:
            if descriptor is not None and _is_of(read_tail(descriptor), layout):
                found.append(path)
    return found


def recover_tails(layout: Layout, segment: str = "") -> int:
    """Write the records of tails whose writers are dead to the store; return the number of records.

    Args:
        layout: The store, or a private copy of it.
        segment: Only the tails of this segment; empty for all.
    """
    layout = Layout(layout.source)
    count = 0
    for path in _list():
        with suppress(FileNotFoundError):
            if path.suffix == NEW_ENDING and time.time() - path.stat().st_mtime > _MAKING_SECONDS:
                path.unlink()
        if path.suffix != ENDING or is_own(path) or not path.name.startswith(segment):
            continue
        with logs.Logged(f"recover {path}"), _opened(path) as descriptor:
            if descriptor is None:
                continue
            tail = read_tail(descriptor)
            if _is_of(tail, layout):
                count += _recover(layout, tail)
                path.unlink()
    return count


def _is_of(tail: Tail, layout: Layout) -> bool:
    """Return whether a tail is of a store, which may have several paths."""
    store = tail.owner.store
    with suppress(OSError):
        return store == str(layout.root) or os.path.samefile(store, layout.root)
    return False


def following_journal(tail: Tail, last: int, number: int) -> tuple[bytes, int]:
    """Return the content of a journal with the records of a tail, and the number of the records.

    Args:
        tail: The tail.
        last: Number of the last record in the other journals of the segment, or -1.
        number: Number of the journal.
    """
    segment = tail.owner.segment
    missing = [
        frame for frame in split_frames(tail.rest, segment, tail.offset, None) if frame.sequence > last
    ]
    if not missing:
        return b"", 0
    frames = tail.rest[missing[0].offset - tail.offset : missing[-1].end - tail.offset]
    return pack_header(segment, number) + frames, len(missing)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a tail and lock it; yield None if its writer is alive or another process recovers it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield None
        else:
            yield descriptor if path.exists() else None
    finally:
        os.close(descriptor)


def _recover(layout: Layout, tail: Tail) -> int:
    host, segment, number = tail.owner.host, tail.owner.segment, tail.owner.number
    files = [each for each in layout.list_journals(host) if each.segment == segment]
    files += [
        JournalPath(each.path, segment, each.number)
        for each in layout.list_silent(host)
        if each.segment == segment
    ]
    if not files:
        logs.log(logs.ERROR, f"records of segment {segment} come too late: its journals are gone")
        return 0
    last = -1  # number of the last record in the journals
    for file in files:
        if file.number >= number:
            # The writer may have been killed in a write.
            start = tail.offset if file.number == number else HEADER.size
            last = max(last, _last_record(file, start))
    next_number = max(file.number for file in files) + 1
    content, count = following_journal(tail, last, next_number)
    if count:
        following = layout.journal(host, segment, next_number)
        temporary = layout.new_temporary()
        write_new(temporary, content)
        if not claim(temporary, following):
            raise JournalError("open", str(following), 0, "it exists")
    return count


def _last_record(journal: JournalPath, start: int) -> int:
    frames = read_frames(journal.path, journal.segment, start, final=True)
    return max((outcome.sequence for outcome in frames if isinstance(outcome, Frame)), default=-1)
