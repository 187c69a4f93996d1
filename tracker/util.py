"""``wandb.util``: small helpers that scripts and libraries import."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tracker.ground import names


def generate_id(length: int = 8) -> str:
    """Return a random id, such as a run's: ``length`` characters of a-z and 0-9."""
    return names.new_run_id(length)


def make_artifact_name_safe(name: str) -> str:
    """Return a valid artifact name: invalid characters become ``_``, the middle of a long name ``..``."""
    return names.safe_artifact_name(name)


def to_forward_slash_path(path: str) -> str:
    """Return the path unchanged: the systems that tracker supports separate parts with ``/``."""
    return path


def json_dumps_safer(obj: Any, **kwargs: Any) -> str:
    """Return JSON for a value that contains arrays, tensors, sets or dates; other objects become their text.

    Args:
        obj: The value.
        **kwargs: Arguments of ``json.dumps``.
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
    """Import a module and return it; return None if it is missing and ``required`` is not given.

    Args:
        name: The module's dotted name.
        required: Message of the error if the module is missing.
        lazy: Has no effect: the module is always imported immediately.

    Raises:
        Error: The module is missing and ``required`` is given.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if required:
            from tracker.errors import Error

            raise Error(str(required)) from error
        return None
