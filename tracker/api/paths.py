"""Parsing of the paths that ``Api`` accepts: paths of runs, projects and sweeps, and addresses of pages."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tracker.errors import ApiUsageError


class ParsedPath(NamedTuple):
    """The entity, project and id of a run or a sweep."""

    entity: str
    project: str
    id: str


def parse_path(path: str, entity: str, project: str) -> ParsedPath:
    """Return the entity, project and id of a path in one of wandb's forms (wandb: ``apis/public/api.py``).

    Args:
        path: ``id``, ``project/id``, ``project:id``, ``entity/project/id``, ``entity/project:id``,
            ``entity/project/runs/id`` (or ``sweeps``), or the address of the page of a run or sweep.
        entity: The entity of a path that does not name an entity.
        project: The project of a path that does not name a project.

    Raises:
        ApiUsageError: The path has another form. The error is also a CommError and a ValueError.
    """
    parts = _parts(path.replace("/runs/", "/").replace("/sweeps/", "/"))
    if len(parts) in (1, 2) and ":" in parts[-1]:
        parts = [*parts[:-1], *parts[-1].split(":", 1)]
    found = [part.strip() for part in parts]
    if not 1 <= len(found) <= 3 or not all(found):
        raise ApiUsageError(f"Invalid path: {path!r}. Use [[entity/]project/]id.")
    defaults = [entity, project]
    return ParsedPath(*defaults[: 3 - len(found)], *found)


def parse_project(path: str | None, entity: str, project: str) -> tuple[str, str]:
    """Return the entity and project of a path.

    Args:
        path: ``[entity/]project``, the address of a page, or None for the default project.
        entity: The entity of a path that does not name an entity.
        project: The default project.

    Raises:
        ApiUsageError: The path does not name a project.
    """
    if not path:
        return entity, project
    parts = _parts(path)
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise ApiUsageError(f"Invalid project path: {path!r}. Use [entity/]project.")
    return (entity, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _parts(path: str) -> list[str]:
    if "://" not in path:
        return path.strip("/ ").split("/")
    address = urlsplit(path)
    parts = [unquote(part) for part in address.path.strip("/ ").split("/")]
    if len(parts) > 2 and parts[-1] in ("workspace", "overview", "files", "logs"):  # pages of wandb
        parts.pop()
    run = parse_qs(address.query).get("run", [])
    return [*(parts[-2:] if run else parts), *run]  # behind a proxy, the address can have a prefix
