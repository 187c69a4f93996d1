"""Hugging Face pipelines: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.huggingface", "log inputs and outputs with `wandb.Table`")
