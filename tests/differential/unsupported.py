"""The wandb names that raise UnsupportedError, found in the source of tracker's functions."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from differential import surface
from tracker.errors import UnsupportedError


def unsupported() -> dict[str, str]:
    """Return the names that always raise UnsupportedError, with the error message."""
    found = {}
    for title, owner in surface.OWNERS.items():
        thing = surface.find(owner.tracker)
        for name in sorted(owner.names or dir(thing)):
            value = inspect.getattr_static(thing, name, None) if thing is not None else None
            value = getattr(value, "__func__", getattr(value, "fget", value))
            if not name.startswith("_") and (instead := _refusal(value)) is not None:
                found[f"{title}.{name}"] = instead
    return found


def _refusal(value: Any) -> str | None:
    """Return the message of a function that only raises UnsupportedError; None for another function."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (TypeError, OSError, SyntaxError):
        return None
    body = getattr(tree.body[0], "body", [])
    first = next(
        (part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))),
        None,
    )
    if not (isinstance(first, ast.Raise) and isinstance(first.exc, ast.Call)):
        return None
    if getattr(first.exc.func, "id", "") != "UnsupportedError":
        return None
    try:
        value()
    except UnsupportedError as error:
        return str(error)
    except TypeError:  # the function has required parameters: pass None for each
        count = sum(1 for one in inspect.signature(value).parameters.values() if one.default is one.empty)
        try:
            value(*[None] * count)
        except UnsupportedError as error:
            return str(error)
    return None
