"""``WandbLogger`` for PyTorch Lightning: the arguments and behaviour of Lightning's own, on tracker.

from tracker.lightning import WandbLogger
trainer = Trainer(logger=WandbLogger(project="digits", log_model="all"))
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.artifacts.artifact import Artifact
from tracker.data_types.image import Image
from tracker.data_types.table import Table
from tracker.errors import UsageError
from tracker.sdk import active
from tracker.sdk.init import init
from tracker.sdk.run import Run
from tracker.settings import load_settings

# Lightning comes under two names; a script's Trainer wants a logger of the one that it uses.
if "lightning.pytorch" in sys.modules:
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
else:
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import ModelCheckpoint

STEP = "trainer/global_step"


class WandbLogger(Logger):  # type: ignore[misc]
    """Logs a Trainer's metrics, hyperparameters, media and checkpoints.

    Args:
        name: Display name of the run.
        save_dir: Folder in which the store lies (``dir`` of ``init``).
        version: The run's id; the same as ``id``.
        offline: No network.
        dir: The same as ``save_dir``.
        id: The run's id; an existing one is continued.
        anonymous: Accepted for compatibility.
        project: ``lightning_logs`` unless given (or ``WANDB_PROJECT``).
        log_model: ``"all"``: log each checkpoint when it is saved; True: the kept ones at the end of
            training; False: none. Each becomes a version of artifact ``model-ID``, with the aliases
            ``latest`` and, for the callback's best, ``best``.
        experiment: A run to log to instead of a new one.
        prefix: Put in front of metric names, with ``-``.
        checkpoint_name: Artifact name of the checkpoints instead of ``model-ID``.
        add_file_policy: Accepted for compatibility: a checkpoint is captured either way.
        **kwargs: Further arguments of ``tracker.init``.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | os.PathLike[str] | None = None,
        version: str | None = None,
        offline: bool = False,
        dir: str | os.PathLike[str] | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: str | bool = False,
        experiment: Run | None = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: str = "mutable",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if log_model not in (True, False, "all"):
            raise UsageError(f"log_model is {log_model!r}; use True, False or 'all'")
        folder = save_dir if save_dir is not None else dir
        self._log_model = log_model
        self._experiment = experiment
        self._prefix = prefix
        self._checkpoint_name = checkpoint_name
        self._logged_at: dict[str, float] = {}
        self._checkpoint_callback: ModelCheckpoint | None = None
        given = load_settings()
        self._arguments: dict[str, Any] = {
            "name": name,
            "project": project or (given.project if given.project != "uncategorized" else "lightning_logs"),
            "dir": os.fspath(folder) if folder is not None else None,
            "id": version or id,
            "resume": "allow",
            "mode": "offline" if offline else None,
            **kwargs,
        }

    @property
    @rank_zero_experiment  # type: ignore[untyped-decorator]
    def experiment(self) -> Run:
        """The run; made when first asked for, on rank zero only (elsewhere a dummy ignores all calls)."""
        if self._experiment is None:
            # A run that the script began itself is used, as Lightning's logger does.
            self._experiment = active.current or init(**self._arguments)
            self._experiment.define_metric(STEP)
            self._experiment.define_metric("*", step_metric=STEP, step_sync=True)
        return self._experiment

    @property
    def name(self) -> str | None:
        """The project, as in Lightning's logger."""
        return self._arguments["project"] if self._experiment is None else self._experiment.project

    @property
    def version(self) -> str | None:
        """The run's id, once it is known."""
        return self._arguments["id"] if self._experiment is None else self._experiment.id

    @property
    def save_dir(self) -> str | None:
        """Folder in which the store lies; checkpoints of the Trainer go below it when it is given."""
        folder: str | None = self._arguments["dir"]
        return folder

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Add hyperparameters to the run's config."""
        given = vars(params) if isinstance(params, Namespace) else params
        self.experiment.config.update(_describable(given), allow_val_change=True)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics; ``step`` becomes the value of ``trainer/global_step``."""
        row: dict[str, Any] = {self._named(key): value for key, value in metrics.items()}
        if step is not None:
            row[STEP] = step
        self.experiment.log(row)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log a table."""
        self.log_metrics({key: Table(columns=columns, data=data, dataframe=dataframe)}, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log texts as a table."""
        self.log_table(key, columns, data, dataframe, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log a list of images (tensors, arrays, PIL images or paths).

        Args:
            key: History key.
            images: The images.
            step: Value of ``trainer/global_step``.
            **kwargs: Lists with one item for each image, such as ``caption=[...]``.

        Raises:
            TypeError: ``images`` is no list.
            ValueError: A list has another length than ``images``.
        """
        if not isinstance(images, list):
            raise TypeError(f'Expected a list as "images", found {type(images)}')
        for name, values in kwargs.items():
            if len(values) != len(images):
                raise ValueError(f"Expected {len(images)} items but only found {len(values)} for {name}")
        made = [
            Image(image, **{name: values[at] for name, values in kwargs.items()})
            for at, image in enumerate(images)
        ]
        self.log_metrics({key: made}, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Called by Lightning after each save: log the new checkpoints, or wait for the end."""
        if self._log_model == "all" or (self._log_model is True and checkpoint_callback.save_top_k == -1):
            self._log_checkpoints(checkpoint_callback)
        elif self._log_model is True:
            self._checkpoint_callback = checkpoint_callback

    @rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        """Called by Lightning at the end of training. The run goes on: more can be logged to it.

        After a failure, Ctrl-C included, a script that just ends leaves a failed run.
        """
        if status != "success" and self._experiment is not None:
            active.note_failure(f"Trainer: {status}")
        if status == "success" and self._checkpoint_callback is not None and self._experiment is not None:
            self._log_checkpoints(self._checkpoint_callback)

    @staticmethod
    def download_artifact(
        artifact: str,
        save_dir: str | os.PathLike[str] | None = None,
        artifact_type: str | None = None,
        use_artifact: bool = True,
    ) -> str:
        """Download an artifact and return the folder.

        Args:
            artifact: ``[[entity/]project/]name[:version|alias]``.
            save_dir: Where to.
            artifact_type: When given, the artifact must be of this type.
            use_artifact: Note that the active run, if there is one, uses it.
        """
        if use_artifact and active.current is not None:
            return active.current.use_artifact(artifact, artifact_type).download(save_dir)
        from tracker.api.api import Api

        return Api().artifact(artifact, artifact_type).download(save_dir)

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Artifact:
        """Return an artifact and note that the run uses it."""
        run: Run = self.experiment
        return run.use_artifact(artifact, artifact_type)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process (ddp_spawn) continues the same run by id, as a writer of its own.
        state = self.__dict__.copy()
        if self._experiment is not None:
            state["_arguments"] = {**self._arguments, "id": self._experiment.id}
        state["_experiment"] = None
        return state

    def _named(self, key: str) -> str:
        return f"{self._prefix}{self.LOGGER_JOIN_CHAR}{key}" if self._prefix else key

    def _log_checkpoints(self, callback: ModelCheckpoint) -> None:
        for saved_at, path, score in _new_checkpoints(callback, self._logged_at):
            artifact = Artifact(
                self._checkpoint_name or f"model-{self.experiment.id}",
                type="model",
                metadata={
                    "score": score,
                    "original_filename": Path(path).name,
                    "ModelCheckpoint": {
                        name: getattr(callback, name)
                        for name in (
                            "monitor",
                            "mode",
                            "save_last",
                            "save_top_k",
                            "save_weights_only",
                            "_every_n_train_steps",
                        )
                        if hasattr(callback, name)
                    },
                },
            )
            artifact.add_file(path, name="model.ckpt")
            aliases = ["latest", "best"] if path == callback.best_model_path else ["latest"]
            self.experiment.log_artifact(artifact, aliases=aliases)
            self._logged_at[path] = saved_at


def _new_checkpoints(
    callback: ModelCheckpoint, logged_at: dict[str, float]
) -> list[tuple[float, str, float | None]]:
    """Return time, path and score of the checkpoints that are on disk and were not logged, oldest first."""
    scores: dict[str, Any] = {
        callback.last_model_path: callback.current_score,
        callback.best_model_path: callback.best_model_score,
        **callback.best_k_models,
    }
    found = []
    for path, score in scores.items():
        if (
            path
            and Path(path).is_file()
            and logged_at.get(path, 0.0) < (saved_at := Path(path).stat().st_mtime)
        ):
            found.append((saved_at, path, score.item() if hasattr(score, "item") else score))
    return sorted(found, key=lambda checkpoint: checkpoint[:2])


def _describable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with what has no plain form (modules, functions) as text."""
    from tracker.values import to_plain

    return {str(key): to_plain(value, repr) for key, value in params.items()}
