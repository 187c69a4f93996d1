"""Writers of journals: whether they live, and why a dead writer has ended without recording it."""

from __future__ import annotations

from tracker.errors import StoreError
from tracker.ground.processes import is_alive, is_of_another_boot
from tracker.ground.records import Process, RunStarted, decode
from tracker.journal.reader import Frame, read_journal
from tracker.runstate.fold import Gone
from tracker.store.objects.layout import JournalPath, Layout


def first_record(journal: JournalPath) -> RunStarted | None:
    """Return the first record of a segment's first journal; None while it cannot be read."""
    try:
        for outcome in read_journal(journal.path, journal.segment, final=False):
            if not isinstance(outcome, Frame):
                return None
            record = decode(outcome.payload, str(journal.path), outcome.offset)
            return record if isinstance(record, RunStarted) else None
    except StoreError:
        return None
    return None


def writer_of(journal: JournalPath) -> Process | None:
    """Return the process that writes a journal; None when its first record cannot be read."""
    first = first_record(journal)
    return first.process if first is not None else None


def count_live(layout: Layout, host: str) -> int:
    """Return the number of a host's journals whose writer lives."""
    writers = (writer_of(journal) for journal in layout.list_journals(host))
    return sum(1 for writer in writers if writer is not None and is_alive(writer))


def why_gone(process: Process, last_seen: float) -> Gone:
    """Return why a dead writer of this host has ended without recording its end.

    Args:
        process: The writer.
        last_seen: When the writer last wrote or touched its journal (unix seconds).
    """
    return Gone("host restarted" if is_of_another_boot(process) else "process gone", last_seen)
