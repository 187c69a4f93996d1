"""The folder where the user started the program, and the command that starts a process of tracker itself."""

from __future__ import annotations

import os
import sys

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
_START = os.path.join(_ROOT, "airgap_tracker_start.py")


def own_command(module: str, *arguments: str) -> list[str]:
    """Return a command that calls a module's ``main``, independently of PYTHONPATH and the working folder.

    Args:
        module: Name of the module below ``tracker``, such as ``"cli.main"``.
        arguments: Arguments of ``main``.
    """
    return [sys.executable, _START, f"tracker.{module}", *arguments]


def launch_folder() -> str:
    """Return the folder where the user started the program; in an interactive session, the working folder.

    The store stays in this folder even if a framework changes the working folder.
    """
    return os.getcwd() if hasattr(sys, "ps1") else _launched_in


def _find_launch_folder() -> str:
    """Return the oldest known working folder of this program, without any import."""
    if folder := os.environ.get("TUNE_ORIG_WORKING_DIR"):  # Ray sets it, then changes to a trial's folder
        return folder
    hydra = sys.modules.get("hydra.core.hydra_config")
    if hydra is not None and hydra.HydraConfig.initialized():
        return str(hydra.HydraConfig.get().runtime.cwd)
    # The working folder at the import of multiprocessing; in a spawned process, that of the parent.
    original: str | None = getattr(sys.modules.get("multiprocessing.process"), "ORIGINAL_DIR", None)
    try:
        return original or os.getcwd()
    except FileNotFoundError:  # the folder was removed: `init` reports it, `import tracker` must not fail
        return "."


# Set when tracker is imported. Frameworks change the working folder later, when they start a job.
_launched_in = _find_launch_folder()
