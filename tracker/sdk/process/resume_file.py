"""The file for ``resume="auto"``. It contains the id of a run in its folder that has not succeeded."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from tracker.ground.settings import Settings


def resume_file(settings: Settings) -> str:
    """Return the path of the file, the same as in wandb (wandb: ``sdk/wandb_settings.py``)."""
    return os.path.join(settings.run_root, "wandb", "wandb-resume.json")


def remembered_run(file: str) -> str | None:
    """Return the id of the run to continue; None if there is no such run."""
    try:
        with open(file) as opened:
            found = json.load(opened)
    except (OSError, ValueError):
        return None
    run_id = found.get("run_id") if isinstance(found, dict) else None
    return run_id if isinstance(run_id, str) else None


def remember_run(file: str, run_id: str) -> None:
    """Write a run's id to the file.

    Raises:
        OSError: The file cannot be written.
    """
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w") as opened:
        json.dump({"run_id": run_id}, opened)


def forget_run(file: str) -> None:
    """Remove the file."""
    with suppress(OSError):
        os.unlink(file)
