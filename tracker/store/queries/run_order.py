"""Orders of run lists: several keys, and cursors, which continue a list after one run.

A run's place in an order is a list of values, compared one after the other. For a key of config or summary
they are: the rank (a number, a string, neither), the number and the string. The id of the row is the last
value, so no two runs have the same place, and new runs do not change the place of another run.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.orm import InstrumentedAttribute

from tracker.errors import UsageError
from tracker.store.catalog.models import Run
from tracker.store.catalog.sqlite import Reading
from tracker.store.queries.conditions import TRUE, Condition, all_of, among, any_of
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import canonical, resolve

LARGEST_KEYS = 10
ORDERS: dict[str, InstrumentedAttribute[Any]] = {
    "created_at": Run.created_at,
    "updated_at": Run.updated_at,
    "name": Run.name,
    "state": Run.state,
    "last_step": Run.last_step,
    "duration": Run.duration,
    "id": Run.run_id,
    "group": Run.group,
    "job_type": Run.job_type,
    "host": Run.host,
}
# Other names of these orders, which wandb and its users use.
ORDER_NAMES = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "heartbeat_at": "updated_at",
    "heartbeatAt": "updated_at",
    "display_name": "name",
    "displayName": "name",
    "jobType": "job_type",
    "summary._step": "last_step",
    "summary._runtime": "duration",
    "summary._timestamp": "updated_at",
}
KEYED = ("config.", "summary.", "summary_metrics.")
_CURSOR = msgspec.json.Decoder(list[int | float | str | None])


class Place(NamedTuple):
    """One value of a run's place in an order, as SQL."""

    expression: str
    descending: bool

    def beyond(self, value: Any) -> Condition:
        """Return the condition for the runs that come after all runs with a value."""
        return Condition(f"{self.expression} {'<' if self.descending else '>'} ?", (value,))

    def since(self, value: Any) -> Condition:
        """Return the condition for the runs with a value, and those that come after them."""
        return Condition(f"{self.expression} {'<=' if self.descending else '>='} ?", (value,))

    def reversed(self) -> Place:
        """Return the same value in the opposite order."""
        return Place(self.expression, not self.descending)


class Key(NamedTuple):
    """A key of an order: a column of ``ORDERS``, or a field of ``run_fields``."""

    name: str
    descending: bool

    @property
    def is_field(self) -> bool:
        """Whether the key is a key of config or summary."""
        return self.name not in ORDERS


def split_names(text: str, known: Sequence[str]) -> list[str]:
    """Split a list of names at its commas. A comma within a key of config or summary does not split.

    Args:
        text: Names with commas between them.
        known: The names that are not keys of config or summary.
    """
    found: list[str] = []
    for part in text.split(","):
        name = part.lstrip("+- ")
        if not found or name in known or name.startswith(KEYED):
            found.append(part.strip() if name in known else part.lstrip())
        else:
            found[-1] += f",{part}"
    return found


def parse_order(session: Reading, project_id: int, order: str) -> tuple[Key, ...]:
    """Return the keys of an order such as ``-summary.loss,name``.

    Args:
        session: A read transaction.
        project_id: The project.
        order: Columns of ``ORDERS``, ``summary.KEY`` or ``config.KEY``; with ``-`` in front, descending.

    Raises:
        UsageError: A key does not exist, or there are too many keys.
    """
    parts = split_names(order, (*ORDERS, *ORDER_NAMES))
    if len(parts) > LARGEST_KEYS:
        raise UsageError(f"order: the order has more than {LARGEST_KEYS} keys")
    return tuple(_parse_key(session, project_id, part) for part in parts)


def _parse_key(session: Reading, project_id: int, part: str) -> Key:
    name = part[1:] if part.startswith(("-", "+")) else part
    check_text(name)
    known = ORDER_NAMES.get(canonical(name), name)
    if known in ORDERS:
        return Key(known, part.startswith("-"))
    if canonical(name).startswith(("summary.", "config.")):
        return Key(resolve(session, project_id, name), part.startswith("-"))
    raise UsageError(f"cannot order by {name!r}: use {', '.join(ORDERS)}, summary.KEY or config.KEY")


class Ordered(NamedTuple):
    """Runs with their places.

    Attributes:
        source: ``FROM ... WHERE ...``, as SQL.
        parameters: The parameters of ``source``.
        run_id: The column with the ids.
        places: The place of a run, without the id.
        order: ``ORDER BY ...``, as SQL. Equal runs: newest first.
    """

    source: str
    parameters: tuple[Any, ...]
    run_id: str
    places: list[Place]
    order: str

    def where(self, condition: Condition) -> Ordered:
        """Return only the runs for which a condition is true."""
        if condition is TRUE:
            return self
        source = f"{self.source} AND {condition.sql}"
        return self._replace(source=source, parameters=(*self.parameters, *condition.parameters))

    def after(self, cursor: Sequence[Any]) -> Condition:
        """Return the condition for the runs after a place. None is equal in its rank."""
        *values, run_id = cursor
        found = Condition(f"{self.run_id} < ?", (run_id,))
        for place, value in reversed(list(zip(self.places, values, strict=True))):
            if value is not None:
                equal = all_of([Condition(f"{place.expression} = ?", (value,)), found])
                found = any_of([place.beyond(value), equal])
        if self.places and values[0] is not None:  # implied, and lets the database begin within an index
            found = all_of([self.places[0].since(values[0]), found])
        return found


@lru_cache(maxsize=512)
def ordered(project_id: int, keys: tuple[Key, ...]) -> Ordered:
    """Return the runs of a project with their places in an order."""
    tables, fields, places = _joined("runs", "runs.id", keys)
    source = f"FROM {tables} WHERE runs.project_id = ?"
    return _sorted(source, (*fields, project_id), "runs.id", places)


def ordered_among(ids: Iterable[int], keys: tuple[Key, ...]) -> Ordered:
    """Return some runs with their places in an order. The database sorts them, and walks no index."""
    tables, fields, places = _joined("runs", "runs.id", keys)
    kept = among("runs.id", ids)
    return _sorted(f"FROM {tables} WHERE {kept.sql}", (*fields, *kept.parameters), "runs.id", places)


@lru_cache(maxsize=512)
def ordered_by_field(project_id: int, keys: tuple[Key, ...]) -> list[Ordered]:
    """Return the runs of a project by the rank of the first key, which is a key of config or summary.

    The runs with a number come first, then those with a string: of these the database walks an index. Then
    come all other runs. The places are those of ``ordered`` without the values that are equal in the rank.
    """
    first, *rest = keys
    found = []
    for rank in ("number", "text"):
        tables, fields, places = _joined("run_fields AS walked", "walked.run_id", rest)
        source = f"FROM {tables} WHERE walked.project_id = ? AND walked.field = ?"
        source += f" AND walked.{rank} IS NOT NULL"
        places = [Place(f"walked.{rank}", first.descending), *places]
        found.append(_sorted(source, (*fields, project_id, first.name), "walked.run_id", places))
    listed = (
        "NOT EXISTS (SELECT 1 FROM run_fields AS listed WHERE listed.project_id = ? AND listed.field = ? "
    )
    listed += "AND listed.run_id = runs.id AND (listed.number IS NOT NULL OR listed.text IS NOT NULL))"
    others = ordered(project_id, tuple(rest)).where(Condition(listed, (project_id, first.name)))
    return [*found, others]


@lru_cache(maxsize=512)
def place_query(project_id: int, keys: tuple[Key, ...]) -> Condition:
    """Return the query for the place of a run, and its id. The id of the run is the last parameter."""
    found = ordered(project_id, keys)
    columns = ", ".join([*(each.expression for each in found.places), "runs.id"])
    return Condition(f"SELECT {columns} {found.source} AND runs.id = ?", found.parameters)


def _sorted(source: str, parameters: tuple[Any, ...], run_id: str, places: list[Place]) -> Ordered:
    columns = [f"{each.expression} DESC" if each.descending else each.expression for each in places]
    return Ordered(source, parameters, run_id, places, f"ORDER BY {', '.join([*columns, f'{run_id} DESC'])}")


def _joined(table: str, run_id: str, keys: Sequence[Key]) -> tuple[str, list[str], list[Place]]:
    """Join the tables that keys need to a table with ids of runs.

    Returns:
        The tables, their parameters, and the places of the keys.
    """
    places: list[Place] = []
    fields: list[str] = []
    source, has_run = table, table == "runs"
    for at, key in enumerate(keys):
        if key.is_field:
            name = f"field{at}"
            source += f" LEFT JOIN run_fields AS {name} ON {name}.run_id = {run_id} AND {name}.field = ?"
            fields.append(key.name)
            rank = (
                f"CASE WHEN {name}.number IS NOT NULL THEN 0 WHEN {name}.text IS NOT NULL THEN 1 ELSE 2 END"
            )
            places.append(Place(rank, False))
            places += [Place(f"{name}.{each}", key.descending) for each in ("number", "text")]
            continue
        stored = ORDERS[key.name].property.columns[0]
        column = f"runs.{stored.name}"
        if not has_run:
            source, has_run = f"{source} JOIN runs ON runs.id = {run_id}", True
        if stored.nullable:
            places.append(Place(f"({column} IS NULL)", False))
        places.append(Place(column, key.descending))
    return source, fields, places


def pack_cursor(order: str, values: Sequence[Any]) -> str:
    """Return the text of a cursor.

    Args:
        order: The order as the user wrote it.
        values: The place of a run, with its id.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode([order, *values])).decode().rstrip("=")


def unpack_cursor(text: str, order: str, keys: tuple[Key, ...]) -> list[Any]:
    """Return the place of a run from the text of a cursor.

    Args:
        text: The cursor.
        order: The order as the user wrote it.
        keys: The parsed order.

    Raises:
        UsageError: The text is not a cursor, or belongs to another order.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        found = _CURSOR.decode(data)
    except (ValueError, msgspec.MsgspecError):
        raise UsageError("cursor: the text is not a cursor: use `next` of the page before") from None
    if not found or found[0] != order:
        raise UsageError(f"cursor: the cursor does not belong to the order {order!r}: keep the order")
    stored = all(not isinstance(value, int) or abs(value) < 2**63 for value in found)
    ranked = not keys[0].is_field or found[1:2] in ([0], [1], [2])
    if (
        len(found) != len(ordered(0, keys).places) + 2
        or not isinstance(found[-1], int)
        or not (stored and ranked)
    ):
        raise UsageError("cursor: the text is not a cursor: use `next` of the page before")
    return found[1:]
