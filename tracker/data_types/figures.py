"""Recognition of matplotlib and plotly figures without an import of either package."""

from __future__ import annotations

import io
import sys
from typing import Any

from tracker.data_types.media import need


def type_name(obj: Any) -> str:
    """Return the full name of an object's type; for a module, the name of the module."""
    if type(obj).__name__ == "module":
        return str(obj.__name__)
    kind = type(obj)
    return f"{kind.__module__}.{kind.__name__}"


def is_matplotlib(obj: Any) -> bool:
    """Return whether ``obj`` is a matplotlib artist, such as a figure or axes, or ``pyplot`` itself."""
    return "matplotlib" in sys.modules and type_name(obj).startswith("matplotlib.")


def is_plotly(obj: Any) -> bool:
    """Return whether ``obj`` is a plotly object."""
    return "plotly" in sys.modules and type_name(obj).startswith("plotly.")


def is_plotly_figure(obj: Any) -> bool:
    """Return whether ``obj`` is a plotly figure."""
    return is_plotly(obj) and type(obj).__name__ in ("Figure", "FigureWidget")


def is_data_frame(obj: Any) -> bool:
    """Return whether ``obj`` is a pandas DataFrame."""
    return "pandas" in sys.modules and isinstance(obj, sys.modules["pandas"].DataFrame)


def figure_of(obj: Any) -> Any:
    """Return the matplotlib figure of an object: the current figure of ``pyplot``, or that of an artist.

    Raises:
        ValueError: The object has no figure.
    """
    from matplotlib.figure import Figure

    if type(obj).__name__ == "module":
        return obj.gcf()
    if isinstance(obj, Figure):
        return obj
    figure = getattr(obj, "figure", None)
    if not isinstance(figure, Figure):
        raise ValueError("Only matplotlib.pyplot or matplotlib.pyplot.Figure objects are accepted.")
    return figure


def contains_images(obj: Any) -> bool:
    """Return whether a matplotlib figure contains images, which plotly cannot convert."""
    return any(len(axes.images) > 0 for axes in figure_of(obj).axes)


def draw(obj: Any, format: str) -> bytes:
    """Return an image file of a matplotlib figure, in ``format`` such as ``"png"``."""
    out = io.BytesIO()
    figure_of(obj).savefig(out, format=format)
    return out.getvalue()


def has_plotly() -> bool:
    """Return whether plotly is installed."""
    from importlib.util import find_spec

    return find_spec("plotly") is not None


def to_plotly(obj: Any) -> Any:
    """Return a matplotlib figure as a plotly figure.

    Raises:
        UsageError: plotly is not installed.
    """
    tools = need("plotly.tools", "An interactive plot (or log an image instead: wandb.Image(plt))")
    from matplotlib.spines import Spine

    if not hasattr(Spine, "is_frame_like"):  # plotly calls a method that newer matplotlib does not have
        Spine.is_frame_like = _is_frame_like  # type: ignore[attr-defined]
    return tools.mpl_to_plotly(figure_of(obj))


def _is_frame_like(spine: Any) -> bool:
    """Return whether a spine is the edge of its axes."""
    position = spine._position or ("outward", 0.0)
    if isinstance(position, str):
        position = {"center": ("axes", 0.5), "zero": ("data", 0)}[position]
    return bool(position[0] == "outward" and position[1] == 0)
