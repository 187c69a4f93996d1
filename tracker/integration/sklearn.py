"""Charts of scikit-learn models, such as ``wandb.sklearn.plot_confusion_matrix``.

Each function logs one chart to the active run. The history key is its name without ``plot_``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.ground.terminal import say
from tracker.integration.model_charts import is_given, log_chart, log_table
from tracker.integration.sklearn_fitting import (
    plot_calibration_curve,
    plot_elbow_curve,
    plot_outlier_candidates,
    plot_residuals,
    plot_silhouette,
)
from tracker.plot.curves import pr_curve, roc_curve

__all__ = [
    "plot_calibration_curve",
    "plot_class_proportions",
    "plot_classifier",
    "plot_clusterer",
    "plot_confusion_matrix",
    "plot_elbow_curve",
    "plot_feature_importances",
    "plot_learning_curve",
    "plot_outlier_candidates",
    "plot_precision_recall",
    "plot_regressor",
    "plot_residuals",
    "plot_roc",
    "plot_silhouette",
    "plot_summary_metrics",
]


def plot_roc(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    plot_macro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log ROC curves as ``roc``.

    Args:
        y_true: The true class of each sample.
        y_probas: Probabilities of shape (samples, classes).
        labels: Names of the classes, by class number.
        plot_micro: Accepted for compatibility.
        plot_macro: Accepted for compatibility.
        classes_to_plot: The classes to plot; all by default.
    """
    log_chart("roc", roc_curve(y_true, y_probas, labels, classes_to_plot))


def plot_precision_recall(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log precision-recall curves as ``precision_recall``. See ``plot_roc`` for the arguments."""
    log_chart("precision_recall", pr_curve(y_true, y_probas, labels, classes_to_plot))


def plot_confusion_matrix(
    y_true: Any = None,
    y_pred: Any = None,
    labels: Sequence[str] | None = None,
    true_labels: Sequence[Any] | None = None,
    pred_labels: Sequence[Any] | None = None,
    normalize: bool = False,
) -> None:
    """Log a confusion matrix as ``confusion_matrix``, with columns Predicted, Actual and Count.

    wandb swaps Predicted and Actual here, but not in ``wandb.plot.confusion_matrix``.

    Args:
        y_true: The true class of each sample.
        y_pred: The predicted class of each sample.
        labels: Names of the classes, by class number.
        true_labels: The true classes to plot; all by default.
        pred_labels: The predicted classes to plot; all by default.
        normalize: Whether to log fractions of each true class, to two digits, instead of counts.
    """
    if not is_given("plot_confusion_matrix", y_true=y_true, y_pred=y_pred):
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
    log_table("confusion_matrix", "wandb/confusion_matrix/v1", ["Predicted", "Actual", "Count"], rows)


def plot_feature_importances(model: Any = None, feature_names: Sequence[str] | None = None) -> None:
    """Log the feature importances of a fitted model as ``feature_importances``, the largest first.

    Args:
        model: A model with ``feature_importances_``, ``feature_log_prob_`` or ``coef_`` of one row.
        feature_names: Names of the features; their numbers by default.
    """
    if not is_given("plot_feature_importances", model=model):
        return
    for name in ("feature_importances_", "feature_log_prob_", "coef_"):
        if hasattr(model, name):
            importances = np.squeeze(np.asarray(getattr(model, name)))
            break
    else:
        say(f"plot_feature_importances plots nothing: {type(model).__name__} has no feature importances")
        return
    if importances.ndim > 1:
        say(f"plot_feature_importances plots nothing: importances have the shape {importances.shape}")
        return
    order = np.argsort(np.atleast_1d(importances))[::-1].tolist()
    rows = [
        [at if feature_names is None else feature_names[at], float(np.atleast_1d(importances)[at])]
        for at in order
    ]
    log_table("feature_importances", "wandb/feature_importances/v1", ["feature_names", "importances"], rows)


def plot_class_proportions(
    y_train: Any = None, y_test: Any = None, labels: Sequence[str] | None = None
) -> None:
    """Log the number of training and test samples of each class as ``class_proportions``.

    Args:
        y_train: The class of each training sample.
        y_test: The class of each test sample; optional.
        labels: Names of the classes, by class number.
    """
    if not is_given("plot_class_proportions", y_train=y_train):
        return
    sets = [("train", np.asarray(y_train)), ("test", np.asarray([] if y_test is None else y_test))]
    classes = np.unique(np.concatenate([values for _, values in sets if values.size])).tolist()
    rows = [
        [_named(each, labels), name, int((values == each).sum())] for each in classes for name, values in sets
    ]
    log_table("class_proportions", "wandb/class_proportions/v1", ["class", "dataset", "count"], rows)


def plot_summary_metrics(
    model: Any = None, X: Any = None, y: Any = None, X_test: Any = None, y_test: Any = None
) -> None:
    """Log the scores of a fitted model on test data as ``summary_metrics``, to two digits.

    Args:
        model: A classifier (accuracy, precision, recall, F1) or a regressor (MAE, MSE, R2).
        X: Accepted for compatibility.
        y: Accepted for compatibility.
        X_test: Features of shape (samples, features).
        y_test: The true values.
    """
    if not is_given("plot_summary_metrics", model=model, X_test=X_test, y_test=y_test):
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
    log_table("summary_metrics", "wandb/metrics/v1", ["metric_name", "metric_value", "model_name"], rows)


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
    """Log scores by number of training samples as ``learning_curve``. The model is fitted for each number.

    Args:
        model: A model.
        X: Features of shape (samples, features).
        y: The true values.
        cv: See ``sklearn.model_selection.learning_curve``, also for the arguments below.
        shuffle: Whether to shuffle the samples.
        random_state: Seed of the shuffling.
        train_sizes: Numbers or fractions of samples. By default five, from a tenth to all samples.
        n_jobs: Number of processes.
        scoring: The score.
    """
    if not is_given("plot_learning_curve", model=model, X=X, y=y):
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
    log_table("learning_curve", "wandb/learning_curve/v1", ["dataset", "score", "train_size"], rows)


def plot_classifier(
    model: Any,
    X_train: Any,
    X_test: Any,
    y_train: Any,
    y_test: Any,
    y_pred: Any,
    y_probas: Any,
    labels: Sequence[str] | None,
    is_binary: bool = False,
    model_name: str = "Classifier",
    feature_names: Sequence[str] | None = None,
    log_learning_curve: bool = False,
) -> None:
    """Log all charts of a classifier, from feature importances to precision-recall curves.

    Args:
        model: A fitted classifier.
        X_train: Features of training samples, of shape (samples, features).
        X_test: Features of test samples.
        y_train: The class of each training sample.
        y_test: The class of each test sample.
        y_pred: The predicted class of each test sample.
        y_probas: Predicted probabilities of the test samples, of shape (samples, classes).
        labels: Names of the classes, by class number.
        is_binary: Accepted for compatibility.
        model_name: Name of the model in the calibration curve.
        feature_names: Names of the features.
        log_learning_curve: Whether to log the learning curve too, which fits the model many times.
    """
    from sklearn.naive_bayes import MultinomialNB

    if not isinstance(model, MultinomialNB):
        plot_feature_importances(model, feature_names)
    if log_learning_curve:
        plot_learning_curve(model, X_train, y_train)
    plot_confusion_matrix(y_test, y_pred, labels)
    plot_summary_metrics(model, X_train, y_train, X_test, y_test)
    plot_class_proportions(y_train, y_test, labels)
    if not isinstance(model, MultinomialNB):
        plot_calibration_curve(model, X_train, y_train, model_name)
    plot_roc(y_test, y_probas, labels)
    plot_precision_recall(y_test, y_probas, labels)


def plot_regressor(
    model: Any, X_train: Any, X_test: Any, y_train: Any, y_test: Any, model_name: str = "Regressor"
) -> None:
    """Log all charts of a regressor: scores, learning curve, outlier candidates, residuals.

    Args:
        model: A fitted regressor.
        X_train: Features of training samples, of shape (samples, features).
        X_test: Features of test samples.
        y_train: The true values of training samples.
        y_test: The true values of test samples.
        model_name: Accepted for compatibility.
    """
    plot_summary_metrics(model, X_train, y_train, X_test, y_test)
    plot_learning_curve(model, X_train, y_train)
    plot_outlier_candidates(model, X_train, y_train)
    plot_residuals(model, X_train, y_train)


def plot_clusterer(
    model: Any, X_train: Any, cluster_labels: Any, labels: Any = None, model_name: str = "Clusterer"
) -> None:
    """Log all charts of a clusterer: the silhouette plot and, for ``KMeans``, the elbow curve.

    Args:
        model: A fitted clusterer.
        X_train: Features of shape (samples, features).
        cluster_labels: The cluster of each sample.
        labels: Accepted for compatibility.
        model_name: Accepted for compatibility.
    """
    from sklearn.cluster import KMeans

    has_centers = isinstance(model, KMeans)
    if has_centers:
        plot_elbow_curve(model, X_train)
    plot_silhouette(model, X_train, cluster_labels, labels, kmeans=has_centers)


def _named(each: Any, labels: Sequence[str] | None) -> Any:
    return labels[each] if labels is not None and isinstance(each, int) else each
