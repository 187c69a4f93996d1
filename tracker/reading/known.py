"""What is known of a run without the catalog: for ``init``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import JournalError
from tracker.journal.reader import Record as Frame
from tracker.journal.reader import read_frames, read_header
from tracker.records import Record, Row, RunStarted, decode, encode
from tracker.store.files import read_json
from tracker.store.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.store.fold import SegmentState

# How the payload of every row begins: the msgpack array's length, and the number of its kind.
_ROW = encode(Row(0, 0, 0, 0.0, {}))[:2]


class KnownRun(NamedTuple):
    """What a node can tell of a run that exists.

    Attributes:
        last_step: Largest step logged, or None.
        attempts: How many attempts there were.
        runtime: Seconds that it lasted so far.
        config: Its config.
        summary: Its summary.
        name: Its display name.
    """

    last_step: int | None
    attempts: int
    runtime: float
    config: dict[str, Any]
    summary: dict[str, Any]
    name: str | None


def find_run(layout: Layout, entity: str, project: str, run_id: str) -> KnownRun | None:
    """Return what published files and unapplied journals say of a run; None when it is unknown."""
    published = read_json(layout.run_file(entity, project, run_id)) or {}
    steps = [published["last_step"]] if published.get("last_step") is not None else []
    attempts = [segment["attempt"] for segment in published.get("segments", [])]
    runtime = float(published.get("duration", 0.0))
    config: dict[str, Any] = dict(published.get("config", {}))
    summary: dict[str, Any] = dict(published.get("summary", {}))
    name = published.get("name")
    # An edit holds against whoever began before it, as in ``tracker.store.merged``.
    renamed = published.get("edits", {}).get("name", {}).get("time", -math.inf)
    wanted = (entity, project, run_id)
    for state in _unapplied_states(layout, wanted):
        if state.started is None:
            continue
        attempts.append(state.started.attempt)
        runtime = max(runtime, state.runtime)
        config.update(state.config)
        summary.update(state.summary)
        if state.started.name and state.started.time > renamed:
            name = state.started.name
        if state.last_step is not None:
            steps.append(state.last_step)
    if not attempts:
        return None
    return KnownRun(max(steps, default=None), max(attempts) + 1, runtime, config, summary, name)


def _unapplied_states(layout: Layout, wanted: tuple[str, str, str]) -> Iterator[SegmentState]:
    from tracker.store.fold import Folder, SegmentState  # only a resumed run needs it

    for _segment, records in journal_records(layout):
        folder = Folder(SegmentState())
        for _sequence, record in records:
            if isinstance(record, RunStarted) and (record.entity, record.project, record.run_id) != wanted:
                break
            folder.fold(record)
        else:
            folder.flush()
            yield folder.state


def journal_records(
    layout: Layout, *, rows: bool = True
) -> Iterator[tuple[str, Iterator[tuple[int, Record]]]]:
    """Yield each segment that has journals, with its whole records and their numbers, over all its files.

    Args:
        layout: The store.
        rows: False leaves rows out, without decoding them: most of a journal.
    """
    for segment, journals in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        yield segment, _records(list(journals), rows)


def _records(journals: list[JournalPath], rows: bool) -> Iterator[tuple[int, Record]]:
    """Yield the records of a segment's journals; one that cannot be read, or is just going, has none."""
    for journal in journals:
        try:
            if read_header(journal.path) is None:
                continue
            for outcome in read_frames(journal.path, journal.segment, final=True):
                if isinstance(outcome, Frame) and (rows or not outcome.payload.startswith(_ROW)):
                    yield outcome.sequence, decode(outcome.payload, str(journal.path), outcome.offset)
        except JournalError:
            continue
