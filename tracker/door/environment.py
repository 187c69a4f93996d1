"""Environment variables that make ``import wandb`` import tracker: two folders at the front of paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

DOOR = Path(__file__).parent
SITE, BIN = str(DOOR / "site"), str(DOOR / "bin")


def redirect_wandb(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set so that ``import wandb`` imports tracker."""
    return {
        "PYTHONPATH": _in_front(SITE, variables.get("PYTHONPATH", "")),
        "PATH": _in_front(BIN, variables.get("PATH", os.defpath)),
        "TRACKER_PYTHON": sys.executable,
    }


def undo_redirect(variables: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that undo ``redirect_wandb``; None means that the variable is removed."""
    return {
        "PYTHONPATH": _without(SITE, variables.get("PYTHONPATH", "")) or None,
        "PATH": _without(BIN, variables.get("PATH", os.defpath)),
        "TRACKER_PYTHON": None,
    }


def _in_front(folder: str, path: str) -> str:
    rest = _without(folder, path)
    return f"{folder}{os.pathsep}{rest}" if rest else folder


def _without(folder: str, path: str) -> str:
    return os.pathsep.join(each for each in path.split(os.pathsep) if each != folder)
