"""Charts of scikit-learn models for which copies of the model are fitted. ``sklearn.py`` exports them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from tracker.ground.terminal import say
from tracker.integration.model_charts import first_points, is_given, log_table


def plot_calibration_curve(
    clf: Any = None, X: Any = None, y: Any = None, clf_name: str = "Classifier"
) -> None:
    """Log as ``calibration_curve`` how often samples with a predicted probability have the class.

    Three models are fitted to a tenth of the samples and tested with the others: a logistic regression, the
    classifier with isotonic calibration, and the classifier with sigmoid calibration.

    Args:
        clf: A classifier of two classes.
        X: Features of shape (samples, features).
        y: The class of each sample, 0 or 1. With other classes, only a message is printed.
        clf_name: Name of the classifier in the chart.
    """
    if not is_given("plot_calibration_curve", clf=clf, X=X, y=y):
        return
    from sklearn.calibration import CalibratedClassifierCV, calibration_curve
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.naive_bayes import ComplementNB

    X, y = np.asarray(X), np.asarray(y)
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        say("plot_calibration_curve plots nothing: only classes 0 and 1 are supported")
        return
    if isinstance(clf, ComplementNB):
        X = X - X.min()  # ComplementNB accepts no negative features
    seen, kept, seen_y, kept_y = train_test_split(X, y, test_size=0.9, random_state=42)
    rows: list[list[Any]] = [["Perfectly calibrated", at, at, 0, 0] for at in (0, 1)]
    for model, name in (
        (LogisticRegression(C=1.0), "Logistic"),
        (CalibratedClassifierCV(clf, cv=2, method="isotonic"), f"{clf_name} Isotonic"),
        (CalibratedClassifierCV(clf, cv=2, method="sigmoid"), f"{clf_name} Sigmoid"),
    ):
        predicted = model.fit(seen, seen_y).predict_proba(kept)[:, 1]
        counts, edges = np.histogram(predicted, bins=10)
        found = zip(*calibration_curve(kept_y, predicted, n_bins=10), counts, edges, strict=False)
        rows += [
            [name, round(float(true), 3), round(float(mean), 3), int(count), float(edge)]
            for true, mean, count, edge in found
        ]
    columns = ["model", "fraction_of_positives", "mean_predicted_value", "hist_dict", "edge_dict"]
    log_table("calibration_curve", "wandb/calibration/v1", columns, rows)


def plot_outlier_candidates(regressor: Any = None, X: Any = None, y: Any = None) -> None:
    """Log as ``outlier_candidates`` the influence of each sample on a regression (Cook's distance).

    Args:
        regressor: A regressor. A copy of it is fitted.
        X: Features of shape (samples, features).
        y: The true values.
    """
    if not is_given("plot_outlier_candidates", regressor=regressor, X=X, y=y):
        return
    from sklearn.base import clone

    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    samples, features = X.shape
    leverage = (X * np.linalg.pinv(X).T).sum(axis=1)
    wrong = y - clone(regressor).fit(X, y).predict(X)
    variance = wrong @ wrong / (samples - np.linalg.matrix_rank(X))
    distance = wrong**2 / variance / (1 - leverage) / features * leverage / (1 - leverage)
    threshold = 4 / samples
    share = round(float((distance >= threshold).mean() * 100), 3)
    rows = [
        [each, at, share, threshold]
        for at, each in enumerate(first_points("plot_outlier_candidates", distance.tolist()))
    ]
    columns = ["distance", "instance_indicies", "outlier_percentage", "influence_threshold"]
    log_table("outlier_candidates", "wandb/outliers/v1", columns, rows)


def plot_residuals(regressor: Any = None, X: Any = None, y: Any = None) -> None:
    """Log the residuals of predictions as ``residuals``.

    A copy of the regressor is fitted to four fifths of the samples and tested with the rest.

    Args:
        regressor: A regressor.
        X: Features of shape (samples, features).
        y: The true values.
    """
    if not is_given("plot_residuals", regressor=regressor, X=X, y=y):
        return
    from sklearn.base import clone
    from sklearn.model_selection import train_test_split

    seen, kept, seen_y, kept_y = train_test_split(np.asarray(X), np.asarray(y), test_size=0.2)
    model = clone(regressor).fit(seen, seen_y)
    scores = [float(model.score(seen, seen_y)), float(model.score(kept, kept_y))]
    rows: list[list[Any]] = []
    for name, features, true in (("train", seen, seen_y), ("test", kept, kept_y)):
        predicted = model.predict(features)
        pairs = np.stack([predicted, predicted - true], axis=1).tolist()
        rows += [[name, *pair, *scores] for pair in first_points("plot_residuals", pairs)]
    columns = ["dataset", "y_pred", "residuals", "train_score", "test_score"]
    log_table("residuals", "wandb/residuals_plot/v1", columns, rows)


def plot_elbow_curve(
    clusterer: Any = None,
    X: Any = None,
    cluster_ranges: Iterable[int] | None = None,
    n_jobs: int = 1,
    show_cluster_time: bool = True,
) -> None:
    """Log the score for each number of clusters as ``elbow_curve``. A copy is fitted for each number.

    Args:
        clusterer: A clusterer with ``n_clusters``. With another one, only a message is printed.
        X: Features of shape (samples, features).
        cluster_ranges: Numbers of clusters; 1, 3, 5, 7 and 9 by default.
        n_jobs: Number of processes that fit.
        show_cluster_time: Accepted for compatibility.
    """
    if not is_given("plot_elbow_curve", clusterer=clusterer, X=X):
        return
    if not hasattr(clusterer, "n_clusters"):
        say(f"plot_elbow_curve plots nothing: {type(clusterer).__name__} has no n_clusters")
        return
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    numbers = range(1, 10, 2) if cluster_ranges is None else sorted(cluster_ranges)
    found = Parallel(n_jobs=n_jobs)(delayed(_score)(clusterer, X, number) for number in numbers)
    rows = [[number, abs(score), seconds] for number, (score, seconds) in zip(numbers, found, strict=True)]
    columns = ["cluster_ranges", "errors", "clustering_time"]
    log_table("elbow_curve", "wandb/elbow/v1", columns, rows)


def _score(clusterer: Any, X: Any, number: int) -> tuple[float, float]:
    from sklearn.base import clone

    begin = time.perf_counter()
    score = float(clone(clusterer).set_params(n_clusters=number).fit(X).score(X))
    return score, time.perf_counter() - begin


def plot_silhouette(
    clusterer: Any = None,
    X: Any = None,
    cluster_labels: Any = None,
    labels: Any = None,
    metric: str = "euclidean",
    kmeans: bool = True,
) -> None:
    """Log the silhouette coefficient of each sample as ``silhouette_plot``.

    Args:
        clusterer: A fitted clusterer. The chart shows its ``cluster_centers_`` if ``kmeans`` is true.
        X: Features of shape (samples, features), with at least two features.
        cluster_labels: The cluster of each sample.
        labels: Accepted for compatibility.
        metric: See ``sklearn.metrics.silhouette_samples``.
        kmeans: Whether the clusterer has centres, in the order of the sorted cluster names.
    """
    if not is_given("plot_silhouette", clusterer=clusterer, X=X, cluster_labels=cluster_labels):
        return
    from sklearn.metrics import silhouette_samples

    X, of = np.asarray(X), np.asarray(cluster_labels)
    values = silhouette_samples(X, of, metric=metric)
    names, numbers = np.unique(of, return_inverse=True)
    order = np.lexsort((values, numbers))
    # The clusters are stacked, with ten free lines between two clusters.
    heights = np.arange(len(of)) + 10 * (numbers[order] + 1)
    centers = clusterer.cluster_centers_ if kmeans else [(None, None)] * len(names)
    average = float(values.mean())
    rows = [
        [
            *X[at, :2].tolist(),
            names[numbers[at]].item(),
            *_plain(centers[numbers[at]][:2]),
            int(heights[at]),
            0,
            float(values[sample]),
            names[numbers[sample]].item(),
            average,
        ]
        for at, sample in enumerate(first_points("plot_silhouette", order.tolist()))
    ]
    columns = ["x", "y", "colors", "centerx", "centery", "y_sil", "x1", "x2", "color_sil", "silhouette_avg"]
    log_table("silhouette_plot", "wandb/silhouette_/v1", columns, rows)


def _plain(values: Any) -> list[float | None]:
    return [None if value is None else float(value) for value in values]
