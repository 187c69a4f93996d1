"""Parsing what names an artifact: ``[[ENTITY/]PROJECT/]NAME[:VERSION|ALIAS|DIGEST]``."""

from __future__ import annotations

from typing import NamedTuple

from tracker.errors import UsageError


class ArtifactReference(NamedTuple):
    """The parts of an artifact's name, with defaults filled in."""

    entity: str
    project: str
    name: str
    reference: str


def parse_reference(text: str, entity: str, project: str) -> ArtifactReference:
    """Return the parts of ``text``.

    Args:
        text: The name.
        entity: Used when it names none.
        project: Likewise.

    Raises:
        UsageError: It is no artifact name.
    """
    path, colon, reference = text.partition(":")
    parts = path.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts) or (colon and not reference):
        raise UsageError(f"{text!r} names no artifact: write [[entity/]project/]name[:version or alias]")
    name = parts.pop()
    if parts:
        project = parts.pop()
    if parts:
        entity = parts.pop()
    return ArtifactReference(entity, project, name, reference or "latest")
