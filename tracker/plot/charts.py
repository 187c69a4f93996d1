"""Bar charts, histograms, line charts and scatter plots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.data_types.table import Table
from tracker.plot.custom_chart import CustomChart, plot_table


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a bar chart of a table.

    Args:
        table: The data.
        label: Column with the names of the bars.
        value: Column with the lengths of the bars.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.
    """
    fields = {"label": label, "value": value}
    return plot_table("wandb/bar/v0", table, fields, {"title": title}, split_table)


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a histogram of the values of a column.

    Args:
        table: The data.
        value: Column with the values.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.
    """
    return plot_table("wandb/histogram/v0", table, {"value": value}, {"title": title}, split_table)


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a scatter plot of a table.

    Args:
        table: The data.
        x: Column with the x values.
        y: Column with the y values.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.
    """
    return plot_table("wandb/scatter/v0", table, {"x": x, "y": y}, {"title": title}, split_table)


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", split_table: bool = False
) -> CustomChart:
    """Return a line chart of a table.

    Args:
        table: The data.
        x: Column with the x values.
        y: Column with the y values.
        stroke: Column with the name of the line to which a row belongs. By default all rows are one line.
        title: Title of the chart.
        split_table: Whether the dashboard shows the table in a separate section.
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
    """Return a chart of several lines.

    Args:
        xs: The x values of all lines, or a list of x values for each line.
        ys: A list of y values for each line.
        keys: Names of the lines; ``line_0``, ``line_1``, ... by default.
        title: Title of the chart.
        xname: Title of the x axis.
        split_table: Whether the dashboard shows the table in a separate section.

    Raises:
        ValueError: The number of ``xs`` or of ``keys`` differs from the number of ``ys``.
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
        for key, line_xs, line_ys in zip(keys, xs, ys, strict=True)
        for x, y in zip(line_xs, line_ys, strict=False)
    ]
    columns = ["step", "lineKey", "lineVal"]
    return plot_table(
        "wandb/lineseries/v0",
        Table(columns=list(columns), data=rows),
        {column: column for column in columns},
        {"title": title, "xname": xname},
        split_table,
    )
