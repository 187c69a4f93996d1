"""Bars, histograms, lines and points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.data_types.table import Table
from tracker.plot.custom_chart import CustomChart, plot_table


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a bar chart, to be logged.

    Args:
        table: The data.
        label: Column with the bars' names.
        value: Column with their lengths.
        title: Of the chart.
        split_table: Whether the table stands in a section of its own.
    """
    fields = {"label": label, "value": value}
    return plot_table("wandb/bar/v0", table, fields, {"title": title}, split_table)


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a histogram of a column's values, to be logged.

    Args:
        table: The data.
        value: The column.
        title: Of the chart.
        split_table: Whether the table stands in a section of its own.
    """
    return plot_table("wandb/histogram/v0", table, {"value": value}, {"title": title}, split_table)


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a chart of points, to be logged.

    Args:
        table: The data.
        x: Column that goes to the right.
        y: Column that goes up.
        title: Of the chart.
        split_table: Whether the table stands in a section of its own.
    """
    return plot_table("wandb/scatter/v0", table, {"x": x, "y": y}, {"title": title}, split_table)


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", split_table: bool = False
) -> CustomChart:
    """Return a line chart, to be logged.

    Args:
        table: The data.
        x: Column that goes to the right.
        y: Column that goes up.
        stroke: Column that says which line a row belongs to.
        title: Of the chart.
        split_table: Whether the table stands in a section of its own.
    """
    fields = {"x": x, "y": y, "stroke": stroke}
    return plot_table("wandb/line/v0", table, fields, {"title": title}, split_table)


def line_series(
    xs: Any,
    ys: Any,
    keys: Any = None,
    title: str = "",
    xname: str = "x",
    split_table: bool = False,
) -> CustomChart:
    """Return a chart of several lines, to be logged.

    Args:
        xs: Positions for all lines, or a list of such for each.
        ys: A list of values for each line.
        keys: The lines' names; ``line_0``, ``line_1``, ... unless given.
        title: Of the chart.
        xname: Of the axis that goes to the right.
        split_table: Whether the table stands in a section of its own.

    Raises:
        ValueError: There are more or fewer ``xs`` or ``keys`` than ``ys``.
    """
    if not isinstance(xs[0], Iterable) or isinstance(xs[0], (str, bytes)):
        xs = [xs] * len(ys)
    if len(xs) != len(ys):
        raise ValueError(f"Number of x-series ({len(xs)}) must match y-series ({len(ys)}).")
    keys = [f"line_{at}" for at in range(len(ys))] if keys is None else keys
    if len(keys) != len(ys):
        raise ValueError(f"Number of keys ({len(keys)}) must match y-series ({len(ys)}).")
    rows = [
        [x, key, y]
        for key, its_xs, its_ys in zip(keys, xs, ys, strict=True)
        for x, y in zip(its_xs, its_ys, strict=False)
    ]
    columns = ["step", "lineKey", "lineVal"]
    return plot_table(
        "wandb/lineseries/v0",
        Table(columns=list(columns), data=rows),
        {column: column for column in columns},
        {"title": title, "xname": xname},
        split_table,
    )
