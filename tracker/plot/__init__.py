"""Charts: ``run.log({"key": plot.line(table, "x", "y")})``. Each is loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.plot.charts import bar, histogram, line, line_series, scatter
    from tracker.plot.curves import pr_curve, roc_curve
    from tracker.plot.custom_chart import CustomChart, Visualize, plot_table, vega, visualize
    from tracker.plot.matrix import confusion_matrix

_HOMES = {
    "CustomChart": "custom_chart",
    "Visualize": "custom_chart",
    "bar": "charts",
    "confusion_matrix": "matrix",
    "histogram": "charts",
    "line": "charts",
    "line_series": "charts",
    "plot_table": "custom_chart",
    "pr_curve": "curves",
    "roc_curve": "curves",
    "scatter": "charts",
    "vega": "custom_chart",
    "visualize": "custom_chart",
}

__all__ = [
    "CustomChart",
    "Visualize",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
    "vega",
    "visualize",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tracker.plot' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
