"""OpenAI: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.openai", "log prompts and answers with `wandb.Table`")
