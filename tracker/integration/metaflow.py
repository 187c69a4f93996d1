"""Metaflow: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.metaflow", "call `wandb.init` and `run.log_artifact` inside the step")
