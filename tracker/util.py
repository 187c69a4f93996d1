"""``wandb.util``: the small helpers that scripts and libraries take from there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tracker.ground import names


def generate_id(length: int = 8) -> str:
    """Return a random id of ``length`` characters of a-z and 0-9, such as a run's."""
    return names.new_run_id(length)


def make_artifact_name_safe(name: str) -> str:
    """Return a name that an artifact may have: other characters become ``_``, long ones lose their middle."""
    return names.safe_artifact_name(name)


def to_forward_slash_path(path: str) -> str:
    """Return a path with ``/`` between its parts: on the systems that tracker runs on, the path itself."""
    return path


def json_dumps_safer(obj: Any, **kwargs: Any) -> str:
    """Return JSON of a value that may hold arrays, tensors, sets, dates and other objects (as their text).

    Args:
        obj: The value.
        **kwargs: Of ``json.dumps``.
    """
    import json

    return json.dumps(obj, default=_friendly, **kwargs)


def _friendly(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


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
