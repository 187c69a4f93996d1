"""scikit-learn: ``wandb.sklearn.plot_confusion_matrix`` and its like: charts of what a model does.

Each logs one chart to the active run, under the key that is its name without ``plot_``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.data_types.table import Table
from tracker.errors import Error, UnsupportedError
from tracker.plot.curves import pr_curve, roc_curve
from tracker.plot.custom_chart import visualize
from tracker.sdk import active
from tracker.terminal import say

_UNSUPPORTED = {
    "plot_calibration_curve": "log `sklearn.calibration.calibration_curve` with `wandb.plot.line`",
    "plot_classifier": "call plot_confusion_matrix, plot_roc and the other plots one by one",
    "plot_clusterer": "log the score for each number of clusters with `run.log`",
    "plot_elbow_curve": "log the score for each number of clusters with `run.log`",
    "plot_outlier_candidates": "log Cook's distances with `wandb.plot.scatter`",
    "plot_regressor": "call plot_summary_metrics, and log residuals with `wandb.plot.scatter`",
    "plot_residuals": "log residuals with `wandb.plot.scatter`",
    "plot_silhouette": "log `sklearn.metrics.silhouette_samples` with `wandb.plot.bar`",
}


def plot_roc(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    plot_macro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log receiver operating characteristics as ``roc``.

    Args:
        y_true: The true class of each sample.
        y_probas: Probabilities of shape (samples, classes).
        labels: Names of the classes, by number.
        plot_micro: Accepted for compatibility, as in wandb.
        plot_macro: Likewise.
        classes_to_plot: Only these classes.
    """
    _log("roc", roc_curve(y_true, y_probas, labels, classes_to_plot))


def plot_precision_recall(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log precision by recall as ``precision_recall``; arguments as of ``plot_roc``."""
    _log("precision_recall", pr_curve(y_true, y_probas, labels, classes_to_plot))


def plot_confusion_matrix(
    y_true: Any = None,
    y_pred: Any = None,
    labels: Sequence[str] | None = None,
    true_labels: Sequence[Any] | None = None,
    pred_labels: Sequence[Any] | None = None,
    normalize: bool = False,
) -> None:
    """Log as ``confusion_matrix`` how often each class was taken for each: Predicted, Actual, Count.

    wandb swaps Predicted and Actual here (not in ``wandb.plot.confusion_matrix``).

    Args:
        y_true: The true class of each sample.
        y_pred: The predicted class of each sample.
        labels: Names of the classes, by number.
        true_labels: Only these true classes.
        pred_labels: Only these predicted classes.
        normalize: Parts of each true class's samples, to two digits, instead of counts.
    """
    if not _given("plot_confusion_matrix", y_true=y_true, y_pred=y_pred):
        return
    from sklearn.metrics import confusion_matrix
    from sklearn.utils.multiclass import unique_labels

    classes = unique_labels(y_true, y_pred).tolist()
    counts = confusion_matrix(y_true, y_pred, labels=classes)
    if normalize:
        sums = counts.sum(axis=1, keepdims=True)
        counts = np.around(np.divide(counts, sums, out=np.zeros(counts.shape), where=sums > 0), 2)
    rows = [
        [_named(predicted, labels), _named(actual, labels), counts[row, column].item()]
        for row, actual in enumerate(classes)
        for column, predicted in enumerate(classes)
        if (true_labels is None or actual in true_labels)
        and (pred_labels is None or predicted in pred_labels)
    ]
    table = Table(columns=["Predicted", "Actual", "Count"], data=rows)
    _log("confusion_matrix", visualize("wandb/confusion_matrix/v1", table))


def plot_feature_importances(model: Any = None, feature_names: Sequence[str] | None = None) -> None:
    """Log a fitted model's feature importances as ``feature_importances``, the largest first.

    Args:
        model: A model with ``feature_importances_``, ``feature_log_prob_`` or ``coef_`` of one row.
        feature_names: Names of the features; their numbers unless given.
    """
    if not _given("plot_feature_importances", model=model):
        return
    for name in ("feature_importances_", "feature_log_prob_", "coef_"):
        if hasattr(model, name):
            importances = np.squeeze(np.asarray(getattr(model, name)))
            break
    else:
        say(f"plot_feature_importances: {type(model).__name__} has no feature importances")
        return
    if importances.ndim > 1:
        say(f"plot_feature_importances: importances of shape {importances.shape} are not plotted")
        return
    order = np.argsort(np.atleast_1d(importances))[::-1].tolist()
    rows = [
        [at if feature_names is None else feature_names[at], float(np.atleast_1d(importances)[at])]
        for at in order
    ]
    table = Table(columns=["feature_names", "importances"], data=rows)
    _log("feature_importances", visualize("wandb/feature_importances/v1", table))


def plot_class_proportions(
    y_train: Any = None, y_test: Any = None, labels: Sequence[str] | None = None
) -> None:
    """Log how many samples each class has in training and in test as ``class_proportions``.

    Args:
        y_train: The class of each sample in training.
        y_test: The same in test; may be left out.
        labels: Names of the classes, by number.
    """
    if not _given("plot_class_proportions", y_train=y_train):
        return
    sets = [("train", np.asarray(y_train)), ("test", np.asarray([] if y_test is None else y_test))]
    classes = np.unique(np.concatenate([values for _, values in sets if values.size])).tolist()
    rows = [
        [_named(each, labels), name, int((values == each).sum())] for each in classes for name, values in sets
    ]
    table = Table(columns=["class", "dataset", "count"], data=rows)
    _log("class_proportions", visualize("wandb/class_proportions/v1", table))


def plot_summary_metrics(
    model: Any = None, X: Any = None, y: Any = None, X_test: Any = None, y_test: Any = None
) -> None:
    """Log a fitted model's scores in test as ``summary_metrics``, to two digits.

    Args:
        model: A classifier (accuracy, precision, recall, F1) or a regressor (MAE, MSE, R2).
        X: Accepted for compatibility, as in wandb.
        y: Likewise.
        X_test: Features, of shape (samples, features).
        y_test: The true values.
    """
    if not _given("plot_summary_metrics", model=model, X_test=X_test, y_test=y_test):
        return
    from sklearn import metrics
    from sklearn.base import is_classifier

    predicted = model.predict(X_test)
    if is_classifier(model):
        scores = {
            "accuracy_score": metrics.accuracy_score(y_test, predicted),
            "precision": metrics.precision_score(y_test, predicted, average="weighted"),
            "recall": metrics.recall_score(y_test, predicted, average="weighted"),
            "f1_score": metrics.f1_score(y_test, predicted, average="weighted"),
        }
    else:
        scores = {
            "mae": metrics.mean_absolute_error(y_test, predicted),
            "mse": metrics.mean_squared_error(y_test, predicted),
            "r2_score": metrics.r2_score(y_test, predicted),
        }
    rows = [[name, round(float(score), 2), type(model).__name__] for name, score in scores.items()]
    table = Table(columns=["metric_name", "metric_value", "model_name"], data=rows)
    _log("summary_metrics", visualize("wandb/metrics/v1", table))


def plot_learning_curve(
    model: Any = None,
    X: Any = None,
    y: Any = None,
    cv: Any = None,
    shuffle: bool = False,
    random_state: int | None = None,
    train_sizes: Any = None,
    n_jobs: int = 1,
    scoring: Any = None,
) -> None:
    """Log scores by the number of training samples as ``learning_curve``; fits the model for each number.

    Args:
        model: A model.
        X: Features, of shape (samples, features).
        y: The true values.
        cv: As for ``sklearn.model_selection.learning_curve``, and so are the others.
        shuffle: Likewise.
        random_state: Likewise.
        train_sizes: Likewise; five sizes from a tenth to all unless given.
        n_jobs: Likewise.
        scoring: Likewise.
    """
    if not _given("plot_learning_curve", model=model, X=X, y=y):
        return
    from sklearn.model_selection import learning_curve

    sizes, *scores = learning_curve(
        model,
        X,
        y,
        cv=cv,
        n_jobs=n_jobs,
        train_sizes=np.linspace(0.1, 1.0, 5) if train_sizes is None else train_sizes,
        scoring=scoring,
        shuffle=shuffle,
        random_state=random_state,
    )
    means = [np.mean(each, axis=1) for each in scores]
    rows = [
        [name, round(float(values[at]), 2), int(size)]
        for at, size in enumerate(sizes)
        for name, values in zip(("train", "test"), means, strict=True)
    ]
    table = Table(columns=["dataset", "score", "train_size"], data=rows)
    _log("learning_curve", visualize("wandb/learning_curve/v1", table))


def __getattr__(name: str) -> Any:
    if name in _UNSUPPORTED:
        raise UnsupportedError(f"wandb.sklearn.{name}", _UNSUPPORTED[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _log(key: str, chart: Any) -> None:
    if active.current is None:
        raise Error("You must call wandb.init() before wandb.sklearn plots")
    if chart is not None:
        active.current.log({key: chart})


def _given(plot: str, **values: Any) -> bool:
    missing = [name for name, value in values.items() if value is None]
    if missing:
        say(f"{plot}: {', '.join(missing)} is missing: nothing is plotted")
    return not missing


def _named(each: Any, labels: Sequence[str] | None) -> Any:
    return labels[each] if labels is not None and isinstance(each, int) else each
