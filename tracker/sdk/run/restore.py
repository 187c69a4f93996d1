"""The function behind ``Run.restore`` and ``tracker.restore``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from tracker.errors import NotFoundError

if TYPE_CHECKING:
    from tracker.ground.settings import Settings


def restore_file(settings: Settings, name: str, run_path: str, replace: bool, root: str) -> TextIO | None:
    """Return an open file of a run, or None if the run has no such file. See ``Run.restore``."""
    path = Path(root, name)
    if path.exists() and not replace:
        return path.open()
    from tracker.api.api import Api

    run = Api(
        {
            "store": settings.store,
            "base_url": settings.base_url,
            "api_key": settings.api_key,
            "mode": settings.mode,
            "entity": settings.entity,
            "project": settings.project,
        }
    ).run(run_path)
    try:
        file = run.file(name)
        if not os.path.normpath(path).startswith(os.path.normpath(root) + os.sep):
            raise NotFoundError(f"The path {name!r} leads out of {root}.")
        return cast(TextIO, file.download(root, replace=True))
    except NotFoundError:
        return None
