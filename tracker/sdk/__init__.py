"""The wandb-compatible interface: ``init``, ``Run``, config and summary."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Return an attribute that ``wandb.sdk`` has, such as ``wandb.sdk.lib``."""
    if name not in ("lib", "data_types") and not name.startswith("wandb_"):
        raise AttributeError(f"module 'tracker.sdk' has no attribute {name!r}")
    from tracker.door.modules import attribute

    return attribute("wandb.sdk", name)
