"""Journals of sealed segments whose writers may come back. They are set aside, and not followed.

A writer on another host, or in another container, cannot be checked. If it is silent for long enough, its
segment is sealed, but the host may only have been suspended or cut off. So its journals are not deleted: they
are renamed. A renamed file stays open in its writer, also on network file systems, so no record is lost when
the writer continues. The file has then changed. It is renamed back, the segment is unsealed, and its further
records are applied. Until then only the size and the time of the file are read, once a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tracker.journal.reader import Frame, read_frames
from tracker.store.objects.atomic_files import is_older, make_folder
from tracker.store.objects.layout import JournalPath, Layout, SilentJournal
from tracker.store.store import Store

# Seconds after which a journal that was set aside is deleted.
KEPT_SECONDS = 7 * 24 * 3600.0
# Seconds between two looks at the journals that were set aside.
LOOK_SECONDS = 60.0


def setter_aside(layout: Layout, journals: list[JournalPath]) -> Callable[[Path], None]:
    """Return a function that sets aside journals of a segment, in the state in which they are now.

    Call this function before the segment is sealed. If a writer comes back while its segment is being sealed,
    its journal then counts as changed.

    Args:
        layout: The paths of the store.
        journals: The journals of the segment.
    """
    places = {}
    for journal in journals:
        found = journal.path.stat()
        places[journal.path] = layout.silent_place(journal, found.st_size, int(found.st_mtime))

    def set_aside(path: Path) -> None:
        place = places.get(path)
        if place is not None:  # else a file that came later; the next round handles it
            make_folder(place.parent, durable=False)
            with suppress(FileNotFoundError):
                os.replace(path, place)

    return set_aside


def bring_back(store: Store, host: str | None = None) -> None:
    """Return the journals that have changed to the other journals, and delete those that are too old.

    Args:
        store: The store.
        host: Look only at the journals of this host; None for all.
    """
    for each in store.layout.list_silent(host):
        with suppress(FileNotFoundError):  # another process has handled it
            found = os.stat(each.path)
            if (found.st_size, int(found.st_mtime)) != (each.size, each.changed_at):
                _return(each)
            elif is_older(max(found.st_mtime, found.st_ctime), KEPT_SECONDS, store.layout.new_temporary()):
                store.check_lease()
                each.path.unlink()


def bring_back_segment(layout: Layout, segment: str) -> None:
    """Return all journals of a segment to the other journals.

    Args:
        layout: The paths of the store.
        segment: The segment, 32 hex digits.
    """
    for each in layout.list_silent():
        if each.segment == segment:
            with suppress(FileNotFoundError):
                _return(each)


def _return(silent: SilentJournal) -> None:
    target = silent.journal.path
    # A program that copies journals to this store may have copied the journal again.
    if target.exists() and target.stat().st_size >= silent.path.stat().st_size:
        silent.path.unlink()
    else:
        os.replace(silent.path, target)


def find_place(files: list[JournalPath], sequence: int) -> tuple[int, int]:
    """Return the number of the journal with the first record that is not applied, and its offset there.

    Args:
        files: The journals of a segment.
        sequence: Number of this record. If no journal has the record, return the end of the last record.

    Raises:
        JournalError: A journal cannot be read.
    """
    place = (0, 0)
    for journal in files:
        for outcome in read_frames(journal.path, journal.segment, final=False, skip=True):
            if isinstance(outcome, Frame):
                if outcome.sequence >= sequence:
                    return journal.number, outcome.offset
                place = (journal.number, outcome.end)
    return place
