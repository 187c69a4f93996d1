"""Experiment tracking without a network.

A script uses this package in place of wandb: the public names are wandb's. Each name is loaded when a
script first uses it, so ``import tracker`` takes little time. A name of wandb that tracker does not have
raises AttributeError.
"""

from __future__ import annotations

import sys
from typing import Any

import tracker.ground.launch  # noqa: F401 - it keeps the working folder before a framework changes it
from tracker.ground import public_package
from tracker.version import __version__ as __version__

public_package.package = sys.modules[__name__]
# These names change with the active run, so each access reads them again.
_LIVE = ("run", "config", "summary")


def __getattr__(name: str) -> Any:
    if name in _LIVE:
        _prepare()
        from tracker.sdk import module

        return module.live(name)
    from tracker.ground.lazy_import import load, names_of

    names = names_of(__file__)
    if name == "__all__":
        return sorted({*(each for each in names if each[0] != "_"), *_LIVE, "__version__"})
    if name not in names:
        return _module(name)
    _prepare()
    return load(__name__, __file__, name)


def _module(name: str) -> Any:
    """Return the module that implements ``wandb.NAME``, such as ``wandb.plot``, or raise AttributeError."""
    if not name.startswith("_"):
        from tracker.door import modules

        if modules.is_known(f"wandb.{name}"):
            return modules.show(f"wandb.{name}")
        modules.refuse("wandb", name)
    raise AttributeError(f"module 'tracker' has no attribute {name!r}")


class _Finder:
    """Import finder for wandb's module paths under ``tracker``: ``from tracker.sdk.lib import runid``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module that has another path in tracker, or None."""
        if not name.startswith(f"{__name__}."):
            return None
        from tracker.door.modules import check_not_hidden, find

        found = find(name)
        if found is None:
            check_not_hidden(name)
        return found


sys.meta_path.append(_Finder())


def _prepare() -> None:
    from tracker.ground.fast_import import import_msgspec

    import_msgspec()


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
