"""``Run.watch`` and ``unwatch``. ``tracker.sdk.torch.watch`` implements them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from tracker.sdk.run.core import RunCore

if TYPE_CHECKING:
    from torch.nn import Module

    from tracker.sdk.run.run import Run


class WatchMethods(RunCore):
    """The methods of a ``Run`` that watch PyTorch models."""

    def watch(
        self,
        models: Module | Sequence[Module],
        criterion: Any = None,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Log histograms of a PyTorch model's gradients and parameters during training.

        The histograms go into the open row, under ``gradients/NAME`` and ``parameters/NAME``. Each histogram
        has 64 bins between the smallest and the largest value, and is computed on the tensor's device. For
        the second model of a process, NAME begins with ``graph_1``; for the third, with ``graph_2``; and so
        on (wandb: ``sdk/wandb_watch.py``).

        Args:
            models: A model or several.
            criterion: Accepted for compatibility and ignored.
            log: ``"gradients"`` (after each backward pass), ``"parameters"`` (after each forward pass),
                ``"all"``, or None for neither.
            log_freq: The number of batches between two logged histograms.
            idx: The number of the first model. The default is the number of models watched before.
            log_graph: Whether to store the model's layers, in the order of their first run, as ``graph_N`` in
                the summary.

        Raises:
            TypeError: A model is not a ``torch.nn.Module``.
            ValueError: ``log`` has an unknown value, or the graph of a model is already watched.
            Error: torch cannot be imported.
        """
        from tracker.sdk.torch.watch import watch

        watch(cast("Run", self), models, log, log_freq, idx, log_graph)

    def unwatch(self, models: Module | Sequence[Module] | None = None) -> None:
        """Stop watching some models, or all."""
        from tracker.sdk.torch.watch import unwatch

        unwatch(cast("Run", self), models)
