"""Figures of matplotlib and plotly, recognised without importing either."""

from __future__ import annotations

import io
import sys
from typing import Any

from tracker.data_types.media import need


def type_name(obj: Any) -> str:
    """Return the full name of an object's type; a module's own name."""
    if type(obj).__name__ == "module":
        return str(obj.__name__)
    kind = type(obj)
    return f"{kind.__module__}.{kind.__name__}"


def is_matplotlib(obj: Any) -> bool:
    """Whether it is a figure, axes or other artist of matplotlib, or ``pyplot`` itself."""
    return "matplotlib" in sys.modules and type_name(obj).startswith("matplotlib.")


def is_plotly(obj: Any) -> bool:
    """Whether it is an object of plotly."""
    return "plotly" in sys.modules and type_name(obj).startswith("plotly.")


def is_plotly_figure(obj: Any) -> bool:
    """Whether it is a figure of plotly."""
    return is_plotly(obj) and type(obj).__name__ in ("Figure", "FigureWidget")


def is_data_frame(obj: Any) -> bool:
    """Whether it is a DataFrame of pandas."""
    return "pandas" in sys.modules and isinstance(obj, sys.modules["pandas"].DataFrame)


def figure_of(obj: Any) -> Any:
    """Return matplotlib's figure that an object stands for: ``pyplot``'s current one, an artist's own.

    Raises:
        ValueError: It stands for none.
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
    """Whether a matplotlib figure shows images, which plotly cannot take."""
    return any(len(axes.images) > 0 for axes in figure_of(obj).axes)


def draw(obj: Any, format: str) -> bytes:
    """Return a matplotlib figure as the bytes of an image file."""
    out = io.BytesIO()
    figure_of(obj).savefig(out, format=format)
    return out.getvalue()


def has_plotly() -> bool:
    """Whether plotly is installed."""
    from importlib.util import find_spec

    return find_spec("plotly") is not None


def to_plotly(obj: Any) -> Any:
    """Return a matplotlib figure as one of plotly.

    Raises:
        UsageError: plotly is not installed.
    """
    tools = need("plotly.tools", "An interactive plot (or log it as an image: wandb.Image(plt))")
    from matplotlib.spines import Spine

    if not hasattr(Spine, "is_frame_like"):  # plotly asks for what newer matplotlib no longer has
        Spine.is_frame_like = _is_frame_like  # type: ignore[attr-defined]
    return tools.mpl_to_plotly(figure_of(obj))


def _is_frame_like(spine: Any) -> bool:
    """Whether a spine is the edge of its axes."""
    position = spine._position or ("outward", 0.0)
    if isinstance(position, str):
        position = {"center": ("axes", 0.5), "zero": ("data", 0)}[position]
    return bool(position[0] == "outward" and position[1] == 0)
