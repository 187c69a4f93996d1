"""Aggregates for the summary: the ``define_metric`` definition of a key; its minimum, maximum and mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from tracker.ground.parsed_types import Integer
from tracker.ground.records import MetricDefined


class Aggregate(msgspec.Struct, array_like=True):
    """Minimum, maximum and mean of the finite values of one key, and its first and last value.

    ``low`` and ``high`` of integers are exact. ``partial`` is true if the key had been logged before
    ``define_metric`` was called. ``last`` is None in segments of an older tracker.
    """

    count: Integer = 0
    total: float = 0.0
    low: Any = None
    high: Any = None
    first: Any = None
    last: Any = None
    partial: bool = False

    def add(self, value: Any) -> None:
        """Add a value."""
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
        """Check an aggregate from an untrusted source.

        Raises:
            ValueError: The minimum or the maximum is not a finite number.
        """
        for value in (self.low, self.high):
            if value is not None and not is_finite(value):
                raise ValueError("a minimum or maximum is not a finite number")

    @property
    def empty(self) -> bool:
        """Whether no value was added."""
        return self.first is None and not self.count

    def joined_with(self, later: Aggregate) -> Aggregate:
        """Return the aggregate of this one's values followed by the values of ``later``."""
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
        """Return the summary value: the aggregates that the definition names.

        ``last`` is used for the last value if this aggregate does not have it.
        """
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
    """Lookup of the definition for a key: the one with the same name, else the one with the longest prefix.

    Attributes:
        has_aggregates: Whether a definition asks for an aggregate.
    """

    def __init__(self, definitions: Mapping[str, MetricDefined]) -> None:
        self._found: dict[str, MetricDefined | None] = dict(definitions)
        self._prefixes = sorted((name for name in definitions if name.endswith("*")), key=len, reverse=True)
        self.has_aggregates = any(each.summary for each in definitions.values())

    def find(self, key: str) -> MetricDefined | None:
        """Return the definition for ``key``, or None."""
        if key not in self._found:
            prefixes = () if key.startswith("_") else self._prefixes
            self._found[key] = next(
                (self._found[name] for name in prefixes if key.startswith(name[:-1])), None
            )
        return self._found[key]

    def aggregates_of(self, key: str) -> list[str]:
        """Return the names of the aggregates for ``key``; an empty list if its last value is shown."""
        rule = self.find(key)
        return rule.summary if rule is not None else []


def merge_definitions(old: MetricDefined | None, new: MetricDefined) -> MetricDefined:
    """Return the definition of a name after another call; fields that it does not set keep their values.

    (corpus: ``metrics.defined_again``)
    """
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
    """Return whether a value is a number in the range of a double, and not NaN or infinity."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
