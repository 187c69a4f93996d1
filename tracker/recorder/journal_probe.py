"""What a live reading of a segment's journals has left over: a look at them without applying them."""

from __future__ import annotations

from tracker.journal.format import HEADER
from tracker.journal.reader import Corrupt, Frame, read_frames
from tracker.store.objects.layout import JournalPath


def first_sequence(files: list[JournalPath]) -> int | None:
    """Return the number of the first whole record in a segment's files; None when there is none."""
    for journal in files:
        for outcome in read_frames(journal.path, journal.segment, final=False, skip=True):
            if isinstance(outcome, Frame):
                return outcome.sequence
    return None


def is_damaged(files: list[JournalPath], number: int, offset: int, sequence: int) -> bool:
    """Whether what stands at the place up to which a segment was applied is bad, with records behind it.

    A writer may have gone on since it was applied: a good record there is no damage.

    Args:
        files: The segment's journals.
        number: The file that was applied last.
        offset: Up to this byte; 0 for its beginning.
        sequence: Number of the record that is expected next.
    """
    for journal in files:
        if journal.number >= number:
            start = offset if journal.number == number and offset else HEADER.size
            found = read_frames(journal.path, journal.segment, start, sequence, final=False, skip=True)
            outcome = next(found, None)
            if isinstance(outcome, (Corrupt, Frame)):
                return isinstance(outcome, Corrupt)
    return False
