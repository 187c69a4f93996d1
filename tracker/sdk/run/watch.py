"""``Run.watch`` and ``unwatch``; the work is in ``tracker.sdk.torch.watch``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from tracker.sdk.run.core import RunCore

if TYPE_CHECKING:
    from torch.nn import Module

    from tracker.sdk.run.run import Run


class WatchMethods(RunCore):
    """How a ``Run`` watches PyTorch models."""

    def watch(
        self,
        models: Module | Sequence[Module],
        criterion: Any = None,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Log histograms of a PyTorch model's gradients and parameters while it is trained.

        They go into the row that is open, under ``gradients/NAME`` and ``parameters/NAME``: 64 bins between
        the least and the greatest value, counted where the tensor lies. Of the second model that a process
        watches, NAME begins with ``graph_1``, and so on, as in wandb.

        Args:
            models: A model or several.
            criterion: Accepted for compatibility.
            log: What of: gradients after each backward pass, parameters after each forward pass of the model.
            log_freq: Log each so many batches.
            idx: Number of the first model instead of how many were watched before.
            log_graph: Keep the layers, as they run first, as ``graph_N`` in the summary.

        Raises:
            TypeError: Something is no ``torch.nn.Module``.
            ValueError: A word for ``log`` that is not known, or a model whose graph is watched already.
            Error: torch cannot be imported.
        """
        from tracker.sdk.torch.watch import watch

        watch(cast("Run", self), models, log, log_freq, idx, log_graph)

    def unwatch(self, models: Module | Sequence[Module] | None = None) -> None:
        """Stop what ``watch`` began, for some models or for all."""
        from tracker.sdk.torch.watch import unwatch

        unwatch(cast("Run", self), models)
