"""The folder where the program was launched, and the command that launches a process of tracker's own."""

from __future__ import annotations

import os
import sys

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
_START = os.path.join(_ROOT, "airgap_tracker_start.py")


def own_command(module: str, *arguments: str) -> list[str]:
    """Return the command that calls a module's ``main``, whatever PYTHONPATH and the working folder have.

    Args:
        module: Name of the module below ``tracker``, such as ``"cli.main"``.
        arguments: What ``main`` gets.
    """
    return [sys.executable, _START, f"tracker.{module}", *arguments]


def launch_folder() -> str:
    """Return the folder where the program was launched; in an interactive session, the current one.

    A store does not move with the working folder of a framework.
    """
    return os.getcwd() if hasattr(sys, "ps1") else _launched_in


def _find_launch_folder() -> str:
    """Return the oldest working folder of this program that is known. Imports nothing."""
    if folder := os.environ.get("TUNE_ORIG_WORKING_DIR"):  # Ray, before it changed to the folder of a trial
        return folder
    hydra = sys.modules.get("hydra.core.hydra_config")
    if hydra is not None and hydra.HydraConfig.initialized():
        return str(hydra.HydraConfig.get().runtime.cwd)
    # The folder when multiprocessing was imported: in a process that it spawned, by the parent.
    original: str | None = getattr(sys.modules.get("multiprocessing.process"), "ORIGINAL_DIR", None)
    try:
        return original or os.getcwd()
    except FileNotFoundError:  # the folder was removed: `init` says so, and not the import
        return "."


# Called when tracker is imported: frameworks change the folder later, when they start a job.
_launched_in = _find_launch_folder()
