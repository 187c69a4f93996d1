"""``wandb.integration.lightning.fabric.WandbLogger``, for Lightning's Fabric."""

from __future__ import annotations

import os
from typing import Any, Literal

from tracker import lightning
from tracker.lightning.base import rank_zero_only


class WandbLogger(lightning.WandbLogger):
    """Logs what ``fabric.log`` and ``fabric.log_dict`` are given: ``Fabric(loggers=WandbLogger())``.

    Args:
        *arguments: As of ``tracker.lightning.WandbLogger``.
        log_checkpoint_on: With ``log_model=True``: log checkpoints at the end when training was a
            ``"success"``, or in ``"all"`` cases.
        **named: As there; ``project`` is ``lightning_fabric_logs`` unless given (or ``WANDB_PROJECT``).
    """

    PROJECT = "lightning_fabric_logs"

    def __init__(
        self, *arguments: Any, log_checkpoint_on: Literal["success", "all"] = "success", **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._log_checkpoint_on = log_checkpoint_on

    @property
    def log_dir(self) -> str | None:
        """The same as ``save_dir``."""
        return self.save_dir

    @property
    def root_dir(self) -> str | None:
        """The folder that ``save_dir`` is in."""
        return None if self.save_dir is None else os.path.dirname(os.path.abspath(self.save_dir))

    @rank_zero_only
    def log_html(self, key: str, htmls: list[Any], step: int | None = None, **kwargs: list[Any]) -> None:
        """Log a list of pages (texts, paths, open files); options such as ``inject`` as in ``log_image``."""
        self._log_media("htmls", "Html", key, htmls, step, kwargs)

    @rank_zero_only
    def save(self) -> None:
        """End the row that is being logged."""
        self.experiment.log({}, commit=True)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log the checkpoints that wait for the end. The run goes on: more can be logged to it."""
        super().finalize(status)
        if status != "success" and self._log_checkpoint_on == "all" and self._experiment is not None:
            for callback in self._checkpoint_callbacks.values():
                self._log_checkpoints(callback)
