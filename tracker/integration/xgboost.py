"""XGBoost: ``from wandb.integration.xgboost import WandbCallback``."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xgboost.callback

from tracker.integration.boosting import define_best, importance_chart, log_model, run_for

MINIMIZE_METRICS = frozenset(
    {"rmse", "rmsle", "mae", "mape", "mphe", "logloss", "error", "error@t", "merror"}
)
MAXIMIZE_METRICS = frozenset({"auc", "aucpr", "ndcg", "map", "ndcg@n", "map@n"})


class WandbCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """A callback that logs evaluation results as ``DATA-METRIC`` with ``epoch``, and settings to the config.

    Args:
        log_model: Whether to log the trained model as artifact ``ID_model.json`` of type ``model``.
        log_feature_importance: Whether to log a bar chart ``Feature Importance`` at the end.
        importance_type: ``"weight"``, ``"gain"``, ``"cover"``, ``"total_gain"`` or ``"total_cover"``.
        define_metric: Whether the summary contains the best value of each metric instead of the last.

    Raises:
        Error: There is no active run.
    """

    def __init__(
        self,
        log_model: bool = False,
        log_feature_importance: bool = True,
        importance_type: str = "gain",
        define_metric: bool = True,
    ) -> None:
        super().__init__()
        run_for("WandbCallback")
        self.log_model = log_model
        self.log_feature_importance = log_feature_importance
        self.importance_type = importance_type
        self.define_metric = define_metric
        self._defined: set[str] = set()

    def before_training(self, model: Any) -> Any:
        """Log the settings of the booster to the config. XGBoost calls this before training."""
        run_for("WandbCallback").config.update(json.loads(model.save_config()))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, list[Any]]]) -> bool:
        """Log one row and return False, so that the training continues. XGBoost calls this after each round.

        Args:
            model: The booster.
            epoch: Number of the round.
            evals_log: Values of all rounds by data set and metric.
        """
        run = run_for("WandbCallback")
        row: dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                key = f"{data}-{metric}"
                if self.define_metric and key not in self._defined:
                    self._defined.add(key)
                    define_best(run, key, metric, MINIMIZE_METRICS, MAXIMIZE_METRICS)
                row[key] = values[-1]
        run.log({**row, "epoch": epoch})
        return False

    def after_training(self, model: Any) -> Any:
        """Log the model, its feature importance and its best score. XGBoost calls this at the end."""
        run = run_for("WandbCallback")
        if self.log_model:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{run.id}_model.json"
                model.save_model(str(path))
                log_model(run, path.name, path)
        if self.log_feature_importance:
            scores = model.get_score(importance_type=self.importance_type)
            run.log({"Feature Importance": importance_chart([[name, scores[name]] for name in scores])})
        if model.attr("best_score") is not None:
            run.log(
                {
                    "best_score": float(model.attr("best_score")),
                    "best_iteration": int(model.attr("best_iteration")),
                }
            )
        return model


def wandb_callback() -> Callable[[Any], None]:
    """Return a callback in XGBoost's old style. Use ``WandbCallback`` instead."""
    warnings.warn(
        "wandb_callback will be deprecated in favor of WandbCallback. Please use WandbCallback for more "
        "features.",
        UserWarning,
        stacklevel=2,
    )

    def callback(env: Any) -> None:
        run_for("wandb_callback").log(dict(env.evaluation_result_list))

    return callback
