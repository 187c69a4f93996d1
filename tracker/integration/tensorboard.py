"""TensorBoard: ``wandb.tensorboard.patch(root_logdir=...)``, or ``init(sync_tensorboard=True)``."""

from __future__ import annotations

from tracker.sdk.tensorboard.patch import patch, unpatch

__all__ = ["patch", "unpatch"]
