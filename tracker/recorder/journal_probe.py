"""Checks of a segment's journals that do not apply them."""

from __future__ import annotations

from tracker.journal.format import HEADER
from tracker.journal.reader import Corrupt, Frame, read_frames
from tracker.store.objects.layout import JournalPath


def first_sequence(files: list[JournalPath]) -> int | None:
    """Return the sequence number of the first whole record in a segment's files; None without a record."""
    for journal in files:
        for outcome in read_frames(journal.path, journal.segment, final=False, skip=True):
            if isinstance(outcome, Frame):
                return outcome.sequence
    return None


def is_damaged(files: list[JournalPath], number: int, offset: int, sequence: int) -> bool:
    """Return whether a segment is damaged after the applied records: invalid bytes are followed by records.

    A valid record at this place is not damage: the writer may have continued since.

    Args:
        files: The segment's journals.
        number: Number of the file that was applied last.
        offset: Offset in this file up to which it was applied, in bytes; 0 for its beginning.
        sequence: Sequence number of the next expected record.
    """
    for journal in files:
        if journal.number >= number:
            start = offset if journal.number == number and offset else HEADER.size
            found = read_frames(journal.path, journal.segment, start, sequence, final=False, skip=True)
            outcome = next(found, None)
            if isinstance(outcome, (Corrupt, Frame)):
                return isinstance(outcome, Corrupt)
    return False
