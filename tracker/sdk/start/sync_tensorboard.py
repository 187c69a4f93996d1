"""``Api.sync_tensorboard``: tfevents files that were written already become a run."""

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
    """Log what the tfevents files below a folder hold as one run, and keep the files; return the run's path.

    Args:
        folder: The folder. A file's path below it is put in front of its tags.
        settings: Where the run is kept.
        run_id: Its id; a new one unless given.
        project: Its project; that of the settings unless given.
        entity: Whose project; that of the settings unless given.

    Raises:
        UsageError: There are no such files.
        Error: The package tensorboard is not installed.
    """
    root = Path(folder).absolute()
    folders = sorted({path.parent for path in root.rglob("*tfevents*") if path.is_file()})
    if not folders:
        raise UsageError(f"there are no tfevents files below {root}")
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
