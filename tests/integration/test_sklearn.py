"""``wandb.sklearn``: charts of scikit-learn models, their tables compared with what scikit-learn computes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import tracker
from tracker.errors import UnsupportedError
from tracker.integration import sklearn as plots

X, Y = load_iris(return_X_y=True)
NAMES = ["setosa", "versicolor", "virginica"]


@pytest.fixture
def run() -> Iterator[tracker.Run]:
    run = tracker.init(project="p", settings={"silent": True})
    yield run
    run.finish()


def table(run: tracker.Run, key: str) -> dict[str, Any]:
    """Return the table behind a chart, as its file has it."""
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


def test_a_confusion_matrix_counts_as_scikit_learn_does(run: tracker.Run) -> None:
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
    assert {row[1] for row in found[::2]} == {1.0}  # a tree learns what it is shown


def test_what_is_missing_is_said_and_what_is_not_here_too(
    run: tracker.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    plots.plot_confusion_matrix(Y)
    assert "plot_confusion_matrix: y_pred is missing: nothing is plotted" in capsys.readouterr().err
    with pytest.raises(UnsupportedError, match=r"wandb\.sklearn\.plot_silhouette is not supported"):
        plots.plot_silhouette  # noqa: B018
    run.finish()
    with pytest.raises(tracker.Error, match=r"You must call wandb\.init\(\)"):
        plots.plot_class_proportions(Y)
