"""Parsing of artifact names: ``[[ENTITY/]PROJECT/]NAME[:VERSION|ALIAS|DIGEST]``."""

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
    """Return the parts of an artifact name.

    Args:
        text: The name.
        entity: The entity of a name without an entity.
        project: The project of a name without a project.

    Raises:
        UsageError: The name is invalid.
    """
    path, colon, reference = text.partition(":")
    parts = path.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts) or (colon and not reference):
        raise UsageError(f"Invalid artifact name {text!r}. Use [[entity/]project/]name[:version or alias].")
    name = parts.pop()
    if parts:
        project = parts.pop()
    if parts:
        entity = parts.pop()
    return ArtifactReference(entity, project, name, reference or "latest")
