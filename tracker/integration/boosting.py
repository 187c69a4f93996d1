"""What the callbacks of xgboost and lightgbm share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.artifacts.artifact import Artifact
from tracker.data_types.table import Table
from tracker.errors import Error
from tracker.sdk.process import active_runs
from tracker.sdk.run.run import Run


def run_for(what: str) -> Run:
    """Return the active run.

    Raises:
        Error: There is none.
    """
    if active_runs.current is None:
        raise Error(f"You must call wandb.init() before {what}()")
    return active_runs.current


def define_best(run: Run, key: str, metric: str, smaller: frozenset[str], larger: frozenset[str]) -> None:
    """Have the summary of a metric show its best value, where it is known which that is."""
    name = metric.lower()
    if "loss" in name or name in smaller:
        run.define_metric(key, summary="min")
    elif name in larger:
        run.define_metric(key, summary="max")


def importance_chart(importance: list[list[Any]]) -> Any:
    """Return a bar chart of rows of feature and importance."""
    import tracker

    table = Table(columns=["Feature", "Importance"], data=importance)
    return tracker.plot.bar(table, "Feature", "Importance", title="Feature Importance")


def log_model(run: Run, name: str, path: Path, aliases: list[str] | None = None) -> None:
    """Log a model's file as an artifact."""
    artifact = Artifact(name, type="model")
    artifact.add_file(str(path))
    run.log_artifact(artifact, aliases=aliases)
