"""``tracker.log`` and its like: the active run's methods as functions of the module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from tracker.errors import Error
from tracker.records import MetricDefined
from tracker.sdk import active
from tracker.sdk.run import Run

if TYPE_CHECKING:
    from torch.nn import Module

    from tracker.artifacts.artifact import Artifact


def log(data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log to the active run; see ``Run.log``. Raises Error before ``init``."""
    _run("log").log(data, step, commit)


def finish(exit_code: int | None = None) -> None:
    """End the active run; without one, do nothing (as wandb)."""
    if active.current is not None:
        active.current.finish(exit_code)


def define_metric(name: str, **options: Any) -> MetricDefined:
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


def use_artifact(artifact_or_name: Artifact | str, type: str | None = None) -> Artifact:
    """Find an artifact for the active run; see ``Run.use_artifact``. Raises Error before ``init``."""
    return _run("use_artifact").use_artifact(artifact_or_name, type)


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


def live(name: str) -> Any:
    """Return ``tracker.run``, ``tracker.config`` or ``tracker.summary`` as they are now."""
    if name == "run":
        return active.current
    return getattr(_run(name), name)


def _run(what: str) -> Run:
    if active.current is None:
        call = f"wandb.{what}" if what in ("config", "summary") else f"wandb.{what}()"
        raise Error(f"You must call wandb.init() before {call}")
    return active.current
