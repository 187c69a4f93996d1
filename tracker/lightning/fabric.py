"""``WandbLogger`` for Lightning Fabric, under the path ``wandb.integration.lightning.fabric``."""

from __future__ import annotations

import os
from typing import Any, Literal

from tracker import lightning
from tracker.lightning.base import rank_zero_only


class WandbLogger(lightning.WandbLogger):
    """A logger for Fabric: ``Fabric(loggers=WandbLogger())``.

    Args:
        *arguments: See ``tracker.lightning.WandbLogger``.
        log_checkpoint_on: When to log checkpoints with ``log_model=True``: after a ``"success"`` only, or
            after ``"all"`` trainings.
        **named: See ``tracker.lightning.WandbLogger``. The default ``project`` is
            ``lightning_fabric_logs``.
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
        """The parent folder of ``save_dir``."""
        return None if self.save_dir is None else os.path.dirname(os.path.abspath(self.save_dir))

    @rank_zero_only
    def log_html(self, key: str, htmls: list[Any], step: int | None = None, **kwargs: list[Any]) -> None:
        """Log a list of HTML pages (texts, paths or open files).

        Args:
            key: History key.
            htmls: The pages.
            step: Value of ``trainer/global_step``.
            **kwargs: Arguments of ``Html``, each a list with one item for each page: ``inject=[...]``.

        Raises:
            TypeError: ``htmls`` is not a list.
            ValueError: A list in ``kwargs`` does not have one item for each page.
        """
        self._log_media("htmls", "Html", key, htmls, step, kwargs)

    @rank_zero_only
    def save(self) -> None:
        """End the current history row."""
        self.experiment.log({}, commit=True)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """See ``WandbLogger.finalize``. ``log_checkpoint_on`` decides whether checkpoints are logged."""
        super().finalize(status)
        if status != "success" and self._log_checkpoint_on == "all" and self._experiment is not None:
            for callback in self._checkpoint_callbacks.values():
                self._log_checkpoints(callback)
