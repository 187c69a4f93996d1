"""No circular imports. Imports inside functions and names of modules in strings count too."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import grimp
import scripts

PACKAGES = ("tracker", "server")
# Modules that load other modules by wandb's names on demand. The names in their strings do not count.
FACES = ("tracker", "tracker.data_types", "tracker.plot", "tracker.door.modules", "tracker.door.names")


def test_no_circular_imports() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    needed = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    for module, found in needed.items():
        if module not in FACES:
            found |= (_modules_in_texts(module) & set(graph.modules)) - {module}
    TopologicalSorter(needed).prepare()  # it raises CycleError with the modules of the circle


def _modules_in_texts(module: str) -> set[str]:
    path = scripts.ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    texts = (each.value for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.Constant))
    return {text for text in texts if isinstance(text, str) and "." in text}
