"""Orders of run lists: several keys, and cursors, which continue a list after one run.

A run's place in an order is a list of values, compared one after the other. For a key of config or summary
they are: the rank (a number, a string, neither), the number and the string. The id of the row is the last
value, so no two runs have the same place, and new runs do not change the place of another run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, case, exists, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tracker.errors import UsageError
from tracker.store.catalog.models import Run, RunField
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
_RUNS: Any = Run.__table__
_FIELDS: Any = RunField.__table__
_CURSOR = msgspec.json.Decoder(list[int | float | str | None])


class Place(NamedTuple):
    """One value of a run's place in an order."""

    expression: Any
    descending: bool


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


def parse_order(session: Session, project_id: int, order: str) -> tuple[Key, ...]:
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


def _parse_key(session: Session, project_id: int, part: str) -> Key:
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
        query: Selects the ids of the runs.
        page: The same in the order, with the parameters ``limit`` and ``offset``. Equal runs: newest first.
        run_id: The column with the ids.
        places: The place of a run, without the id.
    """

    query: Select[Any]
    page: Select[Any]
    run_id: Any
    places: list[Place]

    def after(self, cursor: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition for the runs after a place. None is equal in its rank."""
        *values, run_id = cursor
        found: ColumnElement[bool] = self.run_id < run_id
        for place, value in reversed(list(zip(self.places, values, strict=True))):
            if value is not None:
                at = literal(value)
                beyond = place.expression < at if place.descending else place.expression > at
                found = or_(beyond, and_(place.expression == at, found))
        if self.places and values[0] is not None:  # implied, and lets the database begin within an index
            expression, descending = self.places[0]
            found = and_(
                expression <= literal(values[0]) if descending else expression >= literal(values[0]), found
            )
        return found


# The construction of these statements takes longer than their execution.
@lru_cache(maxsize=512)
def ordered(project_id: int, keys: tuple[Key, ...]) -> Ordered:
    """Return the runs of a project with their places in an order."""
    source, places = _joined(_RUNS, _RUNS.c.id, keys)
    query = select(_RUNS.c.id).select_from(source).where(_RUNS.c.project_id == project_id)
    return _sorted(query, _RUNS.c.id, places)


@lru_cache(maxsize=512)
def ordered_by_field(project_id: int, keys: tuple[Key, ...]) -> list[Ordered]:
    """Return the runs of a project by the rank of the first key, which is a key of config or summary.

    The runs with a number come first, then those with a string: of these the database walks an index. Then
    come all other runs. The places are those of ``ordered`` without the values that are equal in the rank.
    """
    first, *rest = keys
    found = []
    for rank in ("number", "text"):
        field = _FIELDS.alias()
        column = field.c[rank]
        source, places = _joined(field, field.c.run_id, rest)
        query = select(field.c.run_id).select_from(source)
        query = query.where(
            field.c.project_id == project_id, field.c.field == first.name, column.is_not(None)
        )
        found.append(_sorted(query, field.c.run_id, [Place(column, first.descending), *places]))
    field = _FIELDS.alias()
    listed = exists().where(
        field.c.project_id == project_id,
        field.c.field == first.name,
        field.c.run_id == _RUNS.c.id,
        field.c.number.is_not(None) | field.c.text.is_not(None),
    )
    others = ordered(project_id, tuple(rest))
    return [*found, others._replace(query=others.query.where(~listed), page=others.page.where(~listed))]


@lru_cache(maxsize=512)
def place_query(project_id: int, keys: tuple[Key, ...]) -> Select[Any]:
    """Return the query for the place of the run with the id ``run``, and its id."""
    found = ordered(project_id, keys)
    query = found.query.with_only_columns(*(each.expression for each in found.places), _RUNS.c.id)
    return query.where(_RUNS.c.id == bindparam("run"))


def _sorted(query: Select[Any], run_id: Any, places: list[Place]) -> Ordered:
    columns = [each.expression.desc() if each.descending else each.expression for each in places]
    page = query.order_by(*columns, run_id.desc())
    page = page.limit(bindparam("limit", type_=Integer)).offset(bindparam("offset", type_=Integer))
    return Ordered(query, page, run_id, places)


def _joined(table: Any, run_id: Any, keys: Sequence[Key]) -> tuple[Any, list[Place]]:
    """Join the tables that keys need to a table with ids of runs; return both, and the places of the keys."""
    places: list[Place] = []
    source, has_run = table, table is _RUNS
    for key in keys:
        if key.is_field:
            field = _FIELDS.alias().c
            source = source.outerjoin(
                field.run_id.table, and_(field.run_id == run_id, field.field == key.name)
            )
            places.append(
                Place(case((field.number.is_not(None), 0), (field.text.is_not(None), 1), else_=2), False)
            )
            places += [Place(field.number, key.descending), Place(field.text, key.descending)]
            continue
        column = _RUNS.c[ORDERS[key.name].property.columns[0].name]
        if not has_run:
            source, has_run = source.join(_RUNS, _RUNS.c.id == run_id), True
        if column.nullable:
            places.append(Place(case((column.is_(None), 1), else_=0), False))
        places.append(Place(column, key.descending))
    return source, places


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
