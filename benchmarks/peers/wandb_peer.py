"""wandb offline: console capture and system metrics off, as our own figures have neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def begin(folder: Path, run: str) -> tuple[Callable[[dict[str, float], int], Any], Callable[[], Any]]:
    """Import and begin, with the step metric as Lightning defines it."""
    import wandb

    begun = wandb.init(
        project="benchmark",
        id=run,
        dir=folder,
        mode="offline",
        settings=wandb.Settings(console="off", x_disable_stats=True, silent=True),
    )
    begun.define_metric("trainer/global_step")
    begun.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return (lambda row, _step: begun.log(row)), begun.finish
