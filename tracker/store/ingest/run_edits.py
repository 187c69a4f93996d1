"""People's edits of a run: name, tags, notes, group, job type, config, summary; archiving."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.records import RunEdited
from tracker.ground.values import dumps, to_plain, without_surrogates
from tracker.runstate.edits import EDITABLE, KEYED, FieldEdit, KeyEdit, add_key_edits
from tracker.store.catalog.models import Run
from tracker.store.ingest.run_row import Aggregates, refresh_run, write_run
from tracker.store.published.runs import publish_run
from tracker.store.queries.runs import get_run
from tracker.store.store import Store

LONGEST_NAME = 1000
_REMOVED = tuple(f"{field}_removed" for field in KEYED)
# Single tags to add to the run's tags, or to remove from them, whatever the other tags are.
_SINGLE_TAGS = ("tags_added", "tags_removed")
FIELDS = (*EDITABLE, *KEYED, *_REMOVED, *_SINGLE_TAGS, "archived")


class RunEdit(msgspec.Struct, frozen=True):
    """New values that a person gives to fields of a run. An edit is applied immediately, without a journal.

    Attributes:
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        time: When the edit was made, in unix seconds. A later attempt of the run can replace the values:
            see ``tracker.runstate.merge``.
        values: The new values by field. None removes the notes, the group or the job type. ``config`` and
            ``summary`` are dicts of the changed keys. ``config_removed`` and ``summary_removed`` list the
            removed keys. ``tags_added`` and ``tags_removed`` change single tags. ``archived`` is a bool.
    """

    entity: str
    project: str
    run_id: str
    time: float
    values: dict[str, Any]


def make_edit(entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunEdit:
    """Return an edit with the current time.

    Args:
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        values: The new values: see ``RunEdit``.

    Raises:
        UsageError: A field cannot be edited, or a value is invalid.
    """
    if not values:
        raise UsageError(f"nothing to change: give one of {', '.join(FIELDS)}")
    return RunEdit(
        entity, project, run_id, time.time(), {name: _checked(name, value) for name, value in values.items()}
    )


def merge_edit(session: Session, run: Run, record: RunEdited, aggregates: Aggregates) -> None:
    """Apply an edit that was made in another store. A field that was edited later in this store stays.

    Args:
        session: A write transaction.
        run: The run.
        record: The edit.
        aggregates: Gives segments the aggregates that they lack: see ``refresh_run``.

    Raises:
        UsageError: A field cannot be edited, or a value is invalid.
    """
    values = {name: _checked(name, value) for name, value in record.values.items()}

    def is_newest(edit: FieldEdit | KeyEdit | None) -> bool:
        return edit is None or edit["time"] < record.time

    for field in KEYED:
        known = run.edits.get(field) or {}
        if field in values:
            values[field] = {key: item for key, item in values[field].items() if is_newest(known.get(key))}
        if (removed := f"{field}_removed") in values:
            values[removed] = [key for key in values[removed] if is_newest(known.get(key))]
    for name in EDITABLE:
        if name in values and not is_newest(run.edits.get(name)):
            del values[name]
    project = run.project
    _note(session, run, RunEdit(project.entity, project.name, run.run_id, record.time, values), aggregates)


def apply_edit(store: Store, edit: RunEdit) -> None:
    """Apply an edit. The run's file is published first, then the catalog is committed.

    Raises:
        NotFoundError: The run does not exist.
    """

    def change(session: Session, aggregates: Aggregates) -> None:
        run = get_run(session, edit.entity, edit.project, edit.run_id)
        _note(session, run, edit, aggregates)
        publish_run(store.layout, session, run)

    write_run(store, change)


def _note(session: Session, run: Run, edit: RunEdit, aggregates: Aggregates) -> None:
    # A new dict, as SQLAlchemy does not see changes inside the old one.
    edits = run.edits.copy()
    for name, value in edit.values.items():
        if name in EDITABLE:
            edits[name] = {"value": value, "time": edit.time}
        elif name == "archived":
            edits["archived"] = {"value": value, "time": edit.time}
    if any(name in edit.values for name in _SINGLE_TAGS):
        added, removed = (edit.values.get(name, []) for name in _SINGLE_TAGS)
        tags = dict.fromkeys([*edit.values.get("tags", run.tags), *added])
        edits["tags"] = {"value": [tag for tag in tags if tag not in removed], "time": edit.time}
    for field in KEYED:
        values, removed = edit.values.get(field, {}), edit.values.get(f"{field}_removed", [])
        if values or removed:
            add_key_edits(edits, field, values, removed, edit.time)
    run.edits = edits
    refresh_run(session, run, aggregates)


def _checked(name: str, value: Any) -> Any:
    if name == "name":
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME:
            raise UsageError(
                f"a run's name is a string of 1 to {LONGEST_NAME} characters, not {_shown(value)}"
            )
    elif name == "archived":
        if not isinstance(value, bool):
            raise UsageError(f"archived is true or false, not {_shown(value)}")
    elif name == "tags" or name in _SINGLE_TAGS:
        if not isinstance(value, (list, tuple)) or not all(isinstance(tag, str) and tag for tag in value):
            raise UsageError(f"{name} are a list of non-empty strings, not {_shown(value)}")
        return list(dict.fromkeys(without_surrogates(tag) for tag in value))
    elif name in EDITABLE:
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name} is a string or None, not {_shown(value)}")
    elif name in KEYED:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise UsageError(f"{name} is a dict of the changed keys, not {_shown(value)}")
        return _plain(name, value)
    elif name in _REMOVED:
        if not isinstance(value, (list, tuple)) or not all(isinstance(key, str) for key in value):
            raise UsageError(f"{name} is a list of keys, not {_shown(value)}")
        return [without_surrogates(key) for key in value]
    else:
        raise UsageError(f"cannot change {name!r} of a run: only {', '.join(FIELDS)} can be changed")
    return without_surrogates(value) if isinstance(value, str) else value


def _plain(name: str, value: dict[str, Any]) -> Any:
    try:
        plain = to_plain(value)
        dumps(plain).encode()
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from None
    except (UnicodeEncodeError, RecursionError):
        raise UsageError(f"{name} contains a string with a lone surrogate, or is nested too deeply") from None
    return plain


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:80] + "..."
