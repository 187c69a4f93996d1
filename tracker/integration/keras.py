"""Keras: ``from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint, WandbEvalCallback``.

On Keras 3 with any of its backends.
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
    """Logs metrics and the learning rate under ``epoch/`` or ``batch/``.

    Args:
        log_freq: ``"epoch"``, ``"batch"``, or a number of batches.
        initial_global_step: Where to go on counting batches when training is resumed.
        *args: For Keras.
        **kwargs: Likewise.

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
        """Called by Keras after each batch."""
        self.global_step += 1
        if isinstance(self.log_freq, int) and batch % self.log_freq == 0:
            self._log("batch", {"batch_step": self.global_batch}, logs)
            self.global_batch += self.log_freq

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras after each epoch."""
        self._log("epoch", {"epoch": epoch}, logs)

    def _log(self, kind: str, axis: dict[str, int], logs: dict[str, Any] | None) -> None:
        row: dict[str, Any] = {**(logs or {}), **axis}
        rate = self.model.optimizer.learning_rate
        if callable(rate):
            rate = rate(self.global_step)
        row["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        _run("WandbMetricsLogger").log({f"{kind}/{key}": value for key, value in row.items()})


class WandbModelCheckpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Saves checkpoints as Keras does, and logs each one as a version of artifact ``run_ID_model``.

    Aliases are ``latest`` and ``epoch_N`` or ``epoch_N_batch_M``. An epoch for which Keras saves nothing
    (``save_best_only``) makes no version. Arguments are those of ``keras.callbacks.ModelCheckpoint``.

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
                "WandbModelCheckpoint: with save_best_only, give filepath a placeholder like {epoch:02d}; "
                "else each better model overwrites the file before"
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
    """Base class for callbacks that log a table of predictions after each epoch.

    A subclass fills ``self.data_table`` in ``add_ground_truth`` and ``self.pred_table`` in
    ``add_model_predictions``; there ``self.data_table_ref`` is the first one, as it was logged.

    Args:
        data_table_columns: Columns of the table of data.
        pred_table_columns: Columns of the table of predictions.
        *args: For Keras.
        **kwargs: Likewise.

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
        """Add rows to ``self.data_table``; called when training begins."""

    @abc.abstractmethod
    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add rows to ``self.pred_table``; called after each epoch."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Called by Keras: log the data."""
        self.init_data_table(column_names=self.data_table_columns)
        self.add_ground_truth(logs)
        self.log_data_table()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Called by Keras: log the predictions."""
        self.init_pred_table(column_names=self.pred_table_columns)
        self.add_model_predictions(epoch, logs)
        self.log_pred_table()

    def init_data_table(self, column_names: list[str]) -> None:
        """Begin the table of data."""
        table: Any = Table
        self.data_table = table(columns=column_names, allow_mixed_types=True)

    def init_pred_table(self, column_names: list[str]) -> None:
        """Begin an epoch's table of predictions."""
        self.pred_table = Table(columns=column_names)

    def log_data_table(self, name: str = "val", type: str = "dataset", table_name: str = "val_data") -> None:
        """Log the table of data as an artifact that the run uses; ``data_table_ref`` is what was logged.

        Args:
            name: The artifact's name.
            type: Its type.
            table_name: The table's name in it.
        """
        artifact: Any = Artifact(name, type=type)
        artifact.add(self.data_table, table_name)
        artifact = _run("WandbEvalCallback").use_artifact(artifact)
        artifact.wait()
        self.data_table_ref = artifact.get(table_name)

    def log_pred_table(
        self, type: str = "evaluation", table_name: str = "eval_data", aliases: list[str] | None = None
    ) -> None:
        """Log the table of predictions as a version of artifact ``run_ID_pred``.

        Args:
            type: The artifact's type.
            table_name: The table's name in it.
            aliases: ``latest`` unless given.
        """
        run = _run("WandbEvalCallback")
        artifact: Any = Artifact(f"run_{run.id}_pred", type=type)
        artifact.add(self.pred_table, table_name)
        run.log_artifact(artifact, aliases=aliases or ["latest"])


def __getattr__(name: str) -> Any:
    if name == "WandbCallback":
        raise UnsupportedError(
            "keras.WandbCallback",
            "it is gone from wandb too: use WandbMetricsLogger and WandbModelCheckpoint",
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
