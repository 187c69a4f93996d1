"""Prodigy: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.prodigy", "log the annotations with `wandb.Table`")
