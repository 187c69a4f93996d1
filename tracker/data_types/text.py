"""The JSON text of media files: as wandb writes it, so that equal contents have equal digests."""

from __future__ import annotations

import json
from typing import Any

from tracker import values


def for_run(value: Any) -> bytes:
    """Return JSON for a run's file: without spaces.

    What JSON has no number for is written as ``values.dumps`` does; wandb writes a bare ``NaN``, which
    browsers refuse.
    """
    return values.dumps(values.to_plain(value, _item)).encode("utf-8", "replace")


def for_artifact(value: Any) -> bytes:
    """Return JSON for an artifact's file: with spaces after commas and colons, keys in order, ASCII only."""
    plain = values.to_plain(value, _item)
    try:
        return json.dumps(plain, sort_keys=True, allow_nan=False).encode()
    except ValueError:
        return json.dumps(json.loads(values.dumps(plain)), sort_keys=True, allow_nan=False).encode()


def _item(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
