"""The peer mlflow with its SQLite store, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import walk

BATCH = 1000


def begin(folder: Path, run: str) -> tuple[Callable[[dict[str, float], int], Any], Callable[[], Any]]:
    """Import mlflow and start a run. System metrics are off by default."""
    mlflow = _connect(folder)
    mlflow.set_experiment("benchmark")
    mlflow.start_run(run_name=run)
    return (lambda row, step: mlflow.log_metrics(row, step=step)), mlflow.end_run


def log_series(folder: Path, run: str, steps: int) -> None:
    """Log one metric in batches, because only the reading is measured."""
    mlflow = _connect(folder)
    import time

    from mlflow.entities import Metric

    mlflow.set_experiment("benchmark")
    begun = mlflow.start_run(run_name=run)
    client = mlflow.MlflowClient()
    batch = []
    for step, value in enumerate(walk(steps)):
        batch.append(Metric("loss", value, int(time.time() * 1000), step))
        if len(batch) == BATCH or step == steps - 1:
            client.log_batch(begun.info.run_id, metrics=batch)
            batch = []
    mlflow.end_run()


def read(folder: Path, run: str, key: str) -> int:
    """Read a metric with ``get_metric_history``; return the number of values."""
    mlflow = _connect(folder)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("benchmark")
    found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{run}'")[0]
    return len(client.get_metric_history(found.info.run_id, key))


def _connect(folder: Path) -> Any:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    return mlflow
