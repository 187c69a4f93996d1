"""Charts of many runs: the lines of many keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from tracker.ground.curves import RunLine
from tracker.store.queries.chart_limits import check_size
from tracker.store.queries.charts import draw, make_window
from tracker.store.queries.run_sources import RunSource, find_axes, find_sources


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


def check_lines(
    session: Session,
    root: Path,
    entity: str,
    project: str,
    runs: Sequence[str],
    keys: Sequence[str],
    points: int,
) -> list[RunSource]:
    """Check a request for lines; return the histories of its runs. See ``run_lines``."""
    run_ids = list(dict.fromkeys(runs))
    check_size(len(run_ids), len(dict.fromkeys(keys)), points)
    return find_sources(session, entity, project, run_ids, root)


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
) -> list[RunLine]:
    """Return the lines of all ``keys`` of all ``runs``: by run, then by key, in the given order.

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

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: The request is too large.
    """
    keys = list(dict.fromkeys(keys))
    sources = check_lines(session, root, entity, project, runs, keys, points)
    axes = choose_axes(session, sources, keys, x)
    lines = []
    for source in sources:
        keys_of: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            keys_of[axes[source.run_id][key]].append(key)
        drawn = {
            series.key: RunLine(source.run_id, series.key, axis, series.kind, series.columns)
            for axis, some in keys_of.items()
            for series in draw(
                session, source.pieces, some, make_window(axis, low, high), points, steps=steps
            )
        }
        lines += [drawn[key] for key in keys]
    return lines
