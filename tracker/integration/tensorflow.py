"""TensorFlow estimators: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse(
    "wandb.integration.tensorflow",
    "use `init(sync_tensorboard=True)` with a writer of torch or tensorboard",
)
