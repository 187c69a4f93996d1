"""LightGBM: ``from wandb.integration.lightgbm import wandb_callback, log_summary``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm

from tracker.errors import Error
from tracker.integration.boosting import define_best, importance_chart, log_model, run_for

MINIMIZE_METRICS = frozenset(
    {"l1", "l2", "rmse", "mape", "huber", "fair", "poisson", "gamma", "binary_logloss"}
)
MAXIMIZE_METRICS = frozenset({"map", "auc", "average_precision"})


class _Callback:
    # LightGBM reads these two attributes.
    order = 20
    before_iteration = False

    def __init__(self, log_params: bool, define_metric: bool) -> None:
        self._log_params = log_params
        self._define_metric = define_metric

    def __call__(self, env: Any) -> None:
        run = run_for("wandb_callback")
        values = [value for item in env.evaluation_result_list or () for value in _values(item)]
        if env.iteration == env.begin_iteration:
            if self._log_params:
                run.config.update(env.params)
            if self._define_metric:
                for data, metric, _ in values:
                    define_best(run, f"{data}_{metric}", metric, MINIMIZE_METRICS, MAXIMIZE_METRICS)
        row = {f"{data}_{metric}": value for data, metric, value in values}
        run.log({**row, "iteration": env.iteration})


def wandb_callback(log_params: bool = True, define_metric: bool = True) -> Callable[[Any], None]:
    """Return a callback for ``lightgbm.train`` that logs each round as ``DATA_METRIC`` with ``iteration``.

    With ``lightgbm.cv`` the keys are ``DATA_METRIC-mean`` and ``DATA_METRIC-stdv``.

    Args:
        log_params: Whether to add the training parameters to the config.
        define_metric: Whether the summary contains the best value of each metric instead of the last.
    """
    return _Callback(log_params, define_metric)


def log_summary(model: Any, feature_importance: bool = True, save_model_checkpoint: bool = False) -> None:
    """Log ``best_iteration`` and ``best_score`` of a trained model to the summary.

    Args:
        model: The ``lightgbm.Booster``.
        feature_importance: Whether to log a bar chart ``Feature Importance``.
        save_model_checkpoint: Whether to log the model as artifact ``model_ID`` with the alias ``best``.

    Raises:
        Error: There is no active run, or ``model`` is not a booster.
    """
    run = run_for("log_summary")
    if not isinstance(model, lightgbm.Booster):
        raise Error("Model should be an instance of lightgbm.basic.Booster")
    run.summary["best_iteration"] = model.best_iteration
    run.summary["best_score"] = model.best_score
    if feature_importance:
        rows = zip(model.feature_name(), model.feature_importance().tolist(), strict=True)
        run.log({"Feature Importance": importance_chart([list(row) for row in rows])}, commit=False)
    if save_model_checkpoint:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model_ckpt_{model.best_iteration}.txt"
            model.save_model(path, num_iteration=model.best_iteration)
            log_model(run, f"model_{run.id}", path, ["best"])


def _values(item: tuple[Any, ...]) -> list[tuple[str, str, Any]]:
    """Return tuples of data set, metric and value for one evaluation result of LightGBM."""
    if len(item) == 4:
        return [item[:3]]
    # lightgbm.cv gives mean and deviation over the folds. Before 4.7, the second item is "DATA METRIC".
    data, metric = item[1].split() if " " in item[1] else item[:2]
    return [(data, f"{metric}-mean", item[2]), (data, f"{metric}-stdv", item[4])]
