"""What other ranks print, and how their machines are, kept with the run of rank zero.

Lightning's own logger knows nothing of that. In a process tree with the door open (``tracker run``) the
Trainer asks the functions below, which are entry points of the ``wandb`` that stands there, for a callback.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tracker.sdk.run.run import Run
from tracker.sdk.start import rank_capture


def join_ranks(run: Any, rank: int) -> None:
    """Tell the other ranks of the run, or look for it.

    Args:
        run: What the logger logs to; on other ranks than 0 it is not looked at.
        rank: This process's global rank.
    """
    if rank > 0:
        rank_capture.observe(rank)
    elif isinstance(run, Run):
        rank_capture.publish(run)


def of_pytorch_lightning() -> Any:
    """Return a callback for the Trainer of ``pytorch_lightning``."""
    return _callback_of("pytorch_lightning")


def of_lightning() -> Any:
    """Return a callback for the Trainer of ``lightning.pytorch``."""
    return _callback_of("lightning.pytorch")


def _callback_of(package: str) -> Any:
    logger_class = import_module(f"{package}.loggers").WandbLogger

    class KeepRanks(import_module(f"{package}.callbacks").Callback):  # type: ignore[misc]
        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            for logger in trainer.loggers:
                if isinstance(logger, logger_class):
                    join_ranks(logger.experiment, trainer.global_rank)

        def __reduce__(self) -> tuple[Any, ...]:
            return _callback_of, (package,)  # ddp_spawn sends it to other processes

    return KeepRanks()
