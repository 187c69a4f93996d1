"""No module needs itself, however far away: imports inside functions and modules named in texts count too."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import grimp
import scripts

PACKAGES = ("tracker", "server")
# What finds modules by the names that users of wandb know, when they are asked for.
FACES = ("tracker", "tracker.data_types", "tracker.plot", "tracker.door.modules", "tracker.door.names")


def test_no_module_needs_itself() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    needed = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    for module, found in needed.items():
        if module not in FACES:
            found |= (_modules_in_texts(module) & set(graph.modules)) - {module}
    TopologicalSorter(needed).prepare()  # CycleError names the modules of a circle


def _modules_in_texts(module: str) -> set[str]:
    path = scripts.ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    texts = (each.value for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.Constant))
    return {text for text in texts if isinstance(text, str) and "." in text}
