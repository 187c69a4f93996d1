"""fastai: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.fastai",
    "use fastai's own `fastai.callback.wandb.WandbCallback`, or `run.log` in a callback",
)
