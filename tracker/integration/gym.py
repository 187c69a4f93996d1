"""Gymnasium: ``wandb.gym.monitor()``, or ``init(monitor_gym=True)``."""

from __future__ import annotations

from tracker.sdk.gymnasium import monitor

__all__ = ["monitor"]
