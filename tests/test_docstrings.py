"""Docstrings of public functions: they describe their arguments, and name what shows a behaviour of wandb."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "differential" / "corpus"
# A claim to imitate wandb names the corpus script that compares the two, or the source file of wandb.
IMITATION = re.compile(r"\b(?:as|like|than|that) (?:in )?wandb(?: does)?\b", re.IGNORECASE)
SOURCE = re.compile(r"\((?:corpus: ``?([\w.]+)``?|wandb: ``?([\w/.]+)``?)")
MANY = 3


def modules() -> Iterator[tuple[str, ast.Module]]:
    listed = subprocess.run(
        ["git", "ls-files", "tracker/*.py", "server/*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            yield name, ast.parse((ROOT / name).read_text())


def functions(node: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield public functions and methods with their dotted names; not functions inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from functions(child, f"{owner}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield f"{owner}{child.name}", child
        elif isinstance(child, ast.If | ast.Try):
            yield from functions(child, owner)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = function.args
    names = [each.arg for each in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def is_plain(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether the function's own docstring is where its arguments belong."""
    marks = {ast.unparse(each) for each in function.decorator_list}
    return not marks & {"overload", "override"}


def test_functions_with_several_parameters_describe_them() -> None:
    lacking = []
    for file, module in modules():
        for name, function in functions(module):
            wanted = parameters(function)
            text = ast.get_docstring(function) or ""
            if len(wanted) < MANY or not is_plain(function) or re.search(r"\bSee ``[\w.]+``", text):
                continue
            described = text.partition("Args:")[2]
            if missing := [each for each in wanted if not re.search(rf"\b{each}\b", described)]:
                lacking.append(f"{file}: {name}: {', '.join(missing)}")
    assert lacking == []


def test_imitations_name_what_shows_them() -> None:
    names = {
        match[1]
        for path in CORPUS.glob("*.py")
        for match in re.finditer(r"^def (\w+)\(", path.read_text(), re.MULTILINE)
    }
    faults = []
    for file, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                shown = SOURCE.findall(text)
                if IMITATION.search(text) and not shown:
                    faults.append(f"{file}: {getattr(node, 'name', 'module')}")
                faults += [
                    f"{file}: {each}" for each, _ in shown if each and each.split(".")[-1] not in names
                ]
    assert faults == []
