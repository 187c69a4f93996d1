"""What runs are found by: the table ``run_fields``, derived from their config, summary and tags.

Fields are named ``config.KEY`` and ``summary.KEY``, keys of nested dicts joined by dots, and
``tags.TAG``; ``tags`` stands for having any. ``tracker.store.queries.filters`` asks for them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from tracker.store.catalog.models import Run, RunField

# Runs that are in memory at once while all are looked at.
RUNS_AT_ONCE = 100
# Strings are kept whole up to this many characters; of longer ones that many, and their hash.
LONGEST_TEXT = 256
# The whole strings that NaN and the infinities are found as, and what wandb writes in their place.
NONFINITE_TEXT = {math.inf: "Infinity", -math.inf: "-Infinity"}


class Value(NamedTuple):
    """How one value is kept. Lists, dicts and numbers that no double can stand for have neither."""

    number: float | None = None
    text: str | None = None


# A value as it is kept: what ``Value`` is, but quicker made, and there are many.
Kept = tuple[float | None, str | None]

OTHER = Value()
PRESENT = Value(1.0)


def value_of(value: Any) -> Value:
    """Return how a plain value is kept and asked for."""
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
    """Return how a string is kept: equal strings, and only they, are kept alike."""
    if len(text) <= LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:LONGEST_TEXT]}…{digest[:32]}"


def fields_of(config: Mapping[str, Any], summary: Mapping[str, Any], tags: Iterable[str]) -> dict[str, Kept]:
    """Return the fields of a run. A value of None counts as missing."""
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
            # A key that has the dots itself is not hidden by nested ones that spell the same.
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
    """Make a run's rows of ``run_fields`` what its config, summary and tags say; writes what differs.

    Args:
        session: A write transaction, in which the run already has its id.
        run: The run, as it will be committed.
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
        if stored:  # what is left is not there any more
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
    """Make ``run_fields`` what all runs say; see ``refresh_fields``."""
    for run in session.scalars(select(Run).order_by(Run.id).execution_options(yield_per=RUNS_AT_ONCE)):
        refresh_fields(session, run)


def row_of(run: int, project: int, field: str, value: Kept) -> dict[str, Any]:
    """Return a row of ``run_fields``."""
    return {
        "run_id": run,
        "field": field,
        "project_id": project,
        "number": value[0],
        "text": value[1],
    }
