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


def _matches(item: T, wanted: Any, value: Value[T]) -> bool:
    if not isinstance(wanted, dict):
        raise UsageError("A filter is a JSON object.")
    for key, condition in wanted.items():
        if key in ("$and", "$or", "$nor"):
            found = [_matches(item, each, value) for each in condition]
            holds = all(found) if key == "$and" else any(found) is (key == "$or")
        elif key == "$not":
            holds = not _matches(item, condition, value)
        else:
            holds = _holds(value(item, key), condition)
        if not holds:
            return False
    return True


def _holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict):
        return _equal(value, condition)
    return all(_compare(value, operator, operand) for operator, operand in condition.items())


def _compare(value: Any, operator: str, operand: Any) -> bool:
    if operator in ("$eq", "$ne"):
        return _equal(value, operand) is (operator == "$eq")
    if operator in ("$in", "$nin"):
        return any(_equal(value, each) for each in operand) is (operator == "$in")
    if operator in ("$regex", "$contains"):
        pattern = str(operand) if operator == "$regex" else re.escape(str(operand))
        return any(re.search(pattern, str(each)) for each in _each(value) if each is not None)
    if operator == "$exists":
        return (value is not None) is bool(operand)
    if operator == "$not":
        return not _holds(value, operand)
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
    raise UsageError(f"The filter has the unknown operator {operator!r}.")


def _equal(value: Any, operand: Any) -> bool:
    return any(each == operand for each in _each(value)) or value == operand


def _each(value: Any) -> Any:
    return value if isinstance(value, list) else [value]
