"""The package ``tracker`` under a name that no repository has, for ``import wandb`` behind the second door.

A process has one copy of the package:

* ``import tracker`` finds it: ``airgap_tracker.MODULE`` is another name of ``tracker.MODULE``.
* ``import tracker`` finds a module of the user's first: the package is loaded as ``airgap_tracker``, with its
  own imports changed to that name.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

NAME = "airgap_tracker"
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tracker")
FILE = os.path.join(FOLDER, "__init__.py")


class _Alias:
    """Finds ``airgap_tracker.MODULE`` as ``tracker.MODULE``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.startswith(f"{NAME}.") else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(module.__name__.replace(NAME, "tracker", 1))


class _Beside:
    """Finds the package's modules as ``airgap_tracker.MODULE``, and the user's as ``tracker``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "tracker":
            others = [folder for folder in sys.path if not _is_own(PathFinder.find_spec(name, [folder]))]
            found = PathFinder.find_spec(name, others)
            if found is None:  # None for an answer would load a second copy of the package
                raise ModuleNotFoundError("No module named 'tracker', except the one behind wandb", name=name)
            return found
        if not name.startswith(f"{NAME}."):
            return None
        found = PathFinder.find_spec(name, path)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _RenamingLoader(name, found.loader.path)
        return found


class _RenamingLoader(SourceFileLoader):
    """Loads a module with ``tracker`` changed to ``airgap_tracker`` in what it imports."""

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)  # from the same __pycache__: files are compiled once for both names
        return None if code is None else _renamed(code)


def _renamed(code: CodeType) -> CodeType:
    """Return code with the package's name changed where the code imports or loads it; not in strings."""
    names = (NAME + name[7:] if name.partition(".")[0] == "tracker" else name for name in code.co_names)
    consts = (_renamed(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_names=tuple(names), co_consts=tuple(consts))


def _is_own(spec: ModuleSpec | None) -> bool:
    """Return whether a spec is that of this package, in this version or another one."""
    origin = None if spec is None else spec.origin
    return origin is not None and os.path.isdir(os.path.join(os.path.dirname(origin), "door", "site"))


def _another_comes_first() -> bool:
    """Return whether ``import tracker`` of this process means a module of the user's."""
    if (loaded := sys.modules.get("tracker")) is not None:
        return not _is_own(getattr(loaded, "__spec__", None))
    for folder in sys.path:
        spec = PathFinder.find_spec("tracker", [folder])
        if spec is None:
            continue
        if spec.origin is not None:
            return not _is_own(spec)
        # A folder without __init__.py. Python prefers a later package that has one, but the user does not.
        places = spec.submodule_search_locations or ()
        if any(name.endswith(".py") for place in places for name in os.listdir(place)):
            return True
    return False


def _load() -> None:
    """Put the package into ``sys.modules`` in place of this module."""
    if not _another_comes_first():
        sys.meta_path.insert(0, _Alias())
        sys.modules[NAME] = import_module("tracker")
        return
    sys.meta_path.insert(0, _Beside())
    loader = _RenamingLoader(NAME, FILE)
    spec = spec_from_file_location(NAME, FILE, loader=loader, submodule_search_locations=[FOLDER])
    assert spec is not None
    sys.modules[NAME] = module = module_from_spec(spec)
    loader.exec_module(module)


_load()
