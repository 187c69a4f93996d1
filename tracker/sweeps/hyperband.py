"""Hyperband: which runs of a sweep are not worth going on with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tracker.errors import UsageError


class Brackets(NamedTuple):
    """When a run is looked at, and how many of them go on.

    Attributes:
        at: After how many values of the metric, ascending.
        eta: One in so many goes on.
        strict: Whether a run is looked at again when others have come further, too.
    """

    at: tuple[int, ...]
    eta: float
    strict: bool


def read_brackets(config: Mapping[str, Any]) -> Brackets | None:
    """Return the brackets of a sweep's ``early_terminate``; None without one.

    As in wandb: with ``min_iter`` they are min_iter, min_iter * eta, ...; with ``max_iter`` and ``s``
    max_iter / eta, max_iter / eta**2, ..., ``s`` of them.

    Raises:
        UsageError: Something is missing, or is no number.
    """
    given = config.get("early_terminate")
    if not given:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "hyperband":
        raise UsageError(
            "early_terminate must be {'type': 'hyperband', 'min_iter': ...}: there is no other type"
        )
    for key in ("min_iter", "max_iter", "eta", "s"):
        value = given.get(key)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1
        ):
            raise UsageError(f"{key} of early_terminate is {value!r}; give a number, 1 or more")
    eta = float(given.get("eta") or 3)
    if eta <= 1:
        raise UsageError(f"eta of early_terminate is {eta:g}; give one above 1")
    if (first := given.get("min_iter")) is not None:
        # No run logs its metric more often than that.
        at = {int(first * eta**power) for power in range(1 + int(math.log(1e12 / first, eta)))}
    elif (last := given.get("max_iter")) is not None and (count := given.get("s")) is not None:
        at = {int(last / eta**power) for power in range(1, int(count) + 1)}
    else:
        raise UsageError("early_terminate needs min_iter, or max_iter and s")
    return Brackets(tuple(sorted(each for each in at if each >= 1)), eta, bool(given.get("strict")))


def reached(brackets: Brackets, passed: int, count: int) -> list[int]:
    """Return the brackets that a run with so many values has reached beyond ``passed``, or all."""
    return [each for each in brackets.at if each <= count and (each > passed or brackets.strict)]


def is_beaten(brackets: Brackets, at: int, own: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether a run is none of the best ones at a bracket, so that it stops.

    Args:
        brackets: The sweep's.
        at: The bracket.
        own: The run's values of the metric, less being better.
        others: Those of the sweep's other runs.
    """
    best = _best(own[:at])
    there = sorted([best, *(_best(each[:at]) for each in others if len(each) >= at)])
    return best > there[math.ceil(len(there) / brackets.eta) - 1]


def _best(values: Sequence[float]) -> float:
    return min((each for each in values if not math.isnan(each)), default=math.inf)
