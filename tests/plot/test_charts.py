"""Charts: the logged table and the config entry, which equal those of the real client 0.31."""

from __future__ import annotations

import json

import numpy as np
import pytest
from media_files import content, logged

import tracker
from tracker import plot

pytestmark = pytest.mark.usefixtures("without_recorder")


def table() -> tracker.Table:
    return tracker.Table(columns=["x", "y"], data=[[1, 2]])


def test_a_chart_is_a_table_and_a_config_entry() -> None:
    run = tracker.init(project="p", id="abc", settings={"silent": True})
    run.log(
        {
            "pl": plot.line(table(), "x", "y", title="T"),
            "deep": {"c": plot.bar(table(), "x", "y", split_table=True), "n": 1},
            "viz": plot.visualize("my/id", table()),
        }
    )
    run.log({"again": plot.scatter(table(), "x", "y")})
    run.finish()
    first, _ = logged(run)
    assert first["pl_table"]["path"] == "media/table/pl_table_0_ba67c0fa8c56c78584d1.table.json"
    assert first["Custom Chart Tables/deep.c_table"]["nrows"] == 1
    assert (first["deep"], first["viz"]["_type"]) == ({"n": 1}, "table-file")
    assert "pl" not in first
    notes = tracker.Api().run(run.path)._info.config["_wandb"]
    assert set(notes["visualize"]) == {"pl", "deep.c", "again"}
    panel = notes["visualize"]["pl"]["panel_config"]
    assert panel["panelDefId"] == "wandb/line/v0"
    assert panel["fieldSettings"] == {"x": "x", "y": "y", "stroke": None}
    assert panel["stringSettings"] == {"title": "T"}
    args = panel["userQuery"]["queryFields"][0]["fields"][3]["args"]
    assert args == [{"name": "tableKey", "value": "pl_table"}]
    assert notes["viz"]["viz"] == {"id": "my/id", "historyFieldSettings": {"x-axis": "_step", "key": "viz"}}
    with pytest.raises(tracker.Error, match=r"to be `wandb\.Table` type"):
        plot.bar([1], "x", "y")  # type: ignore[arg-type]


def test_a_resumed_run_keeps_its_charts() -> None:
    for step in range(2):
        run = tracker.init(project="p", id="abc", resume="allow", settings={"silent": True})
        run.log({f"chart {step}": plot.line(table(), "x", "y")})
        assert run.config.as_dict() == {}
        run.finish()
    assert set(tracker.Api().run("p/abc")._info.config["_wandb"]["visualize"]) == {"chart 0", "chart 1"}


def test_series_and_matrices() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    series = plot.line_series([1, 2], [[3, 4], [5, 6]], keys=["a", "b"], title="t", xname="epoch")
    assert series.table.data == [[1, "a", 3], [2, "a", 4], [1, "b", 5], [2, "b", 6]]
    assert (series.spec.spec_name, series.spec.string_fields["xname"]) == ("wandb/lineseries/v0", "epoch")
    matrix = plot.confusion_matrix(y_true=[0, 1, 1], preds=[0, 1, 0], class_names=["cat", "dog"])
    assert matrix.table.data == [["cat", "cat", 1], ["cat", "dog", 0], ["dog", "cat", 1], ["dog", "dog", 1]]
    assert plot.confusion_matrix(probs=np.eye(3), y_true=[0, 1, 2]).table.data[0] == ["Class_1", "Class_1", 1]
    run.log({"cm": matrix})
    run.finish()
    assert json.loads(content(logged(run)[0]["cm_table"]))["columns"] == [
        "Actual",
        "Predicted",
        "nPredictions",
    ]
    for arguments, message in (
        ({"probs": np.eye(2), "preds": [0, 1], "y_true": [0, 1]}, "not both"),
        ({"preds": [0], "y_true": [0, 1]}, "must be equal"),
        ({"preds": [0, 1], "y_true": [0, 1], "class_names": ["a"]}, "exceeds the number"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.confusion_matrix(**arguments)
    with pytest.raises(ValueError, match="must match y-series"):
        plot.line_series([[1], [2]], [[1]])


@pytest.mark.parametrize("seed", range(5))
def test_curves_equal_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    true = np.r_[0, 1, 2, random.integers(0, 3, 40)]
    probabilities = random.random((43, 3)).round(1)  # with ties
    chart = plot.roc_curve(true, probabilities, labels=["a", "b", "c"])
    expected = []
    for at, name in enumerate("abc"):
        fpr, tpr, _ = metrics.roc_curve(true, probabilities[:, at], pos_label=at)
        expected += [[name, round(x, 3), round(y, 3)] for x, y in zip(fpr, tpr, strict=True)]
    assert chart is not None
    assert chart.table.data == expected
    curves = plot.pr_curve(true, probabilities, interp_size=11)
    assert curves is not None
    assert [row[2] for row in curves.table.data[:11]] == np.linspace(0, 1, 11)[::-1].round(3).tolist()
    for at in range(3):
        precision, recall, _ = metrics.precision_recall_curve(true, probabilities[:, at], pos_label=at)
        for label, value, wanted in curves.table.data:
            if label == at:
                # The largest precision of all points with at least this recall.
                assert value == round(max(precision[recall >= min(wanted, 1.0)]), 3)
    assert plot.roc_curve(None, probabilities) is None
