"""Kubeflow Pipelines: not supported."""

from __future__ import annotations

from tracker.integration.unsupported import refuse

__getattr__ = refuse("wandb.integration.kfp", "call `wandb.init` and `run.log` inside the component")
