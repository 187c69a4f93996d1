"""Aggregates that a segment lacks: of keys that another segment defined, or over the rows that show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tracker.errors import Error
from tracker.runstate.aggregates import Aggregate, Rules
from tracker.runstate.fold import FinishedRow, SegmentState, leaves, prefixes
from tracker.runstate.merge import SegmentView, define_metrics, find_hidden, order_segments

# Returns the rows of a segment, in the order in which they were logged, that have some of these keys.
ReadRows = Callable[[SegmentView, list[str]], Iterable[FinishedRow]]


def fill_aggregates(segments: Sequence[SegmentView], read_rows: ReadRows) -> list[SegmentView]:
    """Compute each aggregate that a segment of a run lacks from the segment's rows.

    Definitions belong to the run: a segment lacks the aggregate of a key that only another one defined.
    Rows that a later attempt logged again count in none.

    Args:
        segments: All segments of the run; the aggregates are added to their states.
        read_rows: Reads rows. It is called once for a segment that lacks some. Where it fails with an
            ``Error``, ``OSError`` or ``ImportError``, the segment stays as it is.

    Returns:
        The segments that changed.
    """
    if len(segments) < 2:
        return []
    rules = Rules(define_metrics(order_segments(segments)))
    if not rules.summarise and not any(each.state.aggregates for each in segments):
        return []
    hidden_from = find_hidden(segments)
    return [each for each in segments if _fill(each, hidden_from[each.segment], rules, read_rows)]


def _fill(segment: SegmentView, hidden_from: int | None, rules: Rules, read_rows: ReadRows) -> bool:
    state = segment.state
    if hidden_from is not None and (state.last_step is None or state.last_step < hidden_from):
        hidden_from = None
    is_same = hidden_from == state.hidden_from
    known = state.counted if is_same else {}
    found = {key: Aggregate() for key in _ruled_keys(state, rules) if key not in known or known[key].partial}
    if not found and is_same:
        return False
    wanted = sorted({each for key in found for each in prefixes(key) if each in state.keys})
    try:
        for row in read_rows(segment, wanted) if wanted else ():
            if hidden_from is None or row.step < hidden_from:
                for key in wanted:
                    if key in row.data:
                        _add(found, key, row.data[key])
    except (Error, OSError, ImportError):  # of a damaged or missing part, or nothing here reads parts
        return False
    state.filled, state.hidden_from = {**(state.filled if is_same else {}), **found}, hidden_from
    return True


def _ruled_keys(state: SegmentState, rules: Rules) -> Iterator[str]:
    """Return the keys that a segment logged, and of which the summary is to hold more than the last value."""
    logged = {*state.aggregates, *state.replaced}
    for key in state.keys:
        logged.update(leaves(state, key, state.summary.get(key)))
    return (key for key in logged if rules.words(key))


def _add(aggregates: dict[str, Aggregate], key: str, value: Any) -> None:
    if isinstance(value, dict) and "_type" not in value:
        for name, item in value.items():
            _add(aggregates, f"{key}.{name}", item)
    elif key in aggregates:
        aggregates[key].add(value)
