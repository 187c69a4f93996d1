"""Users' edits of single keys of a run's config and summary. Pure.

``run.json`` contains them with the other edits: ``edits["config"]`` maps a key to
``{"value": ..., "time": ...}``, or to ``{"removed": true, "time": ...}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KEYED = ("config", "summary")


def add_key_edits(
    edits: Mapping[str, Any], field: str, values: Mapping[str, Any], removed: Iterable[str], time: float
) -> dict[str, Any]:
    """Return a run's edits with additional edits of keys.

    Args:
        edits: The edits so far.
        field: ``"config"`` or ``"summary"``.
        values: New values by key.
        removed: Keys to remove.
        time: Time of the edit in unix seconds.
    """
    keys = dict(edits.get(field) or {})
    keys.update({key: {"value": value, "time": time} for key, value in values.items()})
    keys.update({key: {"removed": True, "time": time} for key in removed})
    return {**edits, field: keys}


def apply_key_edits(
    merged: dict[str, Any], keys: Mapping[str, Any] | None, writers: Iterable[tuple[float, Mapping[str, Any]]]
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
