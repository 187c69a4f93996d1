"""``wandb.sklearn``: the tables of its charts equal the results of scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

import tracker
from tracker.integration import sklearn as plots

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_recorder")]

X, Y = load_iris(return_X_y=True)
NAMES = ["setosa", "versicolor", "virginica"]


@pytest.fixture
def run() -> Iterator[tracker.Run]:
    run = tracker.init(project="p", settings={"silent": True})
    yield run
    run.finish()


def table(run: tracker.Run, key: str) -> dict[str, Any]:
    """Return the table of a chart from its file."""
    run.finish()
    found = tracker.Api().run(run.path)
    (value,) = [
        value
        for row in found.scan_history()
        for name, value in row.items()
        if name.startswith(key) and isinstance(value, dict) and value.get("_type") == "table-file"
    ]
    with found.file(value["path"]).download(root="got", replace=True) as file:
        return json.loads(Path(file.name).read_text())


def test_a_confusion_matrix_has_the_counts_of_scikit_learn(run: tracker.Run) -> None:
    predicted = np.roll(Y, 7)
    plots.plot_confusion_matrix(Y, predicted, NAMES)
    found = table(run, "confusion_matrix")
    assert found["columns"] == ["Predicted", "Actual", "Count"]
    counts = metrics.confusion_matrix(Y, predicted)
    assert found["data"] == [
        [NAMES[guess], NAMES[true], counts[true, guess]] for true in range(3) for guess in range(3)
    ]


def test_roc_and_precision_recall_have_a_curve_for_each_class(run: tracker.Run) -> None:
    probabilities = LogisticRegression(max_iter=500).fit(X, Y).predict_proba(X)
    plots.plot_roc(Y, probabilities, NAMES)
    plots.plot_precision_recall(Y, probabilities, NAMES)
    assert {row[0] for row in table(run, "roc")["data"]} == set(NAMES)
    assert {row[0] for row in table(run, "precision_recall")["data"]} == set(NAMES)


def test_feature_importances_come_largest_first(run: tracker.Run) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    plots.plot_feature_importances(model, ["a", "b", "c", "d"])
    found = table(run, "feature_importances")["data"]
    expected = sorted(
        zip("abcd", model.feature_importances_.tolist(), strict=True), key=lambda item: -item[1]
    )
    assert [row[1] for row in found] == [value for _, value in expected]
    assert dict(map(tuple, found)) == dict(expected)


def test_class_proportions(run: tracker.Run) -> None:
    plots.plot_class_proportions(Y[:70], Y[70:], NAMES)
    assert table(run, "class_proportions")["data"] == [
        ["setosa", "train", 50],
        ["setosa", "test", 0],
        ["versicolor", "train", 20],
        ["versicolor", "test", 30],
        ["virginica", "train", 0],
        ["virginica", "test", 50],
    ]


def test_summary_metrics_of_a_classifier_and_of_a_regressor(run: tracker.Run) -> None:
    model = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, Y)
    plots.plot_summary_metrics(model, X, Y, X, Y)
    found = table(run, "summary_metrics")["data"]
    assert found[0] == ["accuracy_score", round(model.score(X, Y), 2), "DecisionTreeClassifier"]
    assert [row[0] for row in found] == ["accuracy_score", "precision", "recall", "f1_score"]
    other = tracker.init(project="p", settings={"silent": True})
    regression = LinearRegression().fit(X[:, :3], X[:, 3])
    plots.plot_summary_metrics(regression, X_test=X[:, :3], y_test=X[:, 3])
    found = table(other, "summary_metrics")["data"]
    assert found[2] == ["r2_score", round(regression.score(X[:, :3], X[:, 3]), 2), "LinearRegression"]


def test_a_learning_curve_has_both_scores_at_each_size(run: tracker.Run) -> None:
    plots.plot_learning_curve(DecisionTreeClassifier(random_state=0), X, Y, shuffle=True, random_state=0)
    found = table(run, "learning_curve")["data"]
    assert [row[0] for row in found] == ["train", "test"] * 5
    assert [row[2] for row in found[::2]] == [12, 39, 66, 93, 120]
    assert {row[1] for row in found[::2]} == {1.0}  # a tree of full depth fits its training data perfectly


def test_a_calibration_curve_has_three_models_and_the_diagonal(run: tracker.Run) -> None:
    binary = (Y > 0).astype(int)
    plots.plot_calibration_curve(DecisionTreeClassifier(random_state=0), X, binary, "Tree")
    found = table(run, "calibration_curve")["data"]
    assert found[:2] == [["Perfectly calibrated", 0, 0, 0, 0], ["Perfectly calibrated", 1, 1, 0, 0]]
    seen, kept, seen_y, kept_y = train_test_split(X, binary, test_size=0.9, random_state=42)
    probabilities = LogisticRegression().fit(seen, seen_y).predict_proba(kept)[:, 1]
    true, said = calibration_curve(kept_y, probabilities, n_bins=10)
    assert [row[1:3] for row in found if row[0] == "Logistic"] == [
        [round(one, 3), round(other, 3)] for one, other in zip(true, said, strict=True)
    ]
    assert {row[0] for row in found[2:]} == {"Logistic", "Tree Isotonic", "Tree Sigmoid"}


def test_outlier_candidates_have_cooks_distance(run: tracker.Run) -> None:
    """Cook's distance by definition: the change of all predictions when one sample is left out."""
    features, true = X[:20, :2], X[:20, 2].copy()
    true[5] += 10
    model = LinearRegression(fit_intercept=False)
    plots.plot_outlier_candidates(model, features, true)
    assert not hasattr(model, "coef_")  # the caller's regressor is not fitted
    found = table(run, "outlier_candidates")["data"]
    whole = LinearRegression(fit_intercept=False).fit(features, true).predict(features)
    variance = ((true - whole) ** 2).sum() / (20 - 2)
    distances = []
    for at in range(20):
        rest = np.arange(20) != at
        without = LinearRegression(fit_intercept=False).fit(features[rest], true[rest]).predict(features)
        distances.append(((whole - without) ** 2).sum() / variance / 2)
    assert [row[0] for row in found] == pytest.approx(distances)
    share = 100 * sum(each >= 0.2 for each in distances) / 20
    assert [row[1:] for row in found] == [[at, share, 0.2] for at in range(20)]
    assert found[5][0] == max(row[0] for row in found)


def test_residuals_of_training_and_test_samples(run: tracker.Run) -> None:
    plots.plot_residuals(LinearRegression(), X[:, :3], X[:, 3])
    found = table(run, "residuals")["data"]
    assert [row[0] for row in found] == ["train"] * 120 + ["test"] * 30
    true = sorted(round(row[1] - row[2], 6) for row in found)
    assert true == pytest.approx(sorted(X[:, 3].tolist()))
    assert len({tuple(row[3:]) for row in found}) == 1


def test_an_elbow_curve_has_the_error_for_each_number_of_clusters(run: tracker.Run) -> None:
    model = KMeans(random_state=0, n_init=1).fit(X)
    plots.plot_elbow_curve(model, X, [3, 1])
    found = table(run, "elbow_curve")["data"]
    assert [row[0] for row in found] == [1, 3]
    errors = [KMeans(n_clusters=number, random_state=0, n_init=1).fit(X).inertia_ for number in (1, 3)]
    assert [row[1] for row in found] == pytest.approx(errors)
    assert model.n_clusters == 8


def test_silhouettes_are_sorted_by_cluster_and_value(run: tracker.Run) -> None:
    model = KMeans(n_clusters=3, random_state=0, n_init=1).fit(X)
    plots.plot_silhouette(model, X, model.labels_)
    found = table(run, "silhouette_plot")["data"]
    values = metrics.silhouette_samples(X, model.labels_)
    for cluster in range(3):
        own = [row for row in found if row[8] == cluster]
        assert [row[7] for row in own] == pytest.approx(sorted(values[model.labels_ == cluster]))
        assert [row[5] for row in own] == list(range(own[0][5], own[0][5] + len(own)))
    first = int(model.labels_[0])
    assert found[0][:5] == pytest.approx([*X[0, :2], first, *model.cluster_centers_[first, :2]])
    assert {row[9] for row in found} == {float(values.mean())}


def charts(run: tracker.Run) -> set[str]:
    """Return the keys of the custom charts in the config of a run."""
    run.finish()
    noted = tracker.Api().run(run.path).rawconfig["_wandb"]
    return {*noted.get("visualize", {}), *noted.get("viz", {})}


def test_one_call_logs_all_charts_of_a_model(run: tracker.Run, capsys: pytest.CaptureFixture[str]) -> None:
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    plots.plot_classifier(
        *(model, X, X, Y, Y, model.predict(X), model.predict_proba(X), NAMES),
        model_name="Tree",
        log_learning_curve=True,
    )
    assert "plots nothing: only classes 0 and 1 are supported" in capsys.readouterr().err
    assert charts(run) == {
        *("feature_importances", "learning_curve", "confusion_matrix", "summary_metrics"),
        *("class_proportions", "roc", "precision_recall"),
    }
    other = tracker.init(project="p", settings={"silent": True})
    regression = LinearRegression().fit(X[:, :3], X[:, 3])
    plots.plot_regressor(regression, X[:, :3], X[:, :3], X[:, 3], X[:, 3])
    assert charts(other) == {"summary_metrics", "learning_curve", "outlier_candidates", "residuals"}
    other = tracker.init(project="p", settings={"silent": True})
    plots.plot_clusterer(clusters := KMeans(n_clusters=3, n_init=1).fit(X), X, clusters.labels_)
    assert charts(other) == {"elbow_curve", "silhouette_plot"}


def test_missing_arguments_are_reported(run: tracker.Run, capsys: pytest.CaptureFixture[str]) -> None:
    plots.plot_confusion_matrix(Y)
    assert "plot_confusion_matrix plots nothing: y_pred is missing" in capsys.readouterr().err
    plots.plot_elbow_curve(DBSCAN(), X)
    assert "plot_elbow_curve plots nothing: DBSCAN has no n_clusters" in capsys.readouterr().err
    run.finish()
    with pytest.raises(tracker.Error, match=r"You must call wandb\.init\(\)"):
        plots.plot_class_proportions(Y)
