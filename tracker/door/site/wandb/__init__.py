"""``import wandb`` where ``tracker run`` or ``tracker env`` put this folder on the path: tracker instead."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

try:
    import tracker
    from tracker.door import modules, names
except ImportError as error:
    raise ImportError(
        f"`tracker run` or `tracker env` put tracker in wandb's place, but {sys.executable} has no tracker: "
        f"install it there too ({error})"
    ) from error

__version__ = names.VERSION
__all__ = [name for name in tracker.__all__ if name != "__version__"]

sys.meta_path.append(modules.Finder())


def __getattr__(name: str) -> Any:
    if modules.is_known(f"wandb.{name}"):
        return modules.load(f"wandb.{name}")
    try:
        value = getattr(tracker, name)
    except AttributeError:
        value = tracker
    if isinstance(value, ModuleType):  # a module of tracker that has nothing to do with wandb
        raise AttributeError(
            f"module 'wandb' has no attribute {name!r}: tracker, which stands in for wandb, lacks it"
        )
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
