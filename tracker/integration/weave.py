"""Weave: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.weave", "log what is to be traced with `run.log` and `wandb.Table`")
