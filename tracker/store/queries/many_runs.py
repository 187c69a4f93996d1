"""Charts of many runs: the lines of many keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from tracker.ground.curves import RunLine
from tracker.runstate.merge import Rank
from tracker.store.queries.chart_limits import check_size
from tracker.store.queries.charts import draw, make_window
from tracker.store.queries.run_sources import RunSource, find_axes, find_sources
from tracker.store.queries.sized_cache import SizedCache

# Lines of runs whose rows are all in parts: a chart is often drawn again.
_cache: SizedCache[RunLine] = SizedCache(64 * 1024 * 1024)


def choose_axes(
    session: Session, sources: Sequence[RunSource], keys: Sequence[str], x: str | None
) -> Mapping[str, Mapping[str, str]]:
    """Return the x axis of each key, by run id and key.

    Args:
        session: A read transaction.
        sources: The runs.
        keys: The keys.
        x: The axis for all keys. None: each key has the axis that its run defined, see ``find_axes``.
    """
    if x is None:
        return find_axes(session, sources, keys)
    return dict.fromkeys((source.run_id for source in sources), dict.fromkeys(keys, x))


def run_lines(
    session: Session,
    root: Path,
    entity: str,
    project: str,
    runs: Sequence[str],
    keys: Sequence[str],
    *,
    x: str | None = None,
    points: int = 1000,
    low: float | None = None,
    high: float | None = None,
    steps: bool = False,
    rank: Rank | None = None,
) -> list[RunLine]:
    """Return the lines of all ``keys`` of all ``runs``: by run, by rank, then by key, in the given order.

    Args:
        session: A read transaction.
        root: The store's folder.
        entity: The entity of the project.
        project: The name of the project.
        runs: Ids of runs. A repeated id, and a run that does not exist, are ignored.
        keys: History keys, or names of axes. A key without numbers has an empty line.
        x: The x axis, as in ``charts.chart``. None: the axis that ``define_metric`` names for each key.
        points: The largest number of points of a line, as in ``charts.chart``.
        low: The smallest x. None: no limit.
        high: The largest x. None: no limit.
        steps: Whether buckets have the steps of their smallest and largest value.
        rank: See ``find_sources``.

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: The request is too large.
    """
    run_ids, keys = list(dict.fromkeys(runs)), list(dict.fromkeys(keys))
    check_size(len(run_ids), len(keys), points)
    sources = find_sources(session, entity, project, run_ids, root, rank)
    check_size(len(sources), len(keys), points)
    axes = choose_axes(session, sources, keys, x)
    lines = []
    for source in sources:
        axis_of = axes[source.run_id]
        drawn = {}
        keys_of: dict[str, list[str]] = defaultdict(list)
        names = {
            key: (
                str(root),
                source.run_id,
                source.rank,
                source.version,
                key,
                axis_of[key],
                low,
                high,
                points,
                steps,
            )
            for key in keys
        }
        for key in keys:
            known = _cache.get(names[key]) if source.sealed else None
            if known is None:
                keys_of[axis_of[key]].append(key)
            else:
                drawn[key] = known
        for axis, some in keys_of.items():
            window = make_window(axis, low, high)
            for series in draw(session, source.pieces, some, window, points, steps=steps):
                line = RunLine(source.run_id, series.key, axis, series.kind, series.columns, source.rank)
                drawn[series.key] = line
                if source.sealed:
                    for column in line.columns.values():
                        column.setflags(write=False)  # callers share it
                    _cache.keep(names[series.key], line, _size(line))
        lines += [drawn[key] for key in keys]
    return lines


def _size(line: RunLine) -> int:
    """Return an upper bound of the memory of a line in bytes: lines may share columns."""
    return int(sum(column.nbytes for column in line.columns.values())) + 1000
