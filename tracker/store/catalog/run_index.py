"""The table ``run_fields``: config, summary and tags of runs, indexed for filters and sort orders.

Fields have names ``config.KEY`` and ``summary.KEY``, with the keys of nested dicts joined by dots, and
``tags.TAG``. The field ``tags`` exists if a run has a tag. ``tracker.store.queries.filters`` uses the table.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from tracker.store.catalog.models import Run, RunField

# Number of runs in memory while the fields of all runs are refreshed.
RUNS_AT_ONCE = 100
# A longer string is stored as its first 256 characters and a hash.
LONGEST_TEXT = 256
# NaN and the infinities are indexed as these strings, which wandb also writes in their place.
NONFINITE_TEXT = {math.inf: "Infinity", -math.inf: "-Infinity"}


class Value(NamedTuple):
    """The indexed form of a value. Lists, dicts and integers too large for a double have neither field."""

    number: float | None = None
    text: str | None = None


# The fields of a ``Value`` as a plain tuple, which is faster to create. There are many of them.
Kept = tuple[float | None, str | None]

OTHER = Value()
PRESENT = Value(1.0)


def value_of(value: Any) -> Value:
    """Return the indexed form of a plain value. Filters use the same form."""
    if isinstance(value, str):
        return Value(text=text_of(value))
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return OTHER
        if math.isfinite(number):
            return Value(number)
        return Value(text=NONFINITE_TEXT.get(number, "NaN"))
    return OTHER


def text_of(text: str) -> str:
    """Return the indexed form of a string. Only equal strings have the same form."""
    if len(text) <= LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:LONGEST_TEXT]}…{digest[:32]}"


def fields_of(config: Mapping[str, Any], summary: Mapping[str, Any], tags: Iterable[str]) -> dict[str, Kept]:
    """Return the fields of a run. A value of None counts as missing.

    Args:
        config: Config of the run.
        summary: Summary of the run.
        tags: Tags of the run.
    """
    found: dict[str, Kept] = {}
    _flatten("config.", config, found)
    _flatten("summary.", summary, found)
    for tag in tags:
        found["tags"] = PRESENT
        found[f"tags.{tag}"] = PRESENT
    return found


def _flatten(prefix: str, values: Mapping[str, Any], found: dict[str, Kept]) -> None:
    for key, value in values.items():
        kind = type(value)
        if kind is dict:
            # A nested key does not replace a key that contains dots and has the same name.
            found.setdefault(prefix + key, OTHER)
            nested: dict[str, Kept] = {}
            _flatten(f"{prefix}{key}.", value, nested)
            for name, inner in nested.items():
                if name.removeprefix(prefix) not in values:
                    found[name] = inner
        elif kind is float and -math.inf < value < math.inf:
            found[prefix + key] = (value, None)
        elif value is not None:
            found[prefix + key] = value_of(value)


def refresh_fields(session: Session, run: Run) -> None:
    """Update the rows of a run in ``run_fields`` to its config, summary and tags. Write only differences.

    Args:
        session: A write transaction, in which the run already has an id.
        run: The run in its final state for this transaction.
    """
    wanted = fields_of(run.config, run.summary, run.tags)
    with session.no_autoflush:
        connection = session.connection()
        kept = select(RunField.field, RunField.number, RunField.text).where(RunField.run_id == run.id)
        stored = {row[0]: (row[1], row[2]) for row in connection.execute(kept).all()}
        added, changed = [], []
        for field, value in wanted.items():
            before = stored.pop(field, None)
            if before is None:
                added.append(row_of(run.id, run.project_id, field, value))
            elif before != value:
                changed.append({"at": field, "number": value[0], "text": value[1]})
        if stored:  # the remaining fields do not exist any more
            connection.execute(
                delete(RunField).where(RunField.run_id == run.id, RunField.field == bindparam("at")),
                [{"at": field} for field in stored],
            )
        if changed:
            connection.execute(
                update(RunField).where(RunField.run_id == run.id, RunField.field == bindparam("at")), changed
            )
        if added:
            connection.execute(insert(RunField), added)


def refresh_all_fields(session: Session) -> None:
    """Update the rows of all runs in ``run_fields``. See ``refresh_fields``."""
    for run in session.scalars(select(Run).order_by(Run.id).execution_options(yield_per=RUNS_AT_ONCE)):
        refresh_fields(session, run)


def row_of(run: int, project: int, field: str, value: Kept) -> dict[str, Any]:
    """Return a row of ``run_fields``.

    Args:
        run: ``Run.id`` of the run.
        project: ``Project.id`` of its project.
        field: Name of the field.
        value: The indexed form of the value.
    """
    return {
        "run_id": run,
        "field": field,
        "project_id": project,
        "number": value[0],
        "text": value[1],
    }
