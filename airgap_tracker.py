"""A second name for the package ``tracker``, for users whose own code has a module ``tracker``.

``import wandb`` under ``tracker run`` uses this name. A process has one copy of the package:

* If ``import tracker`` finds this package, ``airgap_tracker.MODULE`` is another name of ``tracker.MODULE``.
* If ``import tracker`` finds a module of the user first, the package is loaded as ``airgap_tracker``, and its
  own imports are changed to that name.
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
    """Import finder that makes ``airgap_tracker.MODULE`` the same module as ``tracker.MODULE``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.startswith(f"{NAME}.") else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(module.__name__.replace(NAME, "tracker", 1))


class _SecondName:
    """Import finder: the package's modules are ``airgap_tracker.MODULE``; ``tracker`` is the user's own."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "tracker":
            others = [folder for folder in sys.path if not _is_own(PathFinder.find_spec(name, [folder]))]
            found = PathFinder.find_spec(name, others)
            if found is None:  # if this method returned None, Python would load the package a second time
                raise ModuleNotFoundError("No module named 'tracker', except the one behind wandb", name=name)
            return found
        if not name.startswith(f"{NAME}."):
            return None
        found = PathFinder.find_spec(name, path)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _RenamingLoader(name, found.loader.path)
        return found


class _RenamingLoader(SourceFileLoader):
    """Loads a module and changes ``tracker`` to ``airgap_tracker`` in its import statements."""

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)  # both names share __pycache__, so a file is compiled once
        return None if code is None else _renamed(code)


def _renamed(code: CodeType) -> CodeType:
    """Return code in which imports and uses of the package's name are changed; strings stay unchanged."""
    names = (NAME + name[7:] if name.partition(".")[0] == "tracker" else name for name in code.co_names)
    consts = (_renamed(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_names=tuple(names), co_consts=tuple(consts))


def _is_own(spec: ModuleSpec | None) -> bool:
    """Return whether a spec belongs to this package, in this version or another one."""
    origin = None if spec is None else spec.origin
    return origin is not None and os.path.isdir(os.path.join(os.path.dirname(origin), "door", "site"))


def _another_comes_first() -> bool:
    """Return whether ``import tracker`` finds a module of the user in this process."""
    if (loaded := sys.modules.get("tracker")) is not None:
        return not _is_own(getattr(loaded, "__spec__", None))
    for folder in sys.path:
        spec = PathFinder.find_spec("tracker", [folder])
        if spec is None:
            continue
        if spec.origin is not None:
            return not _is_own(spec)
        # A folder without __init__.py. Python prefers a later folder with the file; the user means this one.
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
    sys.meta_path.insert(0, _SecondName())
    loader = _RenamingLoader(NAME, FILE)
    spec = spec_from_file_location(NAME, FILE, loader=loader, submodule_search_locations=[FOLDER])
    assert spec is not None
    sys.modules[NAME] = module = module_from_spec(spec)
    loader.exec_module(module)


_load()
