"""What paths of ``Api`` mean: runs, projects and sweeps by path or by the address of their page."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tracker.errors import ApiUsageError


class ParsedPath(NamedTuple):
    """Entity, project and id (of a run or a sweep)."""

    entity: str
    project: str
    id: str


def parse_path(path: str, entity: str, project: str) -> ParsedPath:
    """Return what a path names, as wandb reads it.

    Args:
        path: ``id``, ``project/id``, ``project:id``, ``entity/project/id``, ``entity/project:id``,
            ``entity/project/runs/id`` (or ``sweeps``), or the address of a page that shows it.
        entity: Used where it names none.
        project: Likewise.

    Raises:
        ApiUsageError: It names nothing; wandb raises CommError.
    """
    parts = _parts(path.replace("/runs/", "/").replace("/sweeps/", "/"))
    if len(parts) in (1, 2) and ":" in parts[-1]:
        parts = [*parts[:-1], *parts[-1].split(":", 1)]
    found = [part.strip() for part in parts]
    if not 1 <= len(found) <= 3 or not all(found):
        raise ApiUsageError(f"Invalid path: {path!r}; write [[entity/]project/]id")
    defaults = [entity, project]
    return ParsedPath(*defaults[: 3 - len(found)], *found)


def parse_project(path: str | None, entity: str, project: str) -> tuple[str, str]:
    """Return entity and project of ``[entity/]project``, or of a page's address.

    Raises:
        ApiUsageError: It names no project.
    """
    if not path:
        return entity, project
    parts = _parts(path)
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise ApiUsageError(f"Invalid path: {path!r} names no project: write [entity/]project")
    return (entity, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _parts(path: str) -> list[str]:
    if "://" not in path:
        return path.strip("/ ").split("/")
    address = urlsplit(path)
    parts = [unquote(part) for part in address.path.strip("/ ").split("/")]
    if len(parts) > 2 and parts[-1] in ("workspace", "overview", "files", "logs"):  # wandb's pages
        parts.pop()
    run = parse_qs(address.query).get("run", [])
    return [*(parts[-2:] if run else parts), *run]  # a server may stand behind a prefix
