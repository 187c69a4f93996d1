"""Imports every type that can be read back by its name."""

from tracker.data_types import (  # noqa: F401
    audio,
    bokeh,
    boxes,
    classes,
    html,
    image,
    joined,
    masks,
    molecule,
    object3d,
    plotly,
    table,
    video,
)
