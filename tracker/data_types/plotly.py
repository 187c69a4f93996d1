"""Interactive plotly plots."""

from __future__ import annotations

from typing import Any

from tracker.capture import logs
from tracker.data_types import figures
from tracker.data_types.base import WBValue
from tracker.data_types.image import Image
from tracker.data_types.json_text import for_run
from tracker.data_types.media import Media
from tracker.errors import UsageError
from tracker.ground import values


class Plotly(Media):
    """A plotly plot, or a matplotlib plot converted to plotly.

    Args:
        val: A plotly figure; or a matplotlib figure, axes or ``pyplot``. The conversion needs plotly.

    Raises:
        ValueError: ``val`` is none of these, or is a matplotlib figure that contains images.
        UsageError: plotly is not installed.
    """

    _log_type = "plotly-file"
    _in_artifacts = False
    folder = "plotly"

    def __init__(self, val: Any) -> None:
        if not figures.is_plotly_figure(val):
            if not figures.is_matplotlib(val):
                raise ValueError(
                    "Logged plots must be plotly figures, or matplotlib plots convertible to plotly via "
                    "mpl_to_plotly"
                )
            if figures.contains_images(val):
                raise ValueError(
                    "Plotly does not currently support converting matplotlib figures containing images. "
                    "You can convert the plot to a static image with `wandb.Image(plt)`"
                )
            val = figures.to_plotly(val)
        self._take(for_run(_plain(val.to_plotly_json())), ".plotly.json")

    @classmethod
    def make_plot_media(cls, val: Any) -> Image | Plotly:
        """Return the media object for a figure: a plot, or an image if the figure cannot become a plot.

        If plotly is not installed or cannot convert the figure, wandb raises an error. Here the figure
        becomes an image, so that the run keeps it.
        """
        if not figures.is_matplotlib(val):
            return cls(val)
        if figures.contains_images(val) or not figures.has_plotly():
            return Image(val)
        try:
            return cls(val)
        except Exception as error:  # plotly can convert only some kinds of plots
            logs.log(logs.INFO, "plotly cannot convert a figure: it is logged as an image", error)
            return Image(val)

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Media:
        """Raise an error: artifacts cannot contain plots.

        Raises:
            UsageError: Always.
        """
        raise UsageError("A plot cannot be read from an artifact. Log plots with run.log.")


def _plain(value: Any) -> Any:
    """Return plotly's JSON with all arrays as lists of any length."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, WBValue):
        return type(value).__name__
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return values.to_plain(value)
