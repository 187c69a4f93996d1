"""Values as the client expects them in answers: JSON inside of strings, and times."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

import msgspec

from tracker.errors import UsageError
from tracker.ground import values
from tracker.ground.parsed_types import Time

_decode = msgspec.json.Decoder().decode
# The largest integer that all readers of JSON keep exactly.
LARGEST = 2**53
_TOO_DEEP = f"A value is nested more than {values.DEEPEST} levels deep."


def json_text(value: Any) -> str:
    """Return JSON text for a field that contains JSON. NaN and infinities are allowed there."""
    return json.dumps(value, separators=(",", ":"))


def read_row(line: bytes) -> dict[str, Any]:
    """Return a row of a JSON export of tracker."""
    row: dict[str, Any] = values.loads(line)
    return row


def read_json(text: Any) -> Any:
    """Return the value of JSON text or bytes that the client has sent; it may contain NaN and infinities.

    Raises:
        UsageError: It is not JSON, or nested so deeply that a reader of the store could not read it.
    """
    if not isinstance(text, str | bytes):
        raise UsageError(f"{text!r:.60} is not JSON text.")
    try:
        try:
            found = _decode(text)
        except (msgspec.DecodeError, UnicodeError):
            found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{text[:60]!r} is not JSON: {error}") from None
    except RecursionError:
        raise UsageError(_TOO_DEEP) from None
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    inside = [value]
    for _ in range(values.DEEPEST + 1):
        containers = [each for each in inside if isinstance(each, dict | list)]
        inside = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
        if not inside:
            return
    raise UsageError(_TOO_DEEP)


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


def read_integer(given: Any, name: str, least: int = -LARGEST) -> int:
    """Return an integer that the client has sent; 0 if it has sent none.

    Args:
        given: What it has sent.
        name: What it is, for the error message.
        least: The smallest one that is valid.

    Raises:
        UsageError: It is not an integer, or outside of the valid range.
    """
    try:
        found = int(given or 0)
    except (TypeError, ValueError, OverflowError):
        found = LARGEST + 1
    if not least <= found <= LARGEST:
        raise UsageError(f"{name} is {given!r:.60}, not an integer from {least} to {LARGEST}.")
    return found


def read_seconds(given: Any) -> float | None:
    """Return unix seconds that the client has sent; None if a record cannot have this time."""
    if not isinstance(given, int | float):
        return None
    try:
        return msgspec.convert(float(given), Time)
    except (msgspec.ValidationError, OverflowError):
        return None
