"""Imports every type that may stand in a cell of a table: read back by its name, it must be known."""

from tracker.data_types import (  # noqa: F401
    audio,
    bokeh,
    boxes,
    classes,
    html,
    image,
    masks,
    molecule,
    object3d,
    plotly,
    video,
)
