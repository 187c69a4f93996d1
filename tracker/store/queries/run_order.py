"""Orders of run lists: several keys, and cursors, which continue a list after one run.

A run's place in an order is a list of values, compared one after the other. For a key of config or summary
they are: the rank (a number, a string, neither), the number and the string. The id of the row is the last
value, so no two runs have the same place, and new runs do not change the place of another run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, and_, case, exists, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, join

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


def parse_order(session: Session, project_id: int, order: str) -> list[Key]:
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
    return [_parse_key(session, project_id, part) for part in parts]


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
    """A query over runs with their places.

    Attributes:
        query: Selects the ids of runs, with the tables of the keys joined, without an order.
        run_id: The column with the ids.
        places: The place of a run, without the id.
    """

    query: Select[Any]
    run_id: Any
    places: list[Place]

    def sorted(self) -> Select[Any]:
        """Return the query in its order; equal runs come newest first."""
        places = [each.expression.desc() if each.descending else each.expression for each in self.places]
        return self.query.order_by(*places, self.run_id.desc())

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


def ordered(project_id: int, keys: Sequence[Key]) -> Ordered:
    """Return the runs of a project with their places in an order."""
    source, places = _joined(Run, Run.id, keys)
    return Ordered(select(Run.id).select_from(source).where(Run.project_id == project_id), Run.id, places)


def ordered_by_field(project_id: int, keys: Sequence[Key]) -> list[Ordered]:
    """Return the runs of a project by the rank of the first key, which is a key of config or summary.

    The runs with a number come first, then those with a string: of these the database walks an index. Then
    come all other runs. The places are those of ``ordered`` without the values that are equal in the rank.
    """
    first, *rest = keys
    found = []
    for rank in ("number", "text"):
        field = aliased(RunField)
        column = getattr(field, rank)
        source, places = _joined(field, field.run_id, rest)
        query = select(field.run_id).select_from(source)
        query = query.where(field.project_id == project_id, field.field == first.name, column.is_not(None))
        found.append(Ordered(query, field.run_id, [Place(column, first.descending), *places]))
    listed = exists().where(
        RunField.project_id == project_id,
        RunField.field == first.name,
        RunField.run_id == Run.id,
        RunField.number.is_not(None) | RunField.text.is_not(None),
    )
    others = ordered(project_id, rest)
    return [*found, others._replace(query=others.query.where(~listed))]


def _joined(table: Any, run_id: Any, keys: Sequence[Key]) -> tuple[Any, list[Place]]:
    """Join the tables that keys need to a table with ids of runs; return both, and the places of the keys."""
    places: list[Place] = []
    source, has_run = table, table is Run
    for key in keys:
        if key.is_field:
            field = aliased(RunField)
            source = join(source, field, and_(field.run_id == run_id, field.field == key.name), isouter=True)
            places.append(
                Place(case((field.number.is_not(None), 0), (field.text.is_not(None), 1), else_=2), False)
            )
            places += [Place(field.number, key.descending), Place(field.text, key.descending)]
            continue
        column = ORDERS[key.name]
        if not has_run:
            source, has_run = join(source, Run, Run.id == run_id), True
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


def unpack_cursor(text: str, order: str, keys: Sequence[Key]) -> list[Any]:
    """Return the place of a run from the text of a cursor.

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
