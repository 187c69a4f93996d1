"""Modules under wandb's paths, made from ``names``: through either door the objects are tracker's own.

A finder lets ``import wandb.sdk.lib.runid`` (or ``tracker.sdk.lib.runid``) find them.
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
    """A module that shows names of tracker's; each is looked up when first asked for."""

    def __getattr__(self, name: str) -> Any:
        value = _find(self.__name__, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_shown(self.__name__)})


def is_known(name: str) -> bool:
    """Return whether there is a module at a path of wandb's, such as ``"wandb.sdk.lib"``."""
    if name in NAMES:
        return True
    home = _home(name)
    return home is not None and _exists(home)


def load(name: str) -> ModuleType:
    """Return the module at a path of wandb's.

    Raises:
        ModuleNotFoundError: There is none.
    """
    if name in NAMES:
        if name not in _made:
            module = _made[name] = WandbModule(name, f"{name}, as tracker has it.")
            if _is_package(name):
                module.__path__ = []
        return _made[name]
    home = _home(name)
    if home is None:
        raise ModuleNotFoundError(f"tracker has no module {name!r}, which wandb may have", name=name)
    return import_module(home)


class Finder:
    """For ``sys.meta_path``: finds wandb's module paths."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a path below ``wandb``, or None when it is none that is here."""
        return find(fullname) if fullname.startswith("wandb.") else None


def find(fullname: str) -> ModuleSpec | None:
    """Return the spec of one of wandb's paths, below ``wandb`` or ``tracker``; None when it is not here."""
    name = f"wandb.{fullname.partition('.')[2]}"
    if name in MISSING:
        return ModuleSpec(fullname, cast(Any, _Refusal(name)))
    if name not in NAMES and (fullname == _home(name) or not is_known(name)):
        return None
    return ModuleSpec(fullname, cast(Any, _Loader(name)), is_package=_is_package(name))


def check_not_hidden(fullname: str) -> None:
    """Raise for a module below ``tracker`` that is not here and that a folder of the user's has.

    Raises:
        ModuleNotFoundError: Says which folder is hidden, by which package, and what helps.
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
    """Puts the module itself into ``sys.modules``, so that it is one object under all its names.

    As ``importlib.abc.Loader`` asks for, which takes longer to import than all else that ``init`` needs.
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
            f"tracker has no {name}: that part of wandb is not supported (docs/doors.md)", name=name
        )


def show(name: str) -> ModuleType:
    """Return the module at a path of wandb's, as an attribute of another one: ``hasattr`` may ask for it.

    Raises:
        AttributeError: It needs a package that is not installed; says which.
    """
    try:
        return load(name)
    except ImportError as error:
        raise AttributeError(f"{name} cannot be had: {error}") from error


def refuse(module: str, name: str) -> NoReturn:
    """Raise the error for a name of wandb's that is not here.

    Raises:
        AttributeError: Always.
    """
    what = "that part of wandb is not supported" if f"{module}.{name}" in MISSING else "tracker lacks it"
    raise AttributeError(f"module {module!r} has no attribute {name!r}: {what} (docs/doors.md)", name=name)


def attribute(module: str, name: str) -> Any:
    """Return what a module of wandb's shows under a name, a module below it included.

    Raises:
        AttributeError: Nothing of tracker's stands behind it.
    """
    return getattr(load(module), name)


def _shown(module: str) -> list[str]:
    """Return the names that a module shows, for ``dir`` and ``import *``."""
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
    """Return the name that a module of ``names`` has in this process: see ``airgap_tracker``."""
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
    """Return the module of tracker that a path of wandb's is another name of."""
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
