"""Diffusers: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.diffusers", "log prompts and `wandb.Image` with `wandb.Table`")
