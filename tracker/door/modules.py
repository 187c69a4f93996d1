"""Modules under wandb's paths, created from the lists in ``names``. Their objects are those of tracker.

A finder makes them importable under ``wandb`` and ``tracker``: ``import wandb.sdk.lib.runid``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn, cast

from tracker.door.names import ALIASES, MISSING, NAMES, TREES

_made: dict[str, ModuleType] = {}


class WandbModule(ModuleType):
    """A module whose attributes are objects of tracker. Each is looked up at its first use."""

    def __getattr__(self, name: str) -> Any:
        value = _find(self.__name__, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_shown(self.__name__)})


def is_known(name: str) -> bool:
    """Return whether a wandb path, such as ``"wandb.sdk.lib"``, has a module."""
    if name in NAMES:
        return True
    home = _home(name)
    return home is not None and _exists(home)


def load(name: str) -> ModuleType:
    """Return the module at a wandb path.

    Raises:
        ModuleNotFoundError: The path has no module.
    """
    if name in NAMES:
        if name not in _made:
            module = _made[name] = WandbModule(name, f"tracker's objects under the path {name}.")
            if _is_package(name):
                module.__path__ = []
        return _made[name]
    home = _home(name)
    if home is None:
        raise ModuleNotFoundError(f"tracker has no module {name!r}", name=name)
    return import_module(home)


class Finder:
    """A finder for wandb's module paths, to be added to ``sys.meta_path``."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module below ``wandb``; None if tracker does not have it.

        Args:
            fullname: Full name of the module.
            path: Ignored; part of the finder protocol.
            target: Ignored; part of the finder protocol.
        """
        return find(fullname) if fullname.startswith("wandb.") else None


def find(fullname: str) -> ModuleSpec | None:
    """Return the spec of a wandb module below ``wandb`` or ``tracker``; None if tracker does not have it."""
    name = f"wandb.{fullname.partition('.')[2]}"
    if name in MISSING:
        return ModuleSpec(fullname, cast(Any, _Refusal(name)))
    if name not in NAMES and (fullname == _home(name) or not is_known(name)):
        return None
    return ModuleSpec(fullname, cast(Any, _Loader(name)), is_package=_is_package(name))


def check_not_hidden(fullname: str) -> None:
    """Raise an error if the package hides a folder ``tracker`` that has the missing module ``fullname``.

    Raises:
        ModuleNotFoundError: Such a folder has the module. The message names the folder and a solution.
    """
    own = os.path.dirname(os.path.dirname(__file__))
    for folder in sys.path:
        place = os.path.abspath(os.path.join(folder, *fullname.split(".")))
        if os.path.isdir(place) or os.path.isfile(f"{place}.py"):
            parent = os.path.abspath(folder)
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: tracker ({own}) hides {parent}/tracker. Add __init__.py to "
                f"that folder and {parent} to PYTHONPATH, and use `import wandb` with `tracker run`.",
                name=fullname,
            )


class _Loader:
    """A loader that puts the real module into ``sys.modules``, so that all its names give one object.

    It follows the protocol of ``importlib.abc.Loader`` without the base class, because that import takes
    longer than all other imports of ``init`` together.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        real = load(self._name)
        if self._name in NAMES and getattr(real, "__spec__", None) is None:
            real.__spec__, real.__loader__ = module.__spec__, module.__loader__
        sys.modules[module.__name__] = real


class _Refusal(_Loader):
    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        raise ModuleNotFoundError(
            f"tracker has no module {name}: that part of wandb is not supported (docs/wandb-scripts.md)",
            name=name,
        )


def show(name: str) -> ModuleType:
    """Return the module at a wandb path as an attribute of another module. ``hasattr`` works with it.

    Raises:
        AttributeError: The module needs a package that is not installed. The message names it.
    """
    try:
        return load(name)
    except ImportError as error:
        raise AttributeError(f"Cannot import {name}: {error}") from error


def refuse(module: str, name: str) -> NoReturn:
    """Raise the error for a wandb name that tracker does not have.

    Raises:
        AttributeError: Always.
    """
    what = "that part of wandb is not supported" if f"{module}.{name}" in MISSING else "tracker lacks it"
    raise AttributeError(
        f"module {module!r} has no attribute {name!r}: {what} (docs/wandb-scripts.md)", name=name
    )


def attribute(module: str, name: str) -> Any:
    """Return an attribute or a submodule of a wandb module.

    Raises:
        AttributeError: tracker does not have it.
    """
    return getattr(load(module), name)


def _shown(module: str) -> list[str]:
    """Return the public names of a module, for ``dir`` and ``import *``."""
    found = []
    for word in NAMES[module].split():
        whole = [each for each in dir(_import(word[1:])) if each[0] != "_"] if word[0] == "*" else []
        found += whole or [word.partition("=")[0]]
    return found


def _find(module: str, name: str) -> Any:
    if name == "__all__":
        return [each for each in _shown(module) if each[0] not in "*_"]
    if not (name.startswith("__") and name.endswith("__")):
        if is_known(f"{module}.{name}"):
            return show(f"{module}.{name}")
        for word in NAMES[module].split():
            shown, _, home = word.partition("=")
            if shown == name:
                return _resolve(home or f"tracker:{name}")
            if word.startswith("*") and hasattr(found := _import(word[1:]), name):
                return getattr(found, name)
    refuse(module, name)


def _own_name(module: str) -> str:
    """Return the name of a module of ``names`` in this process, which may use the name ``airgap_tracker``."""
    return module.replace("tracker", __name__.partition(".")[0], 1)


def _import(module: str) -> ModuleType:
    return import_module(_own_name(module))


def _resolve(home: str) -> Any:
    module, _, name = home.partition(":")
    try:
        return getattr(_import(module), name)
    except (ImportError, AttributeError) as error:
        raise AttributeError(f"tracker lacks this part of wandb: {error}") from error


def _home(name: str) -> str | None:
    """Return the tracker module for which a wandb path is an alias; None if it is not an alias."""
    if name in ALIASES:
        return _own_name(ALIASES[name])
    for tree, home in TREES.items():
        if name.startswith(tree):
            return _own_name(home) + name[len(tree) :]
    return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _is_package(name: str) -> bool:
    return any(other.startswith(f"{name}.") for other in NAMES)
