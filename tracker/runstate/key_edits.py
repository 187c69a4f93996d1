"""Edits of single keys of a run's config and summary, and how they are laid over what its writers said. Pure.

They stand in ``run.json`` beside the others: ``edits["config"]`` maps a key to
``{"value": ..., "time": ...}``, or to ``{"removed": true, "time": ...}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KEYED = ("config", "summary")


def note_keys(
    edits: Mapping[str, Any], field: str, values: Mapping[str, Any], removed: Iterable[str], time: float
) -> dict[str, Any]:
    """Return a run's edits with some keys of ``field`` set and others removed."""
    keys = dict(edits.get(field) or {})
    keys.update({key: {"value": value, "time": time} for key, value in values.items()})
    keys.update({key: {"removed": True, "time": time} for key in removed})
    return {**edits, field: keys}


def apply_key_edits(
    said: dict[str, Any], keys: Mapping[str, Any] | None, writers: Iterable[tuple[float, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return what a run's writers said with edited keys laid over.

    Args:
        said: Merged values of all writers; changed in place.
        keys: The edits of this field, by key.
        writers: When each writer began (unix seconds), and what it said; later ones override earlier ones.
            One that began after the edit, and says something of the key, has the word again.
    """
    if not keys:
        return said
    began = {key: time for time, values in writers for key in values if key in keys}
    for key, edit in keys.items():
        if began.get(key, edit["time"]) > edit["time"]:
            continue
        if edit.get("removed"):
            said.pop(key, None)
        else:
            said[key] = edit["value"]
    return said
