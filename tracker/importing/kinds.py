"""The kinds of files that can be imported."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tracker.importing.source import Found

# For each kind, the module and its function that finds the sources in files and folders.
KINDS = {
    "wandb": ("wandb_run", "find_wandb"),
    "tensorboard": ("tensorboard", "find_tensorboard"),
    "csv": ("lightning_csv", "find_csv"),
    "mlflow": ("mlflow", "find_mlflow"),
    "trackio": ("trackio", "find_trackio"),
}


def find_sources(kind: str, paths: list[Path]) -> Found:
    """Return the sources of a kind in files and folders."""
    module, function = KINDS[kind]
    found: Found = getattr(import_module(f"tracker.importing.{module}"), function)(paths)
    return found
