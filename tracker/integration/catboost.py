"""CatBoost: ``from wandb.integration.catboost import WandbCallback, log_summary``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tracker.errors import Error
from tracker.integration.boosting import importance_chart, log_model, run_for


class WandbCallback:
    """A callback that logs evaluation results as ``DATA-METRIC``, with ``iteration@metric-period-N``.

    Args:
        metric_period: N in the key of the iteration. It has no other effect: CatBoost's own parameter
            determines how often metrics are computed (wandb: ``integration/catboost/catboost.py``).

    Raises:
        Error: There is no active run.
    """

    def __init__(self, metric_period: int = 1) -> None:
        run_for("WandbCallback")
        self.metric_period = metric_period
        self._values = 0

    def after_iteration(self, info: SimpleNamespace) -> bool:
        """Log a row if there are new values, and return True, so that the training continues."""
        values = sum(len(each) for metrics in info.metrics.values() for each in metrics.values())
        if values > self._values:
            self._values = values
            row = {
                f"{data}-{name}": each[-1]
                for data, metrics in info.metrics.items()
                for name, each in metrics.items()
            }
            row[f"iteration@metric-period-{self.metric_period}"] = info.iteration
            run_for("WandbCallback").log(row)
        return True


def log_summary(
    model: Any,
    log_all_params: bool = True,
    save_model_checkpoint: bool = False,
    log_feature_importance: bool = True,
) -> None:
    """Log ``best_iteration`` and ``best_score`` of a trained model to the summary.

    Args:
        model: A ``CatBoostClassifier`` or ``CatBoostRegressor``.
        log_all_params: Whether to add the model's parameters to the config.
        save_model_checkpoint: Whether to log the model as artifact ``model_ID``.
        log_feature_importance: Whether to log a bar chart ``Feature Importance``.

    Raises:
        Error: There is no active run, or the model has another type.
    """
    from catboost import CatBoostClassifier, CatBoostRegressor

    run = run_for("log_summary")
    if not isinstance(model, (CatBoostClassifier, CatBoostRegressor)):
        raise Error("Model should be an instance of CatBoostClassifier or CatBoostRegressor")
    parameters = model.get_all_params()
    if log_all_params:
        run.config.update(parameters)
    run.summary["best_iteration"] = model.get_best_iteration()
    run.summary["best_score"] = model.get_best_score()
    if save_model_checkpoint:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            model.save_model(str(path))
            log_model(run, f"model_{run.id}", path, ["best" if parameters.get("use_best_model") else "last"])
    if log_feature_importance:
        table = model.get_feature_importance(prettified=True)
        rows = [
            [name, float(value)]
            for name, value in zip(table["Feature Id"], table["Importances"], strict=True)
        ]
        run.log({"Feature Importance": importance_chart(rows)}, commit=False)
