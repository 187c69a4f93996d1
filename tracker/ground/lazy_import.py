"""Packages whose names are loaded when first used: ``__init__.pyi`` is the one list of them.

Type checkers and editors read the same file, so a name is written in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

_LINE = re.compile(r"^from tracker(\.\S+) import (\w+) as (\w+)(?:  #.*)?$", re.MULTILINE)


@cache
def names_of(file: str) -> dict[str, tuple[str, str]]:
    """Return a package's names: the module of each, as a path below ``tracker``, and its name there.

    Args:
        file: ``__file__`` of the package.
    """
    with open(file.rpartition(".")[0] + ".pyi", encoding="utf-8") as stub:
        return {shown: (module, name) for module, name, shown in _LINE.findall(stub.read())}


def load(package: str, file: str, name: str) -> Any:
    """Return what a package's name stands for, and keep it there.

    Raises:
        AttributeError: The package has no such name.
    """
    found = names_of(file).get(name)
    if found is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    root = package.partition(".")[0]  # "tracker", or its second name: see airgap_tracker.py
    value = getattr(import_module(root + found[0]), found[1])
    setattr(import_module(package), name, value)
    return value


def attach(package: str, file: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return ``__getattr__`` and ``__all__`` of a package."""
    return lambda name: load(package, file, name), list(names_of(file))
