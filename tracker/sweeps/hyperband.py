"""Hyperband: the decision to stop a run of a sweep early because other runs are better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tracker.errors import UsageError

_LARGEST = 1e12
_MOST = 10_000


class Brackets(NamedTuple):
    """The points at which runs are compared, and the share of runs that continue.

    Attributes:
        at: Numbers of values of the metric after which a run is compared with others, in ascending order.
        eta: Of ``eta`` runs, one continues.
        strict: Whether a run is compared again at earlier brackets, because other runs may have reached them.
    """

    at: tuple[int, ...]
    eta: float
    strict: bool


def read_brackets(config: Mapping[str, Any]) -> Brackets | None:
    """Return the brackets of a sweep's ``early_terminate``; None if the sweep does not have it.

    With ``min_iter`` the brackets are min_iter, min_iter * eta, min_iter * eta**2, ... With ``max_iter`` and
    ``s`` they are the ``s`` brackets max_iter / eta, max_iter / eta**2, ...

    Raises:
        UsageError: A value is missing or invalid.
    """
    given = config.get("early_terminate")
    if not given:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "hyperband":
        raise UsageError(
            f"Invalid early_terminate {given!r}. Use {{'type': 'hyperband', 'min_iter': ...}}, the only type."
        )
    for key in ("min_iter", "max_iter", "eta", "s"):
        value = given.get(key)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= _LARGEST
        ):
            raise UsageError(f"Invalid {key} {value!r:.60} of early_terminate. Use a number, 1 or more.")
    eta = float(given.get("eta") or 3)
    if eta <= 1:
        raise UsageError(f"Invalid eta {eta:g} of early_terminate. Use a number above 1.")
    if (first := given.get("min_iter")) is not None:
        # Brackets up to 1e12 are enough: no run logs its metric more often.
        powers = range(_checked(1 + math.log(_LARGEST / first, eta)))
        at = {int(first * eta**power) for power in powers}
    elif (last := given.get("max_iter")) is not None and (count := given.get("s")) is not None:
        # Brackets below 1 are left out.
        at = {int(last / eta**power) for power in range(1, _checked(min(count, 1 + math.log(last, eta))) + 1)}
    else:
        raise UsageError("early_terminate needs min_iter, or max_iter and s")
    return Brackets(tuple(sorted(each for each in at if each >= 1)), eta, bool(given.get("strict")))


def _checked(count: float) -> int:
    """Return the number of brackets, or raise UsageError if it is too large to compute them."""
    if count > _MOST:
        raise UsageError(f"early_terminate has more than {_MOST} brackets. Use a larger eta.")
    return int(count)


def reached_brackets(brackets: Brackets, passed: int, count: int) -> list[int]:
    """Return the brackets at which a run must be compared now; with ``strict``, all that it has reached.

    Args:
        brackets: The brackets of the sweep.
        passed: The last bracket at which the run was compared.
        count: Number of values that the run has logged.
    """
    return [each for each in brackets.at if each <= count and (each > passed or brackets.strict)]


def is_beaten(brackets: Brackets, at: int, own: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return whether a run must stop, because it is not among the best runs at a bracket.

    Args:
        brackets: The brackets of the sweep.
        at: The bracket.
        own: The run's values of the metric; smaller values are better.
        others: The values of the sweep's other runs.
    """
    best = _best(own[:at])
    there = sorted([best, *(_best(each[:at]) for each in others if len(each) >= at)])
    return best > there[math.ceil(len(there) / brackets.eta) - 1]


def _best(values: Sequence[float]) -> float:
    return min((each for each in values if not math.isnan(each)), default=math.inf)
