"""Filters and orders of ``wandb.Api`` for lists that are in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from server.wandb.texts import read_json, read_time
from tracker.errors import UsageError

T = TypeVar("T")
# Returns the value of a field of an item.
Value = Callable[[T, str], Any]


def select(items: Sequence[T], filters: Any, value: Value[T]) -> list[T]:
    """Return the items that match a filter in the form of MongoDB.

    Args:
        items: The items.
        filters: The filter, as an object or as JSON text.
        value: Returns the value of a field of an item.

    Raises:
        UsageError: The filter has an unknown operator or is not an object.
    """
    wanted = read_json(filters) if isinstance(filters, str) else filters
    if not wanted:
        return list(items)
    return [each for each in items if _matches(each, wanted, value)]


def order_by(items: list[T], order: str | None, value: Value[T]) -> list[T]:
    """Return the items in an order. Items without the value come last.

    Args:
        items: The items.
        order: The field, after ``-`` if the largest comes first. None keeps the order.
        value: Returns the value of a field of an item.
    """
    if not order:
        return items
    key, falls = order.lstrip("+-"), order.startswith("-")
    key = re.sub(r"_([a-z])", lambda found: found[1].upper(), key)  # `version_index` is `versionIndex`
    known = [each for each in items if value(each, key) is not None]
    missing = [each for each in items if value(each, key) is None]
    try:
        return sorted(known, key=lambda each: value(each, key), reverse=falls) + missing
    except TypeError as error:
        raise UsageError(f"The values of {key} cannot be compared.") from error


def holds(value: Any, condition: Any) -> bool:
    """Return whether a value passes a condition: a value, or ``{operator: operand, ...}``.

    Args:
        value: The value; None if it is missing. A list passes if one of its elements does.
        condition: The condition.

    Raises:
        UsageError: The condition has an unknown operator, or an operand that is not valid.
    """
    if not isinstance(condition, dict):
        return _equal(value, condition)
    return all(_compare(value, operator, operand) for operator, operand in condition.items())


def _matches(item: T, wanted: Any, value: Value[T]) -> bool:
    if not isinstance(wanted, dict):
        raise UsageError("A filter is a JSON object.")
    for key, condition in wanted.items():
        if key in ("$and", "$or", "$nor"):
            found = [_matches(item, each, value) for each in _list(key, condition)]
            passes = all(found) if key == "$and" else any(found) is (key == "$or")
        elif key == "$not":
            passes = not _matches(item, condition, value)
        else:
            passes = holds(value(item, key), condition)
        if not passes:
            return False
    return True


def _compare(value: Any, operator: str, operand: Any) -> bool:
    if operator in ("$eq", "$ne"):
        return _equal(value, operand) is (operator == "$eq")
    if operator in ("$in", "$nin"):
        return any(_equal(value, each) for each in _list(operator, operand)) is (operator == "$in")
    if operator == "$regex":
        return _contains(value, operand, "match_substring_regex")
    if operator == "$contains":
        return _contains(value, operand, "match_substring")
    if operator == "$exists":
        return (value is not None) is bool(operand)
    if operator == "$not":
        return not holds(value, operand)
    if operator in ("$gt", "$gte", "$lt", "$lte"):
        if isinstance(value, int | float) and isinstance(operand, str):
            operand = read_time(operand)
        if value is None or operand is None:
            return False
        try:
            more = (value > operand) - (value < operand)
        except TypeError:
            return False
        return bool({"$gt": more > 0, "$gte": more >= 0, "$lt": more < 0, "$lte": more <= 0}[operator])
    raise UsageError(f"The filter has the unknown operator {operator!r:.60}.")


def _contains(value: Any, pattern: Any, kernel: str) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array([None if each is None else str(each) for each in _each(value)], pa.string())
    try:  # RE2 needs time in proportion to the text, with any pattern
        return bool(pc.any(getattr(pc, kernel)(texts, str(pattern))).as_py())
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        raise UsageError(f"{pattern!r:.60} is not a valid RE2 pattern: {error}") from None


def _list(operator: str, operand: Any) -> list[Any]:
    if not isinstance(operand, list):
        raise UsageError(f"{operator} takes a list, not {operand!r:.60}")
    return operand


def _equal(value: Any, operand: Any) -> bool:
    return any(each == operand for each in _each(value)) or bool(value == operand)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
