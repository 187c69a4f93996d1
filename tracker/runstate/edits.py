"""Users' edits of a run, and the effect of edits of single keys of its config and summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

EditableField = Literal["name", "tags", "notes", "group", "job_type"]
KeyedField = Literal["config", "summary"]
# Fields of a run that users edit as a whole, and fields whose single keys users edit.
EDITABLE: tuple[EditableField, ...] = ("name", "tags", "notes", "group", "job_type")
KEYED: tuple[KeyedField, ...] = ("config", "summary")


class FieldEdit(TypedDict):
    """The newest edit of a field: its value, and the time of the edit in unix seconds."""

    value: Any
    time: float


class _Timed(TypedDict):
    time: float


class KeyEdit(_Timed, total=False):
    """The newest edit of a key: its value or ``removed`` (always true), and the time of the edit."""

    value: Any
    removed: bool


class Edits(TypedDict, total=False):
    """Users' edits of a run in the catalog and in ``run.json``. A field without an edit is missing.

    Attributes:
        config: The edits of keys of the config, by key.
        summary: The edits of keys of the summary, by key.
        archived: The edit that hid the run from lists (true), or showed the run again (false).
    """

    name: FieldEdit
    tags: FieldEdit
    notes: FieldEdit
    group: FieldEdit
    job_type: FieldEdit
    config: dict[str, KeyEdit]
    summary: dict[str, KeyEdit]
    archived: FieldEdit


def is_archived(edits: Edits) -> bool:
    """Return whether the newest edit of a run archived the run."""
    edit = edits.get("archived")
    return edit is not None and bool(edit["value"])


def add_key_edits(
    edits: Edits, field: KeyedField, values: Mapping[str, Any], removed: Iterable[str], time: float
) -> None:
    """Add edits of keys to a run's edits.

    Args:
        edits: The edits so far; changed in place. The dict of a field is replaced, not changed.
        field: ``"config"`` or ``"summary"``.
        values: New values by key.
        removed: Keys to remove.
        time: Time of the edit in unix seconds.
    """
    keys = dict(edits.get(field) or {})
    keys.update({key: {"value": value, "time": time} for key, value in values.items()})
    keys.update({key: {"removed": True, "time": time} for key in removed})
    edits[field] = keys


def apply_key_edits(
    merged: dict[str, Any],
    keys: Mapping[str, KeyEdit] | None,
    writers: Iterable[tuple[float, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Apply edits of keys to the merged values of a run's writers; return the values.

    Args:
        merged: Merged values of all writers; changed in place.
        keys: The edits of this field, by key.
        writers: Start time (unix seconds) and values of each writer; later writers override earlier ones. A
            writer that started after an edit and set the key overrides the edit.
    """
    if not keys:
        return merged
    began = {key: time for time, values in writers for key in values if key in keys}
    for key, edit in keys.items():
        if began.get(key, edit["time"]) > edit["time"]:
            continue
        if edit.get("removed"):
            merged.pop(key, None)
        else:
            merged[key] = edit["value"]
    return merged
