"""DSPy: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.dspy", "log metrics with `run.log` and programs with `run.log_artifact`"
)
