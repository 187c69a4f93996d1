"""Precision-recall and ROC curves. They equal those of scikit-learn, which is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types.table import Table
from tracker.ground.terminal import say
from tracker.plot.custom_chart import CustomChart, plot_table

SPEC = "wandb/area-under-curve/v0"


def roc_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str = "ROC Curve",
    split_table: bool = False,
) -> CustomChart | None:
    """Return the ROC curve of each class against all other classes.

    Args:
        y_true: The true class of each sample.
        y_probas: Probabilities of shape (samples, classes).
        labels: Names of the classes, by class number.
        classes_to_plot: The classes to plot; all by default.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.

    Returns:
        The chart; None with a message on stderr if an argument is missing (wandb: ``plot/utils.py``).
    """
    import numpy as np

    curves = []
    for name, is_class, scores in _classes(y_true, y_probas, labels, classes_to_plot):
        _, true, false = _counts(is_class, scores)
        if len(true) > 2:  # inner points of a straight line add nothing to the curve
            bends = np.where(np.r_[True, np.logical_or(np.diff(false, 2), np.diff(true, 2)), True])[0]
            true, false = true[bends], false[bends]
        true, false = np.r_[0, true], np.r_[0, false]
        curves.append((name, false / (false[-1] or np.nan), true / (true[-1] or np.nan)))
    if not curves:
        return None
    return _chart(
        curves, ("fpr", "tpr"), {"x": "fpr", "y": "tpr", "class": "class"},
        {"title": title, "x-axis-title": "False positive rate", "y-axis-title": "True positive rate"},
        split_table,
    )  # fmt: skip


def pr_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    interp_size: int = 21,
    title: str = "Precision-Recall Curve",
    split_table: bool = False,
) -> CustomChart | None:
    """Return the precision-recall curve of each class against all other classes.

    Args:
        y_true: The true class of each sample.
        y_probas: Probabilities of shape (samples, classes).
        labels: Names of the classes, by class number.
        classes_to_plot: The classes to plot; all by default.
        interp_size: Number of recall values, evenly spaced from 1 to 0.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.

    Returns:
        The chart; None with a message on stderr if an argument is missing (wandb: ``plot/utils.py``).
    """
    import numpy as np

    wanted = np.linspace(0, 1, interp_size)[::-1]
    curves = []
    for name, is_class, scores in _classes(y_true, y_probas, labels, classes_to_plot):
        _, true, false = _counts(is_class, scores)
        found = true + false
        precision = np.divide(true, found, out=np.zeros_like(found), where=found != 0)
        recall = true / true[-1] if true[-1] else np.ones_like(true)
        # For each recall from 0 up, the largest precision at this recall or at a larger one.
        precision, recall = np.r_[1, precision], np.r_[0, recall]
        best = np.maximum.accumulate(precision[::-1])[::-1]
        curves.append((name, best[np.searchsorted(recall, wanted, side="left")], wanted))
    if not curves:
        return None
    return _chart(
        curves, ("precision", "recall"), {"x": "recall", "y": "precision", "class": "class"},
        {"title": title, "x-axis-title": "Recall", "y-axis-title": "Precision"},
        split_table,
    )  # fmt: skip


def _chart(
    curves: list[tuple[Any, Any, Any]],
    names: tuple[str, str],
    fields: dict[str, str],
    texts: dict[str, str],
    split_table: bool,
) -> CustomChart:
    rows = [
        [name, round(float(first), 3), round(float(second), 3)]
        for name, firsts, seconds in curves
        for first, second in zip(firsts, seconds, strict=True)
    ]
    return plot_table(SPEC, Table(columns=["class", *names], data=rows), fields, texts, split_table)


def _classes(
    y_true: Any, y_probas: Any, labels: Sequence[str] | None, wanted: Sequence[Any] | None
) -> list[tuple[Any, Any, Any]]:
    """Return the name of each class, whether each sample has that class, and its predicted probability."""
    import numpy as np

    for name, given in (("y_true", y_true), ("y_probas", y_probas)):
        if given is None:
            say(f"{name} is None. Please try again.")
            return []
    true, probabilities = (
        np.array(each.detach().cpu() if hasattr(each, "detach") else each) for each in (y_true, y_probas)
    )
    found = []
    for at, each in enumerate(np.unique(true)):
        if wanted is not None and each not in wanted:
            continue
        name = labels[int(each)] if labels is not None and isinstance(each, (int, np.integer)) else each
        found.append((name.item() if hasattr(name, "item") else name, true == each, probabilities[:, at]))
    return found


def _counts(is_class: Any, scores: Any) -> tuple[Any, Any, Any]:
    """Return the distinct scores in descending order with the true and false positives at each score."""
    import numpy as np

    order = np.argsort(scores, kind="mergesort")[::-1]
    scores, hits = scores[order], is_class[order]
    last = np.r_[np.where(np.diff(scores))[0], len(scores) - 1]
    true = np.cumsum(hits, dtype="float64")[last]
    return scores[last], true, 1.0 + last - true
