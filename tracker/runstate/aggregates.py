"""What ``define_metric`` asks of a summary: which definition rules a key, and running extremes and means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from tracker.ground.parsed import Integer
from tracker.ground.records import MetricDefined


class Aggregate(msgspec.Struct, array_like=True):
    """Running extremes and mean of one key, over its finite values; extremes of integers stay exact."""

    count: Integer = 0
    total: float = 0.0
    low: Any = None
    high: Any = None
    first: Any = None

    def add(self, value: Any) -> None:
        """Take note of a value."""
        if is_finite(value):
            self.count += 1
            self.total += value
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)

    def check(self) -> None:
        """Check what comes from outside.

        Raises:
            ValueError: An extreme is not a number.
        """
        for value in (self.low, self.high):
            if value is not None and not is_finite(value):
                raise ValueError("an extreme is not a finite number")

    def before(self, later: Aggregate) -> Aggregate:
        """Return what this and a later one are together."""
        return Aggregate(
            self.count + later.count,
            self.total + later.total,
            min((each for each in (self.low, later.low) if each is not None), default=None),
            max((each for each in (self.high, later.high) if each is not None), default=None),
            self.first if self.first is not None else later.first,
        )

    def results(self, definition: MetricDefined, last: Any) -> dict[str, Any]:
        """Return what the summary holds by a definition's words."""
        found = {
            "min": self.low,
            "max": self.high,
            "mean": self.total / self.count if self.count else None,
            "last": last,
            "first": self.first,
            "best": self.high if definition.goal == "maximize" else self.low,
        }
        return {word: found[word] for word in definition.summary if found.get(word) is not None}


def merge_definitions(old: MetricDefined | None, new: MetricDefined) -> MetricDefined:
    """Return what is defined of a name after a further call: what that leaves open stays, as in wandb."""
    if old is None or new.overwrite:
        return new
    return MetricDefined(
        new.name,
        new.step_metric or old.step_metric,
        new.step_sync or old.step_sync,
        new.hidden or old.hidden,
        [*old.summary, *(word for word in new.summary if word not in old.summary)],
        new.goal or old.goal,
    )


def find_definition(metrics: Mapping[str, MetricDefined], key: str) -> MetricDefined | None:
    """Return the definition that rules ``key``: the exact one, else the longest matching prefix."""
    found = metrics.get(key)
    if found is None and not key.startswith("_"):
        globs = [name for name in metrics if name.endswith("*") and key.startswith(name[:-1])]
        found = metrics[max(globs, key=len)] if globs else None
    return found


def join_aggregates(
    summary: dict[str, Any],
    before: Mapping[str, Aggregate],
    here: Mapping[str, Aggregate],
    metrics: Mapping[str, MetricDefined],
) -> None:
    """Let extremes and means of a summary go on from what an earlier attempt of the run had."""
    for key, aggregate in here.items():
        earlier, definition = before.get(key), find_definition(metrics, key)
        if earlier is None or definition is None or not definition.summary:
            continue
        place, name = _place(summary, key)
        shown = place.get(name)
        if isinstance(shown, dict):
            place[name] = earlier.before(aggregate).results(definition, shown.get("last"))


def _place(summary: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """Return where a key stands: at the top, or down the dicts that its dots name."""
    if key in summary:
        return summary, key
    *path, name = key.split(".")
    place = summary
    for each in path:
        below = place.get(each)
        if not isinstance(below, dict):
            return {}, name
        place[each] = place = dict(below)  # a copy: the state that it came from stays as it is
    return place, name


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a double can stand for."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
