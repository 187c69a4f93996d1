"""Missing aggregates of a segment: for keys that another segment defined, or over the visible rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tracker.errors import Error
from tracker.runstate.aggregates import Aggregate, Rules
from tracker.runstate.fold import FinishedRow, SegmentState, leaves, prefixes
from tracker.runstate.merge import SegmentView, define_metrics, find_hidden, order_segments

# A function that returns the rows of a segment with at least one of the keys, in the order of logging.
ReadRows = Callable[[SegmentView, list[str]], Iterable[FinishedRow]]


def fill_aggregates(segments: Sequence[SegmentView], read_rows: ReadRows) -> list[SegmentView]:
    """Compute the missing aggregates of a run's segments from their rows.

    A definition is valid for the whole run. If only one segment defines a key, the other segments lack the
    aggregate of this key. Rows that a later attempt logged again do not count.

    Args:
        segments: All segments of the run. The aggregates are added to their states.
        read_rows: Reads the rows of a segment; called once for each segment with missing aggregates. If it
            raises ``Error``, ``OSError`` or ``ImportError``, the segment stays unchanged.

    Returns:
        The segments that changed.
    """
    if len(segments) < 2:
        return []
    rules = Rules(define_metrics(order_segments(segments)))
    if not rules.has_aggregates and not any(each.state.aggregates for each in segments):
        return []
    hidden_from = find_hidden(segments)
    # A removed definition leaves the last value, which can be in another segment than the definition.
    defined = {key for each in segments for key in each.state.aggregates}
    return [each for each in segments if _fill(each, hidden_from[each.segment], rules, defined, read_rows)]


def _fill(
    segment: SegmentView, hidden_from: int | None, rules: Rules, defined: set[str], read_rows: ReadRows
) -> bool:
    state = segment.state
    if hidden_from is not None and (state.last_step is None or state.last_step < hidden_from):
        hidden_from = None
    is_same = hidden_from == state.hidden_from
    known = state.counted if is_same else {}
    found = {
        key: Aggregate()
        for key in _ruled_keys(state, rules, defined)
        if key not in known or known[key].partial
    }
    if not found and is_same:
        return False
    wanted = sorted({each for key in found for each in prefixes(key) if each in state.keys})
    try:
        for row in read_rows(segment, wanted) if wanted else ():
            if hidden_from is None or row.step < hidden_from:
                for key in wanted:
                    if key in row.data:
                        _add(found, key, row.data[key])
    except (Error, OSError, ImportError):  # a part is damaged or missing, or pyarrow is not installed
        return False
    state.filled, state.hidden_from = {**(state.filled if is_same else {}), **found}, hidden_from
    return True


def _ruled_keys(state: SegmentState, rules: Rules, defined: set[str]) -> Iterator[str]:
    """Return the keys that a segment logged and that have, or had, aggregates in the summary."""
    logged = {*state.aggregates, *state.replaced}
    for key in state.keys:
        logged.update(leaves(state, key, state.summary.get(key)))
    return (key for key in logged if key in defined or rules.aggregates_of(key))


def _add(aggregates: dict[str, Aggregate], key: str, value: Any) -> None:
    if isinstance(value, dict) and "_type" not in value:
        for name, item in value.items():
            _add(aggregates, f"{key}.{name}", item)
    elif key in aggregates:
        aggregates[key].add(value)
