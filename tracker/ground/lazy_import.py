"""Lazy loading of a package's names at their first use. The package's ``__init__.pyi`` lists the names.

Type checkers and editors read the same file, so each name is listed in one place.
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
    """Return the names of a package, each with its module (such as ``.sdk.run``) and its name in that module.

    Args:
        file: ``__file__`` of the package.
    """
    with open(file.rpartition(".")[0] + ".pyi", encoding="utf-8") as stub:
        return {shown: (module, name) for module, name, shown in _LINE.findall(stub.read())}


def load(package: str, file: str, name: str) -> Any:
    """Return the object of a package's name, and set it as an attribute of the package.

    Args:
        package: ``__name__`` of the package.
        file: ``__file__`` of the package.
        name: The name.

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
    """Return ``__getattr__`` and ``__all__`` for a package, given its ``__name__`` and ``__file__``."""
    return lambda name: load(package, file, name), list(names_of(file))
