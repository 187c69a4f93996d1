"""Reading the arguments of ``define_metric``."""

from __future__ import annotations

from tracker.errors import Error
from tracker.records import MetricDefined

WORDS = ("min", "max", "mean", "last", "first", "best", "copy", "none")


def parse_metric(
    name: str,
    step_metric: str | None,
    step_sync: bool | None,
    hidden: bool | None,
    summary: str | None,
    goal: str | None,
) -> MetricDefined:
    """Return the record of a definition.

    Raises:
        Error: The name is empty or has ``*`` inside, or a word is not known.
    """
    if not isinstance(name, str) or not name:
        raise Error("Unhandled define_metric() arg: name must be a string that is not empty")
    if "*" in name[:-1]:
        raise Error(f"Unhandled define_metric() arg: name {name!r} (a * may only stand at the end)")
    words = [word.strip().lower() for word in (summary or "").split(",") if word.strip()]
    for word in words:
        if word not in WORDS:
            raise Error(f"Unhandled define_metric() arg: summary op: {word}")
    if goal is not None and goal not in ("minimize", "maximize"):
        raise Error(f"Unhandled define_metric() arg: goal: {goal}")
    return MetricDefined(
        name,
        step_metric,
        bool(step_metric) if step_sync is None else step_sync,
        bool(hidden),
        words,
        goal,
    )
