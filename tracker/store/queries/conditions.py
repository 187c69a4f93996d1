"""Conditions of queries as SQL text with parameters.

SQLAlchemy needs more time to build and compile a filter than SQLite needs to read a page: see decision 0087.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tracker.store.catalog.sqlite import encode_ids


class Condition(NamedTuple):
    """A condition that ``NOT`` and ``AND`` can precede without parentheses, and the values of its marks."""

    sql: str
    parameters: tuple[Any, ...] = ()


TRUE = Condition("TRUE")
FALSE = Condition("FALSE")


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that all conditions are true."""
    return _joined(" AND ", [each for each in conditions if each is not TRUE], TRUE)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that one of several conditions is true."""
    return _joined(" OR ", [each for each in conditions if each is not FALSE], FALSE)


def negated(condition: Condition) -> Condition:
    """Return the condition that another one is false."""
    return Condition(f"NOT {condition.sql}", condition.parameters)


def one_of(column: str, values: Sequence[Any]) -> Condition:
    """Return the condition that a column has one of some values."""
    if len(values) == 1:
        return Condition(f"{column} = ?", (values[0],))
    return Condition(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def among(run_id: str, ids: Iterable[int]) -> Condition:
    """Return the condition that a column of ids has one of ``ids``, which are one parameter in any number."""
    return Condition(f"{run_id} IN (SELECT value FROM json_each(?))", (encode_ids(ids),))


def _joined(word: str, conditions: list[Condition], empty: Condition) -> Condition:
    if len(conditions) < 2:
        return conditions[0] if conditions else empty
    text = word.join(each.sql for each in conditions)
    return Condition(f"({text})", tuple(value for each in conditions for value in each.parameters))
