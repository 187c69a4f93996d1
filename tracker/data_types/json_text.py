"""The JSON text of media files: as wandb writes it, so that equal contents have equal digests."""

from __future__ import annotations

import json
from typing import Any

from tracker.ground import values


def for_run(value: Any) -> bytes:
    """Return JSON of a plain value for a run's file: without spaces.

    What JSON has no number for is written as ``values.dumps`` does; wandb writes a bare ``NaN``, which
    browsers refuse.
    """
    return values.dumps(value).encode("utf-8", "replace")


def for_artifact(value: Any) -> bytes:
    """Return JSON of a plain value for an artifact's file: as Python writes it, keys in order, ASCII only.

    NaN and the infinities are bare ``NaN`` and ``Infinity``: wandb writes the infinities so, and reads both.
    """
    return json.dumps(value, sort_keys=True).encode()
