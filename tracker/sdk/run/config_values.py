"""Conversion of config values to plain values. Numbers stay exact."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from typing import Any

from tracker.ground.values import LONGEST_LIST, PLAIN, check_depth, to_plain


def config_value(value: Any, depth: int = 0) -> Any:
    """Return the plain form of a config value.

    The rules are those of wandb (wandb: ``util.py``, ``json_friendly_val``). Dataclasses become dicts. Enum
    members become their names. Callables become their dotted names. Arrays of more than 32 elements and
    objects of unknown classes become their ``str()``.

    Raises:
        TypeError: The value has no plain form (a builtin that JSON lacks, such as ``object()``), or it is
            nested too deeply.
    """
    if type(value) in PLAIN:
        return to_plain(value)
    check_depth(depth)
    if type(value).__module__.startswith("omegaconf"):
        value = sys.modules["omegaconf"].OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping):
        return {str(key): config_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, slice):
        return {"slice_start": value.start, "slice_step": value.step, "slice_stop": value.stop}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (list, tuple, range)):
        return [config_value(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return [config_value(item, depth + 1) for item in sorted(value, key=repr)]
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import asdict  # slow to import; loaded already if there is a dataclass

        return config_value(asdict(value), depth)
    if not isinstance(value, type):
        if hasattr(value, "__array__") or hasattr(value, "detach"):
            return _array(value)
        if hasattr(value, "isoformat"):
            return value.isoformat()
    if callable(value):
        name = getattr(value, "__qualname__", None)
        return f"{value.__module__}.{name}" if name and hasattr(value, "__module__") else str(value)
    if type(value).__module__ == "builtins":
        return str(value) if isinstance(value, complex) else to_plain(value)
    try:
        return to_plain(value)
    except TypeError:
        return str(value)


def _array(value: Any) -> Any:
    size = 1
    for length in getattr(value, "shape", ()):
        size *= length
    if size == 1:
        return to_plain(value.item())
    if size <= LONGEST_LIST:
        return config_value(value.tolist())
    return str(value)
