"""Filters and orders of ``wandb.Api().runs()`` as those of tracker's list of runs."""

from __future__ import annotations

from typing import Any

from server.wandb.context import Context
from server.wandb.filtering import holds
from server.wandb.sweep_runs import list_sweep_ids, runs_of_sweep
from server.wandb.texts import read_json
from tracker.errors import UsageError

_GROUPS = ("$and", "$or", "$nor")
# wandb's names of fields that tracker's filters have under another name.
_FIELDS = {
    "description": "notes",
    "groupName": "group",
    "group_name": "group",
    "runName": "name",
    "run_id": "name",
}
_USERS = ("username", "user", "user.username", "user.name")
_SWEEPS = ("sweep", "sweepName", "sweep_name")
# States that the client reads as running: see ``RunObject.state``.
_RUNNING = ("running", "preempting")
_ORDERS = {
    "name": "id",
    "group_name": "group",
    "groupName": "group",
    "username": "created_at",
    "user": "created_at",
    "sweep": "created_at",
}
_ALL: dict[str, Any] = {"name": {"$nin": []}}
_NONE: dict[str, Any] = {"name": {"$in": []}}


def read_filters(context: Context, entity: str, project: str, given: Any) -> dict[str, Any] | None:
    """Return the filter of tracker for a filter of the client, which is a dict or its JSON text.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
        given: The filter.

    Raises:
        UsageError: It is not valid.
    """
    found = read_json(given) if isinstance(given, str) and given else given
    if found in (None, {}, ""):
        return None
    return _Translation(context, entity, project).group(found, 0)


def read_order(given: str | None) -> str:
    """Return the order of tracker for an order such as ``-summary_metrics.loss``."""
    parts = (given or "").split(",")
    found = []
    for part in parts:
        sign, name = ("-", part[1:]) if part.startswith("-") else ("", part.removeprefix("+"))
        found.append(sign + _ORDERS.get(name, name))
    return ",".join(found) if given else "created_at"


class _Translation:
    def __init__(self, context: Context, entity: str, project: str) -> None:
        self._context = context
        self._place = (entity, project)

    def group(self, given: Any, depth: int) -> dict[str, Any]:
        if not isinstance(given, dict) or depth > 50:
            raise UsageError(f"a filter is a dict such as {{'config.lr': 0.1}}, not {given!r:.60}")
        found: list[dict[str, Any]] = []
        for key, test in given.items():
            if key in _GROUPS:
                if isinstance(test, list) and test:
                    found.append({key: [self.group(each, depth + 1) for each in test]})
                elif test != []:  # the client sends empty groups
                    raise UsageError(f"{key} takes a list of filters, not {test!r:.60}")
            elif key == "$not":
                found.append({key: self.group(test, depth + 1)})
            else:
                found.append(self._field(key, test))
        return found[0] if len(found) == 1 else {"$and": found} if found else _ALL

    def _field(self, key: str, test: Any) -> dict[str, Any]:
        if key in _SWEEPS:
            return self._sweep(test)
        if key in _USERS:
            # The store does not know who logged a run: the client reads the caller, see ``RunObject.user``.
            return _ALL if holds(self._context.caller.name, test) else _NONE
        if key == "state":
            return {key: _with_preempting(test)}
        if key.startswith("tags."):
            return {"tags": key.removeprefix("tags.")} if test else {"tags": {"$ne": key[len("tags.") :]}}
        if key.startswith("keys_info.keys."):
            return {f"summary_metrics.{key[len('keys_info.keys.') :]}": {"$exists": test is not None}}
        return {_FIELDS.get(key, key): test}

    def _sweep(self, test: Any) -> dict[str, Any]:
        """Return a filter by ids of runs: which sweep a run belongs to is not in the catalog."""
        every = list_sweep_ids(self._context, *self._place)
        chosen = [name for name in every if holds(name, test)]
        without = holds(None, test)  # runs without a sweep
        if without:
            chosen = [name for name in every if name not in chosen]
        names = [run for name in chosen for run in runs_of_sweep(self._context, *self._place, name)]
        return {"name": {"$nin" if without else "$in": names}}


def _with_preempting(test: Any) -> Any:
    """Return a test of the state in which "running" includes the state "preempting"."""
    if not isinstance(test, dict):
        return {"$in": list(_RUNNING)} if test == "running" else test
    found: dict[str, Any] = {}
    for operator, operand in test.items():
        if operator == "$not":
            found[operator] = _with_preempting(operand)
        elif operator in ("$eq", "$ne") and operand == "running":
            found["$in" if operator == "$eq" else "$nin"] = list(_RUNNING)
        elif operator in ("$in", "$nin") and isinstance(operand, list) and "running" in operand:
            found[operator] = [*operand, "preempting"]
        else:
            found[operator] = operand
    return found
