"""The ``Metric`` that ``define_metric`` returns, and the checks of its arguments."""

from __future__ import annotations

from tracker.errors import Error
from tracker.ground.records import MetricDefined

WORDS = ("min", "max", "mean", "last", "first", "best", "copy", "none")


class Metric:
    """The definition that ``define_metric`` returns. It is read-only (corpus: ``metrics.returned``)."""

    def __init__(
        self,
        name: str,
        step_metric: str | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: list[str] | None = None,
        overwrite: bool | None = None,
        goal: str | None = None,
    ) -> None:
        self._record = MetricDefined(
            name,
            step_metric,
            step_metric is not None if step_sync is None else step_sync,
            bool(hidden),
            summary or [],
            goal,
            bool(overwrite),
        )
        self._hidden = hidden
        self._summary = summary

    @property
    def record(self) -> MetricDefined:
        """The record for the journal."""
        return self._record

    @property
    def name(self) -> str:
        """The key, or a prefix that ends in ``*``."""
        return self._record.name

    @property
    def step_metric(self) -> str | None:
        """The key of the x axis."""
        return self._record.step_metric

    @property
    def step_sync(self) -> bool | None:
        """Whether rows without the step metric get its last value."""
        return self._record.step_sync

    @property
    def hidden(self) -> bool | None:
        """Whether automatic charts leave the key out."""
        return self._hidden

    @property
    def summary(self) -> tuple[str, ...] | None:
        """The aggregates in the summary."""
        return None if self._summary is None else tuple(self._summary)

    @property
    def goal(self) -> str | None:
        """The direction of improvement: ``"minimize"`` or ``"maximize"``."""
        return self._record.goal


def parse_metric(
    name: str,
    step_metric: str | Metric | None,
    step_sync: bool | None,
    hidden: bool | None,
    summary: str | None,
    goal: str | None,
    overwrite: bool | None,
) -> Metric:
    """Return a metric definition. See ``Run.define_metric``.

    Raises:
        Error: The name is empty or has ``*`` before its end, or an argument has an unknown value or type.
    """
    if not name:
        raise Error("define_metric() requires non-empty name argument")
    if isinstance(step_metric, Metric):
        step_metric = step_metric.name
    for argument, value, kind in (
        ("name", name, str),
        ("step_metric", step_metric, str),
        ("step_sync", step_sync, bool),
        ("hidden", hidden, bool),
        ("summary", summary, str),
        ("goal", goal, str),
        ("overwrite", overwrite, bool),
    ):
        if value is not None and not isinstance(value, kind):
            raise Error(f"Unhandled define_metric() arg: {argument} type: {type(value).__name__}")
    if "*" in name[:-1]:
        raise Error(f"Unhandled define_metric() arg: name (glob suffixes only): {name}")
    words = [word.strip().lower() for word in summary.split(",")] if summary else None
    for word in words or ():
        if word not in WORDS:
            raise Error(f"Unhandled define_metric() arg: summary op: {word}")
    if goal is not None and goal not in ("minimize", "maximize"):
        raise Error(f"Unhandled define_metric() arg: goal: {goal}")
    return Metric(name, step_metric, step_sync, hidden, words, overwrite, goal)
