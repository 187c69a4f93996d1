"""The package of ``Api``, which reads runs and artifacts.

Libraries also use this module in place of ``wandb.api``: they read the API key and the default entity here.
"""

from __future__ import annotations

from typing import Any

from tracker.ground.settings import load_settings


def __getattr__(name: str) -> Any:
    if name == "api_key":
        found = load_settings()
        # A local store needs no key. But a library such as Ray Tune takes a missing key for "not logged in"
        # and raises, so a local store has the key "local".
        return found.api_key or ("local" if found.base_url is None else None)
    if name == "default_entity":
        return load_settings().entity
    raise AttributeError(f"module 'tracker.api' has no attribute {name!r}")


def settings(key: str | None = None) -> Any:
    """Return the current ``entity``, ``project`` and ``base_url``, or only the one named ``key``."""
    found = load_settings()
    known = {"entity": found.entity, "project": found.project, "base_url": found.base_url}
    return known if key is None else known.get(key)


def viewer() -> dict[str, Any]:
    """Return the user as a dict. Users have no accounts here, so the user name is the entity."""
    entity = load_settings().entity
    return {"entity": entity, "username": entity}
