"""What the charts of models have in common: logging one, and saying why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types.table import Table
from tracker.errors import Error
from tracker.ground.terminal import say
from tracker.plot.custom_chart import visualize
from tracker.sdk.process import active_runs

# So many points are drawn of one chart, or of one set of data in it.
MOST_POINTS = 1000


def log_chart(key: str, chart: Any) -> None:
    """Log a chart to the active run; None is no chart.

    Raises:
        Error: There is no run.
    """
    if active_runs.current is None:
        raise Error("You must call wandb.init() before wandb.sklearn plots")
    if chart is not None:
        active_runs.current.log({key: chart})


def log_table(key: str, kind: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Log a chart of one of wandb's kinds, such as ``"wandb/elbow/v1"``; raises as ``log_chart``."""
    log_chart(key, visualize(kind, Table(columns=columns, data=rows)))


def is_given(plot: str, **values: Any) -> bool:
    """Return whether no value is None; say which are."""
    missing = [name for name, value in values.items() if value is None]
    if missing:
        say(f"{plot}: {', '.join(missing)} is missing: nothing is plotted")
    return not missing


def first_points(plot: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return as many values as are drawn; say so when there are more."""
    if len(values) > MOST_POINTS:
        say(f"{plot}: only the first {MOST_POINTS} of {len(values)} points are plotted")
    return values[:MOST_POINTS]
