"""What ``define_metric`` asks of a summary: which definition rules a key, and running extremes and means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from tracker.ground.parsed_types import Integer
from tracker.ground.records import MetricDefined


class Aggregate(msgspec.Struct, array_like=True):
    """Running extremes and mean of one key, over its finite values; extremes of integers stay exact.

    It is ``partial`` where the key had been logged before it was defined. ``last`` came later: of a segment
    that an older tracker folded it is None.
    """

    count: Integer = 0
    total: float = 0.0
    low: Any = None
    high: Any = None
    first: Any = None
    last: Any = None
    partial: bool = False

    def add(self, value: Any) -> None:
        """Take note of a value."""
        if self.first is None:
            self.first = value
        if value is not None:
            self.last = value
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

    @property
    def empty(self) -> bool:
        """Whether it has seen no value."""
        return self.first is None and not self.count

    def joined_with(self, later: Aggregate) -> Aggregate:
        """Return what this and a later one are together."""
        if self.empty or later.empty:
            return self if later.empty else later
        return Aggregate(
            self.count + later.count,
            self.total + later.total,
            min((each for each in (self.low, later.low) if each is not None), default=None),
            max((each for each in (self.high, later.high) if each is not None), default=None),
            self.first if self.first is not None else later.first,
            later.last,
        )

    def results(self, definition: MetricDefined, last: Any) -> dict[str, Any]:
        """Return what the summary holds by a definition's words; ``last`` where none is known here."""
        found = {
            "min": self.low,
            "max": self.high,
            "mean": self.total / self.count if self.count else None,
            "last": self.last if self.last is not None else last,
            "first": self.first,
            "best": self.high if definition.goal == "maximize" else self.low,
        }
        return {word: found[word] for word in definition.summary if found.get(word) is not None}


class Rules:
    """Finds the definition that rules a key: the exact one, else the longest matching prefix."""

    def __init__(self, definitions: Mapping[str, MetricDefined]) -> None:
        self._found: dict[str, MetricDefined | None] = dict(definitions)
        self._prefixes = sorted((name for name in definitions if name.endswith("*")), key=len, reverse=True)
        self.summarise = any(each.summary for each in definitions.values())

    def find(self, key: str) -> MetricDefined | None:
        """Return the definition that rules ``key``, if any does."""
        if key not in self._found:
            prefixes = () if key.startswith("_") else self._prefixes
            self._found[key] = next(
                (self._found[name] for name in prefixes if key.startswith(name[:-1])), None
            )
        return self._found[key]

    def words(self, key: str) -> list[str]:
        """Return what the summary is to hold of ``key``; nothing where that is its last value."""
        rule = self.find(key)
        return rule.summary if rule is not None else []


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


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a double can stand for."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
