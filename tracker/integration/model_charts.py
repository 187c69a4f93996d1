"""Shared functions of the charts of scikit-learn models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types.table import Table
from tracker.errors import Error
from tracker.ground.terminal import say
from tracker.plot.custom_chart import visualize
from tracker.sdk.process import active_runs

# The largest number of points in a chart, or in one data set of a chart.
MOST_POINTS = 1000


def log_chart(key: str, chart: Any) -> None:
    """Log a chart to the active run. If ``chart`` is None, log nothing.

    Raises:
        Error: There is no active run.
    """
    if active_runs.current is None:
        raise Error("You must call wandb.init() before wandb.sklearn plots")
    if chart is not None:
        active_runs.current.log({key: chart})


def log_table(key: str, kind: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Log a table with one of wandb's chart kinds to the active run.

    Args:
        key: History key.
        kind: Kind of the chart, such as ``"wandb/elbow/v1"``.
        columns: Columns of the table.
        rows: Rows of the table.

    Raises:
        Error: There is no active run.
    """
    log_chart(key, visualize(kind, Table(columns=columns, data=rows)))


def is_given(plot: str, **values: Any) -> bool:
    """Return whether no value is None. Print a message with the missing arguments of ``plot``."""
    missing = [name for name, value in values.items() if value is None]
    if missing:
        say(f"{plot} plots nothing: {', '.join(missing)} is missing")
    return not missing


def first_points(plot: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return the first values, up to the limit. Print a message if there are more."""
    if len(values) > MOST_POINTS:
        say(f"{plot}: only the first {MOST_POINTS} of {len(values)} points are plotted")
    return values[:MOST_POINTS]
