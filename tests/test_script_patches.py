"""Scripts inside the tests replace attributes of our modules. Each attribute exists."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
IMPORTED = re.compile(r"^\s*from ((?:tracker|server)[\w.]*) import (\w+)(?: as (\w+))?$", re.MULTILINE)
MODULE = re.compile(r"^\s*import ((?:tracker|server)[\w.]*)(?: as (\w+))?$", re.MULTILINE)
ASSIGNED = re.compile(r"^\s*([\w.]+)\.(\w+) = ", re.MULTILINE)


def patches() -> list[tuple[str, str, str]]:
    """Return the file, the module and the attribute of each assignment to a module of ours in a script."""
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not ((IMPORTED.search(source) or MODULE.search(source)) and ASSIGNED.search(source)):
            continue  # parsing all files takes seconds, in each worker
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            script = node.value
            modules = {bound or name: f"{parent}.{name}" for parent, name, bound in IMPORTED.findall(script)}
            modules |= {bound or name: name for name, bound in MODULE.findall(script)}
            found += [
                (path.relative_to(TESTS).as_posix(), modules[name], attribute)
                for name, attribute in ASSIGNED.findall(script)
                if name in modules
            ]
    return found


@pytest.mark.parametrize(("path", "module", "attribute"), sorted(set(patches())))
def test_a_replaced_attribute_exists(path: str, module: str, attribute: str) -> None:
    found = importlib.import_module(module)
    assert hasattr(found, attribute), f"{path} replaces {module}.{attribute}, which does not exist"
