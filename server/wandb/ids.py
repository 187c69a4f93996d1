"""Opaque ids of objects, which the client sends back: standard Base64 of a kind and the parts of a name."""

from __future__ import annotations

import base64
import binascii
import json

from tracker.errors import UsageError
from tracker.ground.names import RunPath, check_entity, check_project, check_run_id


def make_id(kind: str, *parts: str | int) -> str:
    """Return the id of an object.

    Args:
        kind: Its kind, such as ``Run``.
        parts: What identifies it among those of its kind.
    """
    return base64.b64encode(json.dumps([kind, *parts], separators=(",", ":")).encode()).decode()


def read_id(kind: str, text: object, count: int) -> list[str]:
    """Return the parts of an id.

    Args:
        kind: The kind that is expected.
        text: The id.
        count: The number of parts.

    Raises:
        UsageError: It is not an id of this kind. Or it has an invalid name: anybody can write an id.
    """
    found = parts_of_id(text)
    if found is None or found[0] != kind or len(found) != count + 1:
        raise UsageError(f"{text!r:.200} is not the id of a {kind}")
    parts = found[1:]
    if count > 2:  # those of runs, sweeps and artifacts begin with a project
        check_entity(parts[0])
        check_project(parts[1])
    if kind in ("Run", "File"):
        check_run_id(parts[2])
    return parts


def parts_of_id(text: object) -> list[str] | None:
    """Return the kind and the parts of an id; None if a text is not an id."""
    try:
        found = json.loads(base64.b64decode(str(text), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return [str(part) for part in found] if isinstance(found, list) and found else None


def run_id(place: RunPath) -> str:
    """Return the id of a run."""
    return make_id("Run", *place)


def read_run_id(text: object) -> RunPath:
    """Return the run with an id.

    Raises:
        UsageError: It is not the id of a run.
    """
    entity, project, name = read_id("Run", text, 3)
    return entity, project, name
