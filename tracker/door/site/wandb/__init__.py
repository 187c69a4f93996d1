"""The package ``wandb`` that ``tracker run`` and ``tracker env`` put on the path. It provides tracker."""

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import
from types import ModuleType as _ModuleType
from typing import Any

try:
    # Not `tracker`: the program may have a module of that name.
    _tracker: Any = _import("airgap_tracker")
    _modules: Any = _import("airgap_tracker.door.modules")
    _names: Any = _import("airgap_tracker.door.names")
except ImportError as error:
    raise ImportError(
        f"`tracker run` or `tracker env` replaced wandb by tracker, but {_sys.executable} has no tracker, or "
        f"an older one. Install tracker for this Python too. ({error})"
    ) from error

__version__ = _names.VERSION
__all__ = [name for name in _tracker.__all__ if name != "__version__"]

# First in the list: otherwise the files of `wandb.integration` are loaded a second time under that name.
_sys.meta_path.insert(0, _modules.Finder())


def __getattr__(name: str) -> Any:
    if _modules.is_known(f"wandb.{name}"):
        return _modules.show(f"wandb.{name}")
    try:
        value = getattr(_tracker, name)
    except AttributeError:
        value = _tracker
    if isinstance(value, _ModuleType):  # a module of tracker that is not part of wandb's interface
        raise AttributeError(
            f"module 'wandb' has no attribute {name!r}: tracker, which replaces wandb here, lacks it"
        )
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
