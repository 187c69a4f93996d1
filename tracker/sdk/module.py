"""``tracker.log`` and its like: the active run's methods as functions of the module."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TextIO

from tracker.errors import Error
from tracker.sdk.process import active
from tracker.sdk.run.define import Metric
from tracker.sdk.run.run import Run

if TYPE_CHECKING:
    from datetime import timedelta

    from torch.nn import Module

    from tracker.artifacts.artifact import Artifact
    from tracker.sdk.run.alerts import AlertLevel


def log(data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log to the active run; see ``Run.log``. Raises Error before ``init``."""
    _run("log").log(data, step, commit)


def finish(exit_code: int | None = None) -> None:
    """End the active run; without one, do nothing (as wandb)."""
    if active.current is not None:
        active.current.finish(exit_code)


def pin_config_keys(keys: Sequence[str] = ()) -> None:
    """Name config keys of the active run; see ``Run.pin_config_keys``. Raises Error before ``init``."""
    _run("pin_config_keys").pin_config_keys(keys)


def define_metric(name: str, **options: Any) -> Metric:
    """Define a metric of the active run; see ``Run.define_metric``. Raises Error before ``init``."""
    return _run("define_metric").define_metric(name, **options)


def log_artifact(
    artifact_or_path: Artifact | str,
    name: str | None = None,
    type: str | None = None,
    aliases: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> Artifact:
    """Log an artifact to the active run; see ``Run.log_artifact``. Raises Error before ``init``."""
    return _run("log_artifact").log_artifact(artifact_or_path, name, type, aliases, tags)


def use_artifact(
    artifact_or_name: Artifact | str,
    type: str | None = None,
    aliases: Sequence[str] | None = None,
    use_as: str | None = None,
) -> Artifact:
    """Find an artifact for the active run; see ``Run.use_artifact``. Raises Error before ``init``."""
    return _run("use_artifact").use_artifact(artifact_or_name, type, aliases, use_as)


def link_artifact(artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
    """Link an artifact into another collection; see ``Run.link_artifact``. Raises Error before ``init``."""
    return _run("link_artifact").link_artifact(artifact, target_path, aliases)


def log_model(path: str, name: str | None = None, aliases: Sequence[str] | None = None) -> None:
    """Log a model to the active run; see ``Run.log_model``. Raises Error before ``init``."""
    _run("log_model").log_model(path, name, aliases)


def use_model(name: str) -> str:
    """Download a model for the active run; see ``Run.use_model``. Raises Error before ``init``."""
    return _run("use_model").use_model(name)


def link_model(
    path: str,
    registered_model_name: str,
    name: str | None = None,
    aliases: Sequence[str] | None = None,
) -> Artifact:
    """Log a model and link it to a registered one; see ``Run.link_model``. Raises Error before ``init``."""
    return _run("link_model").link_model(path, registered_model_name, name, aliases)


def watch(
    models: Module | Sequence[Module],
    criterion: Any = None,
    log: Literal["gradients", "parameters", "all"] | None = "gradients",
    log_freq: int = 1000,
    idx: int | None = None,
    log_graph: bool = False,
) -> None:
    """Watch models in the active run; see ``Run.watch``. Raises Error before ``init``."""
    _run("watch").watch(models, criterion, log, log_freq, idx, log_graph)


def unwatch(models: Module | Sequence[Module] | None = None) -> None:
    """Stop watching models; see ``Run.unwatch``. Raises Error before ``init``."""
    _run("unwatch").unwatch(models)


def save(
    glob_str: str | os.PathLike[str],
    base_path: str | os.PathLike[str] | None = None,
    policy: Literal["live", "now", "end"] = "live",
    glob: bool = True,
) -> bool | list[str]:
    """Save files with the active run; see ``Run.save``. Raises Error before ``init``."""
    return _run("save").save(glob_str, base_path, policy, glob)


def restore(
    name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
) -> TextIO | None:
    """Fetch a file of a run and open it; see ``Run.restore``.

    Without an active run ``run_path`` is needed, and ``root`` is the working folder unless given.

    Raises:
        ValueError: There is no active run, and no ``run_path``.
    """
    run = active.current
    if run is not None and (not run.disabled or run_path is None):
        return run.restore(name, run_path, replace, root)
    if run_path is None:
        raise ValueError("run_path required when calling wandb.restore before wandb.init")
    from tracker.ground.settings import load_settings
    from tracker.sdk.run.restoring import restore_file

    return restore_file(load_settings(), name, run_path, replace, root or os.getcwd())


def alert(
    title: str,
    text: str,
    level: str | AlertLevel | None = None,
    wait_duration: float | timedelta | None = None,
) -> None:
    """Raise an alert of the active run; see ``Run.alert``. Raises Error before ``init``."""
    _run("alert").alert(title, text, level, wait_duration)


def log_code(
    root: str | None = ".",
    name: str | None = None,
    include_fn: Callable[[str, str], bool] | Callable[[str], bool] | None = None,
    exclude_fn: Callable[[str, str], bool] | Callable[[str], bool] | None = None,
) -> Artifact | None:
    """Log source files of the active run; see ``Run.log_code``. Raises Error before ``init``."""
    return _run("log_code").log_code(root, name, include_fn, exclude_fn)


def mark_preempting() -> None:
    """Say that this machine may be taken away; see ``Run.mark_preempting``. Raises Error before ``init``."""
    _run("mark_preempting").mark_preempting()


def join(exit_code: int | None = None) -> None:
    """End the active run; what older scripts call ``finish``."""
    finish(exit_code)


class Early:
    """``tracker.config`` or ``tracker.summary`` before ``init``: any use raises Error, as in wandb."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getitem__(self, key: str) -> Any:
        raise self._error(f"[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        raise self._error(f"[{key!r}]")

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        raise self._error(f".{key}")

    def __setattr__(self, key: str, value: Any) -> None:
        raise self._error(f".{key}")

    def __bool__(self) -> bool:
        return True

    def _error(self, use: str) -> Error:
        name = object.__getattribute__(self, "_name")
        return Error(f"You must call wandb.init() before wandb.{name}{use}")


_early = {name: Early(name) for name in ("config", "summary")}


def live(name: str) -> Any:
    """Return ``tracker.run``, ``tracker.config`` or ``tracker.summary`` as they are now."""
    if name == "run":
        return active.current
    return _early[name] if active.current is None else getattr(active.current, name)


def _run(what: str) -> Run:
    if active.current is None:
        raise Error(f"You must call wandb.init() before wandb.{what}()")
    return active.current
