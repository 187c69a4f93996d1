"""Reading a store's published files for a new catalog, and the journals that they depend on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from tracker.errors import JournalError
from tracker.journal.reader import Frame, read_frames
from tracker.store.catalog.models import Segment
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.published.models import PublishedRun, read_published_model
from tracker.store.recovery.old_catalog import OldCatalog
from tracker.store.recovery.restore_files import Restorer

T = TypeVar("T")


class PublishedFiles:
    """Reads published files. A file that cannot be read is restored or left out.

    Args:
        layout: The store.
        restorer: Writes missing and damaged files again.
        former: What the former catalog has.
        repairs: Whether the store may be changed.

    Attributes:
        journals: The journals of each segment that has some.
        from_former: Segments that are copied from the former catalog, which has records that their journals
            lack.
        broken: One line for each loss.
    """

    def __init__(self, layout: Layout, restorer: Restorer, former: OldCatalog, *, repairs: bool) -> None:
        self._layout = layout
        self._restorer = restorer
        self._repairs = repairs
        self.journals = journals_of(layout)
        self.from_former = {
            name
            for name, sequence in former.sequences.items()
            if not has_all_records(self.journals.get(name, []), sequence)
        }
        self.broken: list[str] = []

    def read_all(self, paths: Iterable[Path], kind: type[T]) -> list[tuple[Path, T]]:
        """Return the paths that could be read, each with its content."""
        read = ((path, self.read(path, kind)) for path in paths)
        return [(path, described) for path, described in read if described is not None]

    def read(self, path: Path, kind: type[T]) -> T | None:
        """Return the content of a file; None if it cannot be read or restored."""
        try:
            self.check_file(path)
            found = read_published_model(path, kind)
            if isinstance(found, PublishedRun):
                if not self._repairs and not self._has_journals(found):
                    # The store is in use. The segment began after the journals were listed, or was sealed
                    # after its run's file was read.
                    self.journals = journals_of(self._layout)
                    found = read_published_model(path, kind)
                assert isinstance(found, PublishedRun)
                unsealed = {each.segment for each in found.segments if not each.sealed}
                copied = self.from_former & unsealed
                if copied or found.uses is None:  # the catalog has more, or an older tracker wrote the file
                    if self._restorer.restore(path, found.revision):
                        return read_published_model(path, kind)
                    self.from_former -= copied
            return found
        except (ValueError, OSError) as error:
            if kind is PublishedRun and self._repairs:
                _keep_copy(path)
            if self._restorer.restore(path):
                return read_published_model(path, kind)
            reason = getattr(error, "strerror", None) or error
            self.broken.append(f"{path} cannot be read and was left out: {reason}")
            return None

    def _has_journals(self, run: PublishedRun) -> bool:
        return all(each.sealed or each.segment in self.journals for each in run.segments)

    def check_file(self, path: Path) -> None:
        """Raise OSError for a link or a FIFO, which the store of another user may have in place of a file."""
        if not self._repairs and not stat.S_ISREG(path.lstat().st_mode):
            raise OSError("it is not a file")


def journals_of(layout: Layout) -> dict[str, list[JournalPath]]:
    """Return the journals of each segment that has some."""
    journals = groupby(layout.list_journals(), key=lambda journal: journal.segment)
    return {segment: list(files) for segment, files in journals}


def sequences_of(files: list[JournalPath]) -> Iterator[int]:
    """Yield the numbers of the records in a segment's journals."""
    for journal in files:
        for outcome in read_frames(journal.path, journal.segment, final=True):
            if isinstance(outcome, Frame):
                yield outcome.sequence


def has_all_records(files: list[JournalPath], count: int) -> bool:
    """Return whether a segment's journals have all of its first ``count`` records, or one cannot be read."""
    expected = 0
    try:
        for sequence in sequences_of(files):
            if sequence > expected or expected >= count:
                break
            expected = max(expected, sequence + 1)
    except JournalError:  # the recorder gets the same error and reports it
        return True
    return expected >= count


def limit_offset(segment: Segment, files: list[JournalPath]) -> bool:
    """Limit a segment's offset to the size of its journal; return whether the journal reaches the offset."""
    for journal in files:
        if journal.number == segment.journal_index:
            size = journal.path.stat().st_size
            whole = size >= segment.offset
            segment.offset = min(segment.offset, size)
            return whole
    return False


def _keep_copy(path: Path) -> None:
    """Keep a damaged run file under another name, as the next applied journal replaces the run file."""
    copy = path.with_name(path.name + ".broken")
    try:
        os.link(path, copy)
    except OSError:
        pass  # the copy exists already, or the file system has no hard links
