"""Files of a run that the real client uploads: made from what was logged when somebody asks for them."""

from __future__ import annotations

from typing import Any

from tracker.ground.values import dumps


def config_yaml(config: dict[str, Any]) -> bytes:
    """Return ``config.yaml``: every key with its ``value``, written as JSON, which is YAML too."""
    lines = ["wandb_version: 1\n"]
    for key, value in sorted(config.items()):
        lines.append(f"{dumps(key)}:\n    value: {dumps(value)}\n")
    return "\n".join(lines).encode("utf-8", "replace")


def summary_json(summary: dict[str, Any]) -> bytes:
    """Return ``wandb-summary.json``."""
    return dumps(summary).encode("utf-8", "replace")
