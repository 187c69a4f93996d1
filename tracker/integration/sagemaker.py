"""SageMaker: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.sagemaker", "nothing is needed here: runs are kept without a login")
