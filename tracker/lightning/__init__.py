"""``WandbLogger`` for PyTorch Lightning. It has the arguments and the behaviour of Lightning's own logger.

from tracker.lightning import WandbLogger
trainer = Trainer(logger=WandbLogger(project="digits", log_model="all"))
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from tracker.artifacts.artifact import Artifact
from tracker.capture import logs
from tracker.data_types.table import Table
from tracker.errors import UsageError
from tracker.ground.settings import load_settings
from tracker.ground.values import to_plain
from tracker.lightning.base import Logger, rank_zero_experiment, rank_zero_only, rank_zero_warn
from tracker.lightning.checkpoints import artifacts_of
from tracker.lightning.ranks import join_ranks
from tracker.sdk.process import active_runs
from tracker.sdk.run.config_values import config_value
from tracker.sdk.run.run import Run
from tracker.sdk.start.attach import attach
from tracker.sdk.start.init import init

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import ModelCheckpoint
    from torch.nn import Module

STEP = "trainer/global_step"


class WandbLogger(Logger):
    """A logger for the metrics, hyperparameters, media and checkpoints of a Trainer.

    Args:
        name: Display name of the run.
        save_dir: Folder for the run's files (``dir`` of ``init``) and for the checkpoints of the Trainer.
        version: The run's id; the same as ``id``.
        offline: If True, the network is not used. Checkpoints are logged in both cases, because the local
            store can contain them.
        dir: Used if ``save_dir`` is None.
        id: The run's id. If the run exists, the logger resumes it.
        anonymous: Accepted for compatibility.
        project: The project. Default: the project of the settings (``WANDB_PROJECT``), else
            ``lightning_logs``.
        log_model: ``"all"`` logs each checkpoint when it is saved. True logs the kept checkpoints at the end
            of training, or each one when it is saved if ``save_top_k`` of ``ModelCheckpoint`` is -1. False
            logs none. Each checkpoint becomes a version of artifact ``model-ID``, with the alias ``latest``.
            The best checkpoint of a ``ModelCheckpoint`` also gets the alias ``best``, and ``best-METRIC`` for
            the metric that the callback monitors.
        experiment: An existing run to log to.
        prefix: Prefix of metric names, joined with ``-``.
        checkpoint_name: Name of the artifact with the checkpoints, instead of ``model-ID``.
        add_file_policy: ``policy`` of ``Artifact.add_file``: ``"mutable"`` or ``"immutable"``.
        **kwargs: Further arguments of ``tracker.init``.

    Raises:
        UsageError: ``log_model`` is invalid.
    """

    LOGGER_JOIN_CHAR = "-"
    PROJECT = "lightning_logs"

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | os.PathLike[str] | None = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | os.PathLike[str] | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: Literal["all"] | bool = False,
        experiment: Run | None = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: Literal["mutable", "immutable"] = "mutable",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if log_model not in (True, False, "all"):
            raise UsageError(f"Invalid log_model {log_model!r}. Use True, False or 'all'.")
        folder = save_dir if save_dir is not None else dir
        self.add_file_policy = add_file_policy
        self._log_model = log_model
        self._experiment = experiment
        self._prefix = prefix
        self._checkpoint_name = checkpoint_name
        self._attach_id: str | None = None
        self._logged_at: dict[str, float] = {}
        self._checkpoint_callbacks: dict[int, ModelCheckpoint] = {}
        given = load_settings()
        self._arguments: dict[str, Any] = {
            "name": name,
            "project": project or (given.project if given.project != "uncategorized" else self.PROJECT),
            "dir": os.fspath(folder) if folder is not None else None,
            "id": version or id,
            "resume": "allow",
            "mode": "offline" if offline else None,
            **kwargs,
        }

    @property
    def experiment(self) -> Run:
        """The run. It starts at the first access, on rank zero.

        On other ranks the value is Lightning's dummy. It ignores method calls such as ``log``, but
        ``config[...]`` raises an error. The run also contains the output of the other ranks and the system
        metrics of their machines.
        """
        run: Run = self._run_of_rank_zero()
        join_ranks(run, getattr(rank_zero_only, "rank", None) or 0)
        return run

    @rank_zero_experiment
    def _run_of_rank_zero(self) -> Run:
        if self._experiment is None:
            running = active_runs.current_of_this_process()
            if running is not None:
                rank_zero_warn(
                    f"WandbLogger logs to the active run {running.path}. To log to a new run, call "
                    "wandb.finish() before you create the logger."
                )
                self._experiment = running
            elif self._attach_id is not None:
                self._experiment = attach(self._attach_id)
            else:
                self._experiment = init(**self._arguments)
                if self._arguments.get("sync_tensorboard"):
                    self._experiment.define_metric("*", step_metric="global_step")
                else:
                    self._experiment.define_metric(STEP)
                    self._experiment.define_metric("*", step_metric=STEP, step_sync=True)
        return self._experiment

    def watch(
        self,
        model: Module,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 100,
        log_graph: bool = True,
    ) -> None:
        """Log histograms of gradients or parameters, and the graph of the layers. See ``Run.watch``."""
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    @property
    def name(self) -> str | None:
        """The project, which Lightning uses as the name of the logger."""
        project: str | None = self._arguments["project"]
        return project

    @property
    def version(self) -> str | None:
        """The run's id; None if it is not known yet."""
        return self._arguments["id"] if self._experiment is None else self._experiment.id

    @property
    def save_dir(self) -> str | None:
        """The given folder. The Trainer writes checkpoints to ``PROJECT/ID/checkpoints`` below it."""
        folder: str | None = self._arguments["dir"]
        return folder

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace | None) -> None:
        """Add hyperparameters to the run's config."""
        given = vars(params) if isinstance(params, Namespace) else params or {}
        self.experiment.config.update(_config_values(given), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics. ``step`` becomes the value of ``trainer/global_step``."""
        row: dict[str, Any] = {self._prefixed(key): value for key, value in metrics.items()}
        if step is not None and not self._arguments.get("sync_tensorboard"):
            row[STEP] = step
        self.experiment.log(row)

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log a table of texts, numbers and media.

        Args:
            key: History key.
            columns: Names of the columns of ``data``.
            data: The rows.
            dataframe: A pandas DataFrame instead of ``columns`` and ``data``.
            step: Value of ``trainer/global_step``.
        """
        self.log_metrics({key: Table(columns=columns, data=data, dataframe=dataframe)}, step)

    @rank_zero_only
    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log texts as a table. See ``WandbLogger.log_table``."""
        self.log_table(key, columns, data, dataframe, step)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: list[Any]) -> None:
        """Log a list of images (tensors, arrays, PIL images or paths).

        Args:
            key: History key.
            images: The images.
            step: Value of ``trainer/global_step``.
            **kwargs: Arguments of ``Image``, each a list with one item for each image: ``caption=[...]``.

        Raises:
            TypeError: ``images`` is not a list.
            ValueError: A list in ``kwargs`` does not have one item for each image.
        """
        self._log_media("images", "Image", key, images, step, kwargs)

    @rank_zero_only
    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: list[Any]) -> None:
        """Log a list of audio clips (arrays or paths).

        Args:
            key: History key.
            audios: The audio clips.
            step: Value of ``trainer/global_step``.
            **kwargs: Arguments of ``Audio``, each a list with one item for each clip: ``sample_rate=[...]``.

        Raises:
            TypeError: ``audios`` is not a list.
            ValueError: A list in ``kwargs`` does not have one item for each clip.
        """
        self._log_media("audios", "Audio", key, audios, step, kwargs)

    @rank_zero_only
    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: list[Any]) -> None:
        """Log a list of videos (arrays or paths).

        Args:
            key: History key.
            videos: The videos.
            step: Value of ``trainer/global_step``.
            **kwargs: Arguments of ``Video``, each a list with one item for each video: ``fps=[...]``.

        Raises:
            TypeError: ``videos`` is not a list.
            ValueError: A list in ``kwargs`` does not have one item for each video.
        """
        self._log_media("videos", "Video", key, videos, step, kwargs)

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Log the new checkpoints now or in ``finalize``. Lightning calls this after each save."""
        if self._log_model == "all" or (self._log_model is True and checkpoint_callback.save_top_k == -1):
            self._log_checkpoints(checkpoint_callback)
        elif self._log_model is True:
            self._checkpoint_callbacks[id(checkpoint_callback)] = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log the checkpoints that remain. Lightning calls this at the end of training.

        The run stays active, so the script can log more. After a failed training (also after Ctrl-C), the run
        fails at the end of the script, unless the script logs something later. After ``sys.exit``, the exit
        status of the process decides whether the run fails.

        Args:
            status: ``"success"``, or the status of a failed training.
        """
        if self._experiment is None:
            return
        if status == "success":
            for callback in self._checkpoint_callbacks.values():
                self._log_checkpoints(callback)
        elif not isinstance(sys.exc_info()[1], SystemExit):
            active_runs.note_failure(f"Trainer: {status}")

    @staticmethod
    @rank_zero_only
    def download_artifact(
        artifact: str,
        save_dir: str | os.PathLike[str] | None = None,
        artifact_type: str | None = None,
        use_artifact: bool | None = True,
    ) -> str:
        """Download an artifact and return the path of its folder.

        Args:
            artifact: ``[[entity/]project/]name[:version|alias]``.
            save_dir: The folder to download to.
            artifact_type: Required type of the artifact, if given.
            use_artifact: Whether to record that the active run uses the artifact.
        """
        running = active_runs.current_of_this_process()
        if use_artifact and running is not None:
            return running.use_artifact(artifact, artifact_type).download(save_dir)
        from tracker.api.api import Api

        return Api().artifact(artifact, artifact_type).download(save_dir)

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Artifact:
        """Return an artifact and record that the run uses it."""
        run: Run = self.experiment
        return run.use_artifact(artifact, artifact_type)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process (ddp_spawn) continues the run. As in Lightning's logger, the run starts
        # here, so that this process logs to the same run after training.
        run = self.experiment
        state = {**self.__dict__, "_experiment": None}
        if isinstance(run, Run):
            state["_arguments"] = {**self._arguments, "id": run.id}
            state["_attach_id"] = run._attach_id
        return state

    def _prefixed(self, key: str) -> str:
        return f"{self._prefix}{self.LOGGER_JOIN_CHAR}{key}" if self._prefix else key

    def _log_media(
        self, what: str, kind: str, key: str, items: Any, step: int | None, options: dict[str, list[Any]]
    ) -> None:
        if not isinstance(items, list):
            raise TypeError(f'Expected a list as "{what}", found {type(items)}')
        for name, values in options.items():
            if len(values) != len(items):
                raise ValueError(f"Expected {len(items)} items but only found {len(values)} for {name}")
        import tracker

        make = getattr(tracker, kind)
        made = [
            make(item, **{name: values[at] for name, values in options.items()})
            for at, item in enumerate(items)
        ]
        self.log_metrics({key: made}, step)

    def _log_checkpoints(self, callback: ModelCheckpoint) -> None:
        if not self._checkpoint_name:
            self._checkpoint_name = f"model-{self.experiment.id}"
        for artifact, aliases in artifacts_of(
            callback, self._logged_at, self._checkpoint_name, self.add_file_policy
        ):
            self.experiment.log_artifact(artifact, aliases=aliases)


def _config_values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters as config values. A value without a plain form becomes text.

    Functions and classes are converted as Lightning's own logger converts them.
    """
    return {str(key): _to_config(_resolved(value)) for key, value in params.items()}


def _to_config(value: Any) -> Any:
    try:
        return config_value(value)
    except TypeError:
        return to_plain(value, repr)


def _resolved(value: Any) -> Any:
    """Return the value that is stored for a hyperparameter.

    A class becomes its name, and a dataclass a dict. A function is called without arguments and becomes the
    returned value. It becomes its name if the call fails or returns another function. Other values stay
    unchanged.
    """
    if isinstance(value, type):
        return value.__name__
    if is_dataclass(value):
        return asdict(value)  # type: ignore[arg-type]
    if not callable(value) or hasattr(value, "state_dict"):  # a torch module is callable
        return value
    try:
        made = value()
    except Exception as error:
        logs.log(logs.INFO, "calling a hyperparameter failed: its name is logged", error)
        return getattr(value, "__name__", None)
    return getattr(value, "__name__", None) if callable(made) else made
