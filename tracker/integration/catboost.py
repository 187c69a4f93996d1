"""CatBoost: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.catboost",
    "log `model.get_evals_result()` with `run.log` after training, and the model with `run.log_model`",
)
