"""Reading what was logged: ``Api``. As ``wandb.api`` libraries ask this module for the key and the entity."""

from __future__ import annotations

from typing import Any

from tracker.ground.settings import load_settings


def __getattr__(name: str) -> Any:
    if name == "api_key":
        found = load_settings()
        # A local store needs no key. Libraries take "no key" for "not logged in": Ray Tune then raises.
        return found.api_key or ("local" if found.base_url is None else None)
    if name == "default_entity":
        return load_settings().entity
    raise AttributeError(f"module 'tracker.api' has no attribute {name!r}")


def settings(key: str | None = None) -> Any:
    """Return ``entity``, ``project`` and ``base_url`` in force, or one of them."""
    found = load_settings()
    known = {"entity": found.entity, "project": found.project, "base_url": found.base_url}
    return known if key is None else known.get(key)


def viewer() -> dict[str, Any]:
    """Return who the user is, as far as it is known here: the entity."""
    entity = load_settings().entity
    return {"entity": entity, "username": entity}
