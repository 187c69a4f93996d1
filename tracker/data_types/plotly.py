"""Interactive plots."""

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
    """A plot of plotly, or one of matplotlib made into such.

    Args:
        val: A figure of plotly; or a figure, axes or ``pyplot`` of matplotlib, for which plotly must be
            installed.

    Raises:
        ValueError: It is none of these, or a matplotlib figure with images in it.
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
        """Return what logging a figure stores: a plot, or an image where it cannot be made one.

        wandb raises where plotly is missing or refuses the figure; here it becomes an image, so that a run
        without plotly keeps its figures.
        """
        if not figures.is_matplotlib(val):
            return cls(val)
        if figures.contains_images(val) or not figures.has_plotly():
            return Image(val)
        try:
            return cls(val)
        except Exception as error:  # plotly's converter knows only some kinds of plots
            logs.log(logs.INFO, "a figure is logged as an image: plotly cannot convert it", error)
            return Image(val)

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Media:
        """Not there in wandb either: plots cannot stand in artifacts."""
        raise UsageError("plots cannot be read back from an artifact: log them with run.log")


def _plain(value: Any) -> Any:
    """Return plotly's JSON with all arrays as lists, however long."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, WBValue):
        return type(value).__name__
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return values.to_plain(value)
