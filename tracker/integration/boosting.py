"""Shared functions of the callbacks for XGBoost, LightGBM and CatBoost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.artifacts.artifact import Artifact
from tracker.data_types.table import Table
from tracker.errors import Error
from tracker.sdk.process import active_runs
from tracker.sdk.run.run import Run


def run_for(what: str) -> Run:
    """Return the active run; ``what`` is the caller's name for the error message.

    Raises:
        Error: There is no active run.
    """
    if active_runs.current is None:
        raise Error(f"You must call wandb.init() before {what}()")
    return active_runs.current


def define_best(run: Run, key: str, metric: str, smaller: frozenset[str], larger: frozenset[str]) -> None:
    """Make the summary of a metric its best value, if smaller or larger values are known to be better.

    Args:
        run: The run.
        key: History key of the metric.
        metric: Name of the metric in the library.
        smaller: Metrics for which smaller values are better.
        larger: Metrics for which larger values are better.
    """
    name = metric.lower()
    if "loss" in name or name in smaller:
        run.define_metric(key, summary="min")
    elif name in larger:
        run.define_metric(key, summary="max")


def importance_chart(importance: list[list[Any]]) -> Any:
    """Return a bar chart of rows ``[feature, importance]``."""
    import tracker

    table = Table(columns=["Feature", "Importance"], data=importance)
    return tracker.plot.bar(table, "Feature", "Importance", title="Feature Importance")


def log_model(run: Run, name: str, path: Path, aliases: list[str] | None = None) -> None:
    """Log a model file as an artifact.

    Args:
        run: The run.
        name: Name of the artifact.
        path: The file.
        aliases: Aliases of the version.
    """
    artifact = Artifact(name, type="model")
    artifact.add_file(str(path))
    run.log_artifact(artifact, aliases=aliases)
