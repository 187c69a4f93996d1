"""Ultralytics: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.ultralytics",
    "nothing is needed: ultralytics logs to wandb by itself (`yolo settings wandb=True`)",
)
