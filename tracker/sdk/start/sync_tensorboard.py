"""``Api.sync_tensorboard``: logs existing tfevents files as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tracker.errors import UsageError
from tracker.ground.settings import Settings
from tracker.sdk.start.init import init
from tracker.sdk.tensorboard.follow import EventFollower


def sync_folder(
    folder: str | Path,
    settings: Settings,
    run_id: str | None = None,
    project: str | None = None,
    entity: str | None = None,
) -> str:
    """Log the content of the tfevents files below a folder as one run, and return the run's path.

    The files are not changed.

    Args:
        folder: The folder. Each tag is prefixed with the path of its file below this folder.
        settings: Settings of the run.
        run_id: Id of the run. Default: a new id.
        project: Project of the run. Default: the project of the settings.
        entity: Owner of the project. Default: the entity of the settings.

    Raises:
        UsageError: There are no tfevents files below the folder.
        Error: The package tensorboard is not installed.
    """
    root = Path(folder).absolute()
    folders = sorted({path.parent for path in root.rglob("*tfevents*") if path.is_file()})
    if not folders:
        raise UsageError(f"There are no tfevents files below {root}.")
    place: Any = msgspec.structs.replace(settings, run_id=None, name=None, silent=True)
    run = init(id=run_id, project=project, entity=entity, reinit="create_new", settings=place)
    try:
        follower = EventFollower(run)
        for each in folders:
            follower.add(each, root=root, old=True)
        follower.close()
    except BaseException as error:
        run.fail(str(error))
        raise
    run.finish()
    return run.path
