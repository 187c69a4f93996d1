"""``wandb.util``: the small helpers that scripts and libraries take from there."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from tracker import names


def generate_id(length: int = 8) -> str:
    """Return a random id of ``length`` characters of a-z and 0-9, such as a run's."""
    return names.new_run_id(length)


def make_artifact_name_safe(name: str) -> str:
    """Return a name that an artifact may have: other characters become ``_``, long ones lose their middle."""
    safe = re.sub(r"[^a-zA-Z0-9_\-.]", "_", name)
    return safe if len(safe) <= 128 else f"{safe[:63]}..{safe[-63:]}"


def get_module(name: str, required: str | bool | None = None, lazy: bool = True) -> Any:
    """Import a module; None when it is missing and not ``required``.

    Args:
        name: Its dotted name.
        required: What to say when it is missing.
        lazy: Accepted for compatibility: it is imported at once.

    Raises:
        Error: It is missing and ``required`` is given.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if required:
            from tracker.errors import Error

            raise Error(str(required)) from error
        return None
