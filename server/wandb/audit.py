"""Entries of the audit log for the changes that ``wandb.Api`` makes. Runs themselves tell what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any

from server.wandb.context import Context
from server.wandb.executor import Resolver
from server.wandb.ids import parts_of_id
from server.wandb.texts import json_text
from tracker.store.ingest.people import note

# Names of a place in the arguments of a mutation, from the entity on.
_NAMES = (("entityName",), ("projectName", "modelName"), ("name", "runName", "artifactPortfolioName"))


def audited(function: Resolver) -> Resolver:
    """Return a mutation that writes an entry of the audit log if ``wandb.Api`` has sent it.

    Args:
        function: The function of the mutation.
    """

    @wraps(function)
    def change(context: Context, **given: Any) -> Any:
        answer = function(context, **given)
        if answer is not None and not context.is_core:
            with context.store.writing_keys() as session:
                note(session, context.actor, function.__name__, _target(given), json_text(given))
        return answer

    return change


def _target(given: dict[str, Any]) -> str:
    """Return the path of what a mutation changes: that of the first id in its arguments, else its names."""
    for text in _ids(given):
        parts = parts_of_id(text)
        if parts is not None:
            kind, *path = parts
            if kind == "Artifact" and len(path) == 4:
                path[3] = f"v{path[3]}"
            return "/".join(path)
    named: dict[str, Any] = given.get("input") or given
    values = (next((named[key] for key in keys if named.get(key)), "") for keys in _NAMES)
    return "/".join(str(value) for value in values if value)


def _ids(value: Any, key: str = "") -> Iterator[str]:
    """Yield the texts in fields for ids, and not a text that a user has written."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _ids(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _ids(each, key)
    elif key == "files" or key.lower().endswith("id"):
        yield str(value)
