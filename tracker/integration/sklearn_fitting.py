"""Charts of scikit-learn models that are made by fitting copies of the model; ``sklearn`` shows them."""

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
    """Log as ``calibration_curve`` how often a class is what its predicted probability says.

    Three models are fitted to a tenth of the samples and held against the others: a logistic regression, and
    the classifier calibrated isotonically and by a sigmoid.

    Args:
        clf: A classifier of two classes.
        X: Features, of shape (samples, features).
        y: The class of each sample, 0 or 1; with any other, nothing is logged but a line that says so.
        clf_name: What to call the classifier.
    """
    if not is_given("plot_calibration_curve", clf=clf, X=X, y=y):
        return
    from sklearn.calibration import CalibratedClassifierCV, calibration_curve
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.naive_bayes import ComplementNB

    X, y = np.asarray(X), np.asarray(y)
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        say("plot_calibration_curve: only classes 0 and 1 are supported: nothing is plotted")
        return
    if isinstance(clf, ComplementNB):
        X = X - X.min()  # it takes no negative features
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
            [name, round(float(true), 3), round(float(said), 3), int(count), float(edge)]
            for true, said, count, edge in found
        ]
    columns = ["model", "fraction_of_positives", "mean_predicted_value", "hist_dict", "edge_dict"]
    log_table("calibration_curve", "wandb/calibration/v1", columns, rows)


def plot_outlier_candidates(regressor: Any = None, X: Any = None, y: Any = None) -> None:
    """Log as ``outlier_candidates`` how much each sample moves a regression: Cook's distance.

    Args:
        regressor: A regressor; a copy is fitted.
        X: Features, of shape (samples, features).
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
    """Log as ``residuals`` how far predictions are off, in four fifths that a copy learns and in the rest.

    Args:
        regressor: A regressor.
        X: Features, of shape (samples, features).
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
    """Log the score for each number of clusters as ``elbow_curve``; fits a copy for each.

    Args:
        clusterer: A clusterer with ``n_clusters``; with another, nothing is logged but a line that says so.
        X: Features, of shape (samples, features).
        cluster_ranges: Numbers of clusters; 1, 3, 5, 7 and 9 unless given.
        n_jobs: So many processes fit.
        show_cluster_time: Accepted for compatibility, as in wandb.
    """
    if not is_given("plot_elbow_curve", clusterer=clusterer, X=X):
        return
    if not hasattr(clusterer, "n_clusters"):
        say(f"plot_elbow_curve: {type(clusterer).__name__} has no n_clusters: nothing is plotted")
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
    """Log as ``silhouette_plot`` how much nearer each sample is to its own cluster than to the next.

    Args:
        clusterer: A fitted clusterer; its ``cluster_centers_`` are shown when ``kmeans``.
        X: Features, of shape (samples, features), at least two.
        cluster_labels: The cluster of each sample.
        labels: Accepted for compatibility, as in wandb.
        metric: As for ``sklearn.metrics.silhouette_samples``.
        kmeans: The clusterer has centres, in the order of the sorted clusters.
    """
    if not is_given("plot_silhouette", clusterer=clusterer, X=X, cluster_labels=cluster_labels):
        return
    from sklearn.metrics import silhouette_samples

    X, of = np.asarray(X), np.asarray(cluster_labels)
    values = silhouette_samples(X, of, metric=metric)
    names, numbers = np.unique(of, return_inverse=True)
    order = np.lexsort((values, numbers))
    # Clusters stand above each other, ten free lines between two.
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
