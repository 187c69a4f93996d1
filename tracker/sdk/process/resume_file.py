"""``resume="auto"``: a file in the working folder says which run did not end well, and is gone on with."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from tracker.ground.settings import Settings


def resume_file(settings: Settings) -> str:
    """Return where the id is remembered; where wandb does."""
    return os.path.join(settings.run_root, "wandb", "wandb-resume.json")


def remembered_run(file: str) -> str | None:
    """Return the id of the run that is to be gone on with, if any."""
    try:
        with open(file) as opened:
            found = json.load(opened)
    except (OSError, ValueError):
        return None
    run_id = found.get("run_id") if isinstance(found, dict) else None
    return run_id if isinstance(run_id, str) else None


def remember_run(file: str, run_id: str) -> None:
    """Remember a run's id.

    Raises:
        OSError: The folder cannot be written.
    """
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w") as opened:
        json.dump({"run_id": run_id}, opened)


def forget_run(file: str) -> None:
    """Remember no run any more."""
    with suppress(OSError):
        os.unlink(file)
