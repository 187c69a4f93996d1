"""Capture of the output and the system metrics of other ranks into the run of rank zero.

Lightning's own logger cannot do this. Under ``tracker run``, the Trainer gets a callback from the functions
below: they are entry points of the package ``wandb`` that ``tracker run`` provides.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tracker.sdk.run.run import Run
from tracker.sdk.start import rank_capture


def join_ranks(run: Any, rank: int) -> None:
    """Announce the run to the other ranks; on another rank, look for the run.

    Args:
        run: The run of the logger. Ignored on ranks other than 0.
        rank: Global rank of this process.
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
            return _callback_of, (package,)  # ddp_spawn pickles the callback for other processes

    return KeepRanks()
