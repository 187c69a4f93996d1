"""Values as the client expects them in answers: JSON inside of strings, and times."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

from tracker.ground import values


def json_text(value: Any) -> str:
    """Return JSON text for a field that contains JSON. NaN and infinities are allowed there."""
    return json.dumps(value, separators=(",", ":"))


def read_row(line: bytes) -> dict[str, Any]:
    """Return a row of a JSON export of tracker."""
    row: dict[str, Any] = values.loads(line)
    return row


def read_json(text: str | bytes) -> Any:
    """Return the value of JSON text that the client has sent; it may contain NaN and infinities."""
    return json.loads(text)


def plain(value: Any) -> Any:
    """Return a value in which floats that JSON cannot express are texts, for fields that are JSON objects."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def time_text(seconds: float | None) -> str | None:
    """Return a time in unix seconds as the client reads it, such as ``2026-01-31T12:00:00Z``."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: Any) -> float | None:
    """Return the unix seconds of a time of the client, which is in UTC; None if it is not a time."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
