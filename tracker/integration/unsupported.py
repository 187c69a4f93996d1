"""Integrations that are not supported. Their modules can be imported; their names raise an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracker.errors import UnsupportedError


def refuse(module: str, instead: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that raises UnsupportedError for each public name.

    Args:
        module: The wandb path of the module, such as ``"wandb.integration.openai"``.
        instead: The alternative, as a clause for the error message.
    """

    def getattribute(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(f"{module}.{name}", instead)

    return getattribute
