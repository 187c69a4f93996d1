"""Sacred: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.sacred", "call `run.log` where the experiment calls `_run.log_scalar`"
)
