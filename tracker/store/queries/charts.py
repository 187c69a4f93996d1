"""Chart data: numeric columns, thinned to what a chart can show without losing a spike."""

from __future__ import annotations

import itertools
import math
from array import array
from dataclasses import dataclass
from typing import Any, TypeGuard

from sqlalchemy.orm import Session

from tracker.store.models import Run
from tracker.store.queries.history import hot_rows, visible_pieces
from tracker.store.store import Store

AXES = {"_runtime": "runtime", "_timestamp": "time", "_step": "step"}


@dataclass(frozen=True, slots=True)
class Series:
    """One key's line.

    Attributes:
        key: The history key.
        kind: ``"points"`` (columns x, y) or ``"buckets"`` (x, last, min, max, count, nonfinite).
        columns: Float64 columns of equal length; y may be NaN or infinite. A bucket's last, min and
            max are those of its finite values (NaN when it has none); ``nonfinite`` counts the others.
    """

    key: str
    kind: str
    columns: dict[str, array[float]]


def chart(
    store: Store,
    session: Session,
    run: Run,
    keys: list[str],
    *,
    x: str = "_step",
    points: int = 1000,
    low: float | None = None,
    high: float | None = None,
) -> list[Series]:
    """Return the lines of ``keys`` over ``x``.

    Args:
        store: The store.
        session: A read transaction.
        run: The run.
        keys: History keys; one without numbers gives an empty line.
        x: ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds) or a numeric key.
        points: More values than this are put into that many buckets.
        low: Only x from here.
        high: Only x up to here.
    """
    lines = {key: (array("d"), array("d")) for key in keys}
    for piece in visible_pieces(session, run, store.root):
        for path in piece.parts:
            _read_part(path, x, lines, piece.before)
        for row in hot_rows(session, piece):
            at = getattr(row, AXES[x]) if x in AXES else row.data.get(x)
            if not _is_number(at) or at != at:
                continue  # what stands at no x cannot be drawn
            for key, (xs, ys) in lines.items():
                value = row.data.get(key)
                if _is_number(value):
                    xs.append(_as_double(at))
                    ys.append(_as_double(value))
    return [_thin(key, *_in_order(*_window(xs, ys, low, high)), points) for key, (xs, ys) in lines.items()]


def _read_part(
    path: Any, x: str, lines: dict[str, tuple[array[float], array[float]]], before: int | None
) -> None:
    import pyarrow.compute as pc

    from tracker.store.parquet import read_numbers

    x_column, steps, columns = read_numbers(path, x, list(lines))
    if x_column is None:
        return
    for key, column in columns.items():
        mask = pc.and_(pc.is_valid(column), pc.is_valid(x_column))
        mask = pc.and_not(mask, pc.is_nan(x_column))
        if before is not None:
            mask = pc.and_(mask, pc.less(steps, before))
        xs, ys = lines[key]
        for target, source in ((xs, x_column), (ys, column)):
            kept = source.filter(mask).combine_chunks()
            values = kept.buffers()[1]
            if values is not None and len(kept):
                target.frombytes(memoryview(values)[kept.offset * 8 : (kept.offset + len(kept)) * 8])


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _window(
    xs: array[float], ys: array[float], low: float | None, high: float | None
) -> tuple[array[float], array[float]]:
    if low is None and high is None:
        return xs, ys
    least = -math.inf if low is None else low
    most = math.inf if high is None else high
    kept = [at for at, value in enumerate(xs) if least <= value <= most]
    return array("d", [xs[at] for at in kept]), array("d", [ys[at] for at in kept])


def _in_order(xs: array[float], ys: array[float]) -> tuple[array[float], array[float]]:
    if all(a <= b for a, b in itertools.pairwise(xs)):
        return xs, ys
    order = sorted(range(len(xs)), key=xs.__getitem__)
    return array("d", [xs[at] for at in order]), array("d", [ys[at] for at in order])


def _thin(key: str, xs: array[float], ys: array[float], points: int) -> Series:
    if len(xs) <= points:
        return Series(key, "points", {"x": xs, "y": ys})
    columns = {name: array("d") for name in ("x", "last", "min", "max", "count", "nonfinite")}
    start = 0
    for bucket in range(1, points + 1):
        end = bucket * len(xs) // points
        values = ys[start:end]
        finite = [value for value in values if math.isfinite(value)] or [math.nan]
        columns["x"].append(xs[end - 1])
        columns["last"].append(finite[-1])
        columns["min"].append(min(finite))
        columns["max"].append(max(finite))
        columns["count"].append(len(values))
        columns["nonfinite"].append(sum(not math.isfinite(value) for value in values))
        start = end
    return Series(key, "buckets", columns)
