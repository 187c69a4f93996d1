"""The ranks of a distributed run: which segments have the rows, the samples and the output of a rank."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from tracker.api.history import read_rows
from tracker.errors import ApiUsageError
from tracker.ground.names import RunPath
from tracker.ground.read_models import SegmentInfo
from tracker.ground.records import CHILD
from tracker.reading.run_data_reader import HistoryReader
from tracker.runstate.merge import shown_attempts

# A rank, or "all" for all ranks of a run.
Rank = int | Literal["all"]


class _Attempt(NamedTuple):
    segment: str
    rank: int
    attempt: int
    started_at: float
    start_step: int


def segments_of(segments: Iterable[SegmentInfo], rank: Rank) -> dict[int, list[tuple[str, int | None]]]:
    """Return the segments of one rank or of all ranks, by rank, in the order of their attempts.

    Each segment has a limit: a later attempt of the rank logged the rows from this step on again. None: all
    rows count.

    Args:
        segments: All segments of the run.
        rank: The rank, or ``"all"``.

    Raises:
        ApiUsageError: The run does not have the rank.
    """
    attempts: dict[int, list[_Attempt]] = defaultdict(list)
    for each in segments:
        number = each.rank + CHILD if each.child else each.rank
        attempts[each.rank].append(_Attempt(each.id, number, each.attempt, each.started_at, each.start_step))
    if rank != "all" and rank not in attempts:
        known = ", ".join(map(str, sorted(attempts)))
        raise ApiUsageError(f"The run has no rank {rank!r}. Its ranks are {known}. Use one, or 'all'.")
    wanted = sorted(attempts) if rank == "all" else [rank]
    return {each: shown_attempts(attempts[each]) for each in wanted}


def rank_rows(
    reader: HistoryReader,
    run_path: RunPath,
    keys: list[str] | None,
    complete: bool,
    segments: dict[int, list[tuple[str, int | None]]],
    *,
    label: bool,
) -> list[dict[str, Any]]:
    """Return the rows of ranks in the order of their steps. See ``read_rows``.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        keys: Return only these keys, and only rows that have at least one of them.
        complete: Return only rows that have all keys.
        segments: The segments with their limits, by rank: see ``segments_of``.
        label: Whether to add the rank to each row, as ``_rank``.
    """
    found = [
        {**row, "_rank": rank} if label else row
        for rank, limited in segments.items()
        for segment, limit in limited
        for row in read_rows(reader, run_path, keys, complete, segment)
        if limit is None or row["_step"] < limit
    ]
    return sorted(found, key=itemgetter("_step"))
