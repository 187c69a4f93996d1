"""``CatalogFreeRunReader``: read one run without the catalog, from its published file, parts and journals.

A process that needs the history of one run starts faster without the database libraries, because their
import takes longer than the rest of its work. The catalog answers everything else: lists, running runs, and
runs with long or damaged journals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import JournalError
from tracker.ground.names import RunPath
from tracker.ground.processes import host_name
from tracker.ground.read_models import (
    RunDetail,
)
from tracker.ground.records import ArtifactLogged, decode
from tracker.journal.reader import Frame, read_frames, read_header
from tracker.reading.reader import Reader
from tracker.recorder.liveness import first_record
from tracker.runstate.edits import Edits
from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState
from tracker.runstate.merge import Rank, SegmentView, choose_segments, describe_run
from tracker.runstate.missing_aggregates import fill_aggregates
from tracker.store.blobs.finalize import read_finalized
from tracker.store.history.part_file import PartFile
from tracker.store.history.sources import HistorySource, read_source, rows_of
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.published.models import PublishedRun, PublishedSegment, read_published_model
from tracker.store.published.moves import is_of_run

if TYPE_CHECKING:
    import pyarrow as pa

# The maximum size of a run's journals. Folding this much takes about as long as opening the catalog.
LONGEST_JOURNALS = 2 * 1024 * 1024
# The maximum number of reads. A journal can disappear during a read, because its segment was sealed. The next
# read finds the published file of the sealed segment.
ATTEMPTS = 3


class CatalogFreeRun(NamedTuple):
    """The data of an ended run.

    Attributes:
        segments: The segments.
        parts: The Parquet parts of each segment.
        rows: The rows of each segment that are not in a part.
        edits: Edits by users, by field.
    """

    segments: list[SegmentView]
    parts: dict[str, list[PartFile]]
    rows: dict[str, list[FinishedRow]]
    edits: Edits

    def read_rows(self, segment: SegmentView, keys: list[str]) -> Iterator[FinishedRow]:
        """Return the rows of a segment that have at least one of the keys."""
        name = segment.segment
        return read_source(HistorySource(self.parts[name], lambda: self.rows[name], None), keys)

    def history_sources(
        self, run_id: str, segment: str | None = None, rank: Rank | None = None
    ) -> list[HistorySource]:
        """Return the sources of the visible history. See ``tracker.store.queries.history.visible_sources``.

        Args:
            run_id: The id of the run, for the message.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
            rank: Return the rows of this rank, or of all ranks.
        """
        return [
            HistorySource(self.parts[name], lambda name=name: self.rows[name], before, rank=label)  # type: ignore[misc]
            for name, before, label in choose_segments(run_id, self.segments, segment, rank)
        ]


class CatalogFreeRunReader:
    """Reads ended runs from their files. Opens the catalog's reader at the first other question.

    Args:
        layout: The store.
        open_other: Opens the reader of the catalog.
    """

    def __init__(self, layout: Layout, open_other: Callable[[], Reader]) -> None:
        self._layout = layout
        self._open_other = open_other
        self._other: Reader | None = None

    @property
    def url(self) -> str | None:
        """See ``AnyReader.url``."""
        return None

    @property
    def api_overrides(self) -> dict[str, str]:
        """See ``AnyReader.api_overrides``."""
        return {"store": str(self._layout.root), "mode": "offline"}

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """See ``RunReader.run``."""
        found = self._find(entity, project, run_id)
        if found is None:
            return self._catalog().run(entity, project, run_id)
        fill_aggregates(found.segments, found.read_rows)
        return describe_run(entity, project, run_id, found.segments, found.edits)

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> list[dict[str, Any]]:
        """See ``HistoryReader.history``."""
        found = self._find(entity, project, run_id)
        if found is not None:
            with suppress(FileNotFoundError):  # a part was deleted after the read: ask the catalog
                return rows_of(found.history_sources(run_id, segment, rank), keys, complete=complete)
        return self._catalog().history(entity, project, run_id, keys, complete, segment, rank)

    def table(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> pa.Table:
        """See ``HistoryReader.table``."""
        found = self._find(entity, project, run_id)
        if found is not None:
            from tracker.store.history.arrow_tables import source_table

            with suppress(FileNotFoundError):
                return source_table(found.history_sources(run_id, segment, rank), keys)
        return self._catalog().table(entity, project, run_id, keys, segment, rank)

    def journals(self) -> Layout:
        """See ``RunReader.journals``."""
        return self._layout

    def __getattr__(self, name: str) -> Any:
        """Return a method of the catalog's reader."""
        if name.startswith("_"):  # `copy` and `pickle` look up such names
            raise AttributeError(name)
        return getattr(self._catalog(), name)

    def close(self) -> None:
        """See ``AnyReader.close``."""
        if self._other is not None:
            self._other.close()

    def _catalog(self) -> Reader:
        if self._other is None:
            self._other = self._open_other()
        return self._other

    def _find(self, entity: str, project: str, run_id: str) -> CatalogFreeRun | None:
        if self._other is not None:
            return None  # the catalog is already open, and is as fast as the files
        for _ in range(ATTEMPTS):
            try:
                return find_catalog_free_run(self._layout, (entity, project, run_id))
            except (JournalError, FileNotFoundError):
                continue
            except (ValueError, OSError):
                return None  # damaged files: the catalog may have the data
        return None


def find_catalog_free_run(layout: Layout, run_path: RunPath) -> CatalogFreeRun | None:
    """Return a run without the catalog, or None if only the catalog can answer.

    Only the catalog answers for a run that has not ended, was deleted, or has journals that are long or of
    another host.

    Args:
        layout: The store.
        run_path: Entity, project and id of the run.

    Raises:
        JournalError: A journal cannot be read. Its segment may have been sealed meanwhile.
        OSError: The published file cannot be read.
        ValueError: The published file is damaged.
    """
    # Read journals before the published file: a journal that is deleted in between has been sealed into it.
    journals = _journals_of(layout, run_path)
    try:
        published: PublishedRun | None = read_published_model(layout.run_file(*run_path), PublishedRun)
    except FileNotFoundError:
        published = None
    found = CatalogFreeRun([], {}, {}, published.edits if published is not None else {})
    if journals is None or (published is None and not journals):
        return None
    if layout.tombstone(*run_path).exists():
        return None  # the run was deleted; the catalog knows whether it was logged again
    if layout.moving.exists():
        return None  # the move of a run was interrupted; the catalog's reader completes it
    for segment in published.segments if published is not None else []:
        if segment.sealed and segment.state is not None:
            _add_sealed(layout, found, segment)
            journals.pop(segment.segment, None)
            continue
        files = journals.pop(segment.segment, None)
        if files is None or not _add_unsealed(layout, found, segment.segment, files):
            return None
    if not all(_add_unsealed(layout, found, name, files) for name, files in journals.items()):
        return None
    return found if found.segments else None


def _journals_of(layout: Layout, run_path: RunPath) -> dict[str, list[JournalPath]] | None:
    """Return the journals of a run's segments, the oldest first; None if they are long or of another host.

    The journals of another host are visible only after the catalog has applied them. Reading them here would
    give another answer than the catalog.
    """
    found = []
    size = 0
    own = layout.host_journals(host_name())
    for name, group in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        files = list(group)
        first = first_record(files[0])
        if first is None or not is_of_run(layout, first, name, run_path):
            continue
        if files[0].path.parent != own:
            return None
        size += sum(journal.path.stat().st_size for journal in files)
        found.append((first.time, name, files))
    if size > LONGEST_JOURNALS:
        return None
    return {name: files for _, name, files in sorted(found)}


def _add_sealed(layout: Layout, found: CatalogFreeRun, segment: PublishedSegment) -> None:
    assert segment.state is not None
    found.segments.append(
        SegmentView(
            segment.segment,
            segment.rank,
            segment.attempt,
            segment.started_at,
            segment.start_step,
            segment.ended,
            segment.state,
        )
    )
    found.parts[segment.segment] = [PartFile(0, layout.root / part.path, part.rows) for part in segment.parts]
    found.rows[segment.segment] = []


def _add_unsealed(layout: Layout, found: CatalogFreeRun, name: str, files: list[JournalPath]) -> bool:
    """Fold a segment's journals; return False if they are damaged or lack the end of the segment."""
    fold, rows = SegmentFold(SegmentState()), []
    sequence = 0  # the numbers of records continue from file to file, so a missing file is a gap
    for journal in files:
        if read_header(journal.path) is None:
            return False
        for outcome in read_frames(journal.path, name, sequence=sequence, final=True):
            if not isinstance(outcome, Frame):
                return False
            sequence = outcome.sequence + 1
            record = decode(outcome.payload, str(journal.path), outcome.offset)
            if isinstance(record, ArtifactLogged) and record.draft is not None:
                became = read_finalized(layout, record.draft)
                if became is None or became.problem is not None:
                    return False
            rows += fold.fold(record)
    state = fold.state
    started, finished = state.started, state.finished
    if started is None or finished is None:
        return False
    found.segments.append(
        SegmentView(
            name, started.rank, started.attempt, started.time, state.start_step, finished.state, state
        )
    )
    found.parts[name], found.rows[name] = [], sorted(rows, key=lambda row: row.row)
    return True
