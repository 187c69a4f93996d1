"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types.table import Table
from tracker.plot.custom_chart import CustomChart, plot_table


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Sequence[str] | None = None,
    title: str = "Confusion Matrix Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return a confusion matrix: how often each class was predicted for samples of each class.

    Args:
        probs: Probabilities of shape (samples, classes). The class with the largest one is the prediction.
        y_true: The true class of each sample.
        preds: The predicted class of each sample, instead of ``probs``.
        class_names: Names of classes 0, 1, ... By default the classes that occur are named ``Class_1``,
            ``Class_2``, ...
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.

    Raises:
        ValueError: Both or neither of ``probs`` and ``preds`` were given, the number of predictions differs
            from the number of true classes, or there are more classes than names.
    """
    import numpy as np

    if probs is not None and preds is not None:
        raise ValueError("Only one of `probs` or `preds` should be provided, not both.")
    if probs is not None:
        preds = np.argmax(_array(probs), axis=1).tolist()
    if preds is None or y_true is None:
        raise ValueError("confusion_matrix has too few arguments. Give it y_true, and preds or probs.")
    guessed, true = _list(preds), _list(y_true)
    if len(guessed) != len(true):
        raise ValueError("The number of predictions and true labels must be equal.")
    if class_names is None:
        ids = sorted({*guessed, *true})
        class_names = [f"Class_{number + 1}" for number in range(len(ids))]
    else:
        ids = list(range(len(class_names)))
        for what, found in (("predicted classes", guessed), ("true labels", true)):
            if len(set(found)) > len(class_names):
                raise ValueError(f"The number of unique {what} exceeds the number of class names.")
    places = {each: at for at, each in enumerate(ids)}
    counts = np.zeros((len(ids), len(ids)))
    for actual, predicted in zip(true, guessed, strict=True):
        counts[places[actual], places[predicted]] += 1
    rows = [
        [actual, predicted, float(counts[row, column])]
        for row, actual in enumerate(class_names)
        for column, predicted in enumerate(class_names)
    ]
    columns = ["Actual", "Predicted", "nPredictions"]
    return plot_table(
        "wandb/confusion_matrix/v1",
        Table(columns=list(columns), data=rows),
        {column: column for column in columns},
        {"title": title},
        split_table,
    )


def _array(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def _list(values: Any) -> list[Any]:
    values = _array(values)
    return values.tolist() if hasattr(values, "tolist") else list(values)
