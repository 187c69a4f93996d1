"""Keras: ``from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint, WandbEvalCallback``.

It supports Keras 3 with all its backends.
"""

from __future__ import annotations

import abc
import os
import string
from typing import Any

import keras

from tracker.artifacts.artifact import Artifact
from tracker.data_types.table import Table
from tracker.errors import Error, UnsupportedError
from tracker.ground.terminal import say
from tracker.sdk.process import active_runs
from tracker.sdk.run.run import Run

__all__ = ("WandbEvalCallback", "WandbMetricsLogger", "WandbModelCheckpoint")


class WandbMetricsLogger(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that logs metrics and the learning rate under ``epoch/`` or ``batch/``.

    Args:
        log_freq: ``"epoch"``, ``"batch"``, or the number of batches between two rows.
        initial_global_step: Number of batches before a resumed training.
        *args: Arguments of the Keras callback.
        **kwargs: Arguments of the Keras callback.

    Raises:
        Error: There is no active run.
    """

    def __init__(
        self, log_freq: str | int = "epoch", initial_global_step: int = 0, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        run = _run("WandbMetricsLogger")
        if log_freq == "batch":
            log_freq = 1
        self.logging_batch_wise = isinstance(log_freq, int)
        self.log_freq = log_freq if self.logging_batch_wise else None
        self.global_batch = 0
        self.global_step = initial_global_step
        kind, axis = ("batch", "batch/batch_step") if self.logging_batch_wise else ("epoch", "epoch/epoch")
        run.define_metric(axis)
        run.define_metric(f"{kind}/*", step_metric=axis)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Log a row if the number of batches asks for it. Keras calls this after each batch."""
        self.global_step += 1
        if isinstance(self.log_freq, int) and batch % self.log_freq == 0:
            self._log("batch", {"batch_step": self.global_batch}, logs)
            self.global_batch += self.log_freq

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the metrics of an epoch. Keras calls this after each epoch."""
        self._log("epoch", {"epoch": epoch}, logs)

    def _log(self, kind: str, axis: dict[str, int], logs: dict[str, Any] | None) -> None:
        row: dict[str, Any] = {**(logs or {}), **axis}
        rate = self.model.optimizer.learning_rate
        if callable(rate):
            rate = rate(self.global_step)
        row["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        _run("WandbMetricsLogger").log({f"{kind}/{key}": value for key, value in row.items()})


class WandbModelCheckpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """A Keras ``ModelCheckpoint`` that also logs each checkpoint as a version of artifact ``run_ID_model``.

    The aliases are ``latest`` and ``epoch_N`` or ``epoch_N_batch_M``. If Keras saves no checkpoint
    (``save_best_only``), no version is logged. The arguments are those of
    ``keras.callbacks.ModelCheckpoint``.

    Raises:
        Error: There is no active run.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filepath,
            monitor=monitor,
            verbose=verbose,
            save_best_only=save_best_only,
            save_weights_only=save_weights_only,
            mode=mode,
            save_freq=save_freq,
            initial_value_threshold=initial_value_threshold,
            **kwargs,
        )
        _run("WandbModelCheckpoint")
        placeholders = [name for _, name, _, _ in string.Formatter().parse(self.filepath) if name is not None]
        if save_best_only and not placeholders:
            say(
                "WandbModelCheckpoint: with save_best_only, each better model overwrites the previous file. "
                "Add a placeholder such as {epoch:02d} to filepath."
            )

    def _save_model(self, epoch: int, batch: int | None, logs: dict[str, Any] | None) -> None:
        path = self._get_file_path(epoch, batch, logs or {})
        before = _state(path)
        super()._save_model(epoch, batch, logs or {})
        if _state(path) in (None, before):
            return
        run = _run("WandbModelCheckpoint")
        artifact = Artifact(f"run_{run.id}_model", type="model")
        if os.path.isdir(path):
            artifact.add_dir(path)
        else:
            artifact.add_file(path)
        which = f"epoch_{epoch}" if batch is None else f"epoch_{epoch}_batch_{batch}"
        run.log_artifact(artifact, aliases=["latest", which])


class WandbEvalCallback(keras.callbacks.Callback, abc.ABC):  # type: ignore[misc]
    """Base class of callbacks that log a table of predictions after each epoch.

    A subclass adds rows to ``self.data_table`` in ``add_ground_truth`` and to ``self.pred_table`` in
    ``add_model_predictions``. In the latter, ``self.data_table_ref`` is the logged data table.

    Args:
        data_table_columns: Columns of the data table.
        pred_table_columns: Columns of the prediction table.
        *args: Arguments of the Keras callback.
        **kwargs: Arguments of the Keras callback.

    Raises:
        Error: There is no active run.
    """

    def __init__(
        self, data_table_columns: list[str], pred_table_columns: list[str], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        _run("WandbEvalCallback")
        self.data_table_columns = data_table_columns
        self.pred_table_columns = pred_table_columns

    @abc.abstractmethod
    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        """Add rows to ``self.data_table``. Called when training begins."""

    @abc.abstractmethod
    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add rows to ``self.pred_table``. Called after each epoch."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Log the data table. Keras calls this when training begins."""
        self.init_data_table(column_names=self.data_table_columns)
        self.add_ground_truth(logs)
        self.log_data_table()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the prediction table. Keras calls this after each epoch."""
        self.init_pred_table(column_names=self.pred_table_columns)
        self.add_model_predictions(epoch, logs)
        self.log_pred_table()

    def init_data_table(self, column_names: list[str]) -> None:
        """Create the data table."""
        table: Any = Table
        self.data_table = table(columns=column_names, allow_mixed_types=True)

    def init_pred_table(self, column_names: list[str]) -> None:
        """Create the prediction table of an epoch."""
        self.pred_table = Table(columns=column_names)

    def log_data_table(self, name: str = "val", type: str = "dataset", table_name: str = "val_data") -> None:
        """Log the data table as an artifact that the run uses; ``data_table_ref`` becomes the logged table.

        Args:
            name: Name of the artifact.
            type: Type of the artifact.
            table_name: Name of the table in the artifact.
        """
        artifact: Any = Artifact(name, type=type)
        artifact.add(self.data_table, table_name)
        artifact = _run("WandbEvalCallback").use_artifact(artifact)
        artifact.wait()
        self.data_table_ref = artifact.get(table_name)

    def log_pred_table(
        self, type: str = "evaluation", table_name: str = "eval_data", aliases: list[str] | None = None
    ) -> None:
        """Log the prediction table as a version of artifact ``run_ID_pred``.

        Args:
            type: Type of the artifact.
            table_name: Name of the table in the artifact.
            aliases: Aliases of the version; ``latest`` by default.
        """
        run = _run("WandbEvalCallback")
        artifact: Any = Artifact(f"run_{run.id}_pred", type=type)
        artifact.add(self.pred_table, table_name)
        run.log_artifact(artifact, aliases=aliases or ["latest"])


def __getattr__(name: str) -> Any:
    if name == "WandbCallback":
        raise UnsupportedError(
            "keras.WandbCallback",
            "wandb removed it too: use WandbMetricsLogger and WandbModelCheckpoint",
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _run(what: str) -> Run:
    if active_runs.current is None:
        raise Error(f"You must call `wandb.init()` before {what}()")
    return active_runs.current


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
