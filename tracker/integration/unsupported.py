"""Integrations that are not here: their modules can be imported, and what is taken from them says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracker.errors import UnsupportedError


def refuse(module: str, instead: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that raises UnsupportedError for each public name.

    Args:
        module: The module in wandb's words, such as ``"wandb.integration.openai"``.
        instead: What to do, as a whole clause.
    """

    def getattribute(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(f"{module}.{name}", instead)

    return getattribute
