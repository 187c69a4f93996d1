"""Files that the client of wandb uploads with each run. tracker generates them when they are read."""

from __future__ import annotations

from typing import Any

from tracker.ground.values import dumps


def config_yaml(config: dict[str, Any]) -> bytes:
    """Return the content of ``config.yaml``. The values are written as JSON, which is valid YAML."""
    lines = ["wandb_version: 1\n"]
    for key, value in sorted(config.items()):
        lines.append(f"{dumps(key)}:\n    value: {dumps(value)}\n")
    return "\n".join(lines).encode("utf-8", "replace")


def summary_json(summary: dict[str, Any]) -> bytes:
    """Return the content of ``wandb-summary.json``."""
    return dumps(summary).encode("utf-8", "replace")
