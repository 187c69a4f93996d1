"""What can be logged beside plain values, under wandb's names; each type is loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.data_types.audio import Audio
    from tracker.data_types.base import WBValue
    from tracker.data_types.bokeh import Bokeh
    from tracker.data_types.boxes import BoundingBoxes2D
    from tracker.data_types.classes import Classes
    from tracker.data_types.eval_table import EvalTable
    from tracker.data_types.graph import Graph, Node
    from tracker.data_types.histogram import Histogram
    from tracker.data_types.html import Html
    from tracker.data_types.image import Image
    from tracker.data_types.joined import JoinedTable, PartitionedTable
    from tracker.data_types.masks import ImageMask
    from tracker.data_types.media import BatchableMedia, Media
    from tracker.data_types.molecule import Molecule
    from tracker.data_types.object3d import Object3D, box3d
    from tracker.data_types.plotly import Plotly
    from tracker.data_types.table import Table
    from tracker.data_types.unsupported import WBTraceTree, _SavedModel
    from tracker.data_types.video import Video

_HOMES = {
    "Audio": "audio",
    "BatchableMedia": "media",
    "Bokeh": "bokeh",
    "BoundingBoxes2D": "boxes",
    "Classes": "classes",
    "EvalTable": "eval_table",
    "Graph": "graph",
    "Histogram": "histogram",
    "Html": "html",
    "Image": "image",
    "ImageMask": "masks",
    "JoinedTable": "joined",
    "Media": "media",
    "Molecule": "molecule",
    "Node": "graph",
    "Object3D": "object3d",
    "PartitionedTable": "joined",
    "Plotly": "plotly",
    "Table": "table",
    "Video": "video",
    "WBTraceTree": "unsupported",
    "WBValue": "base",
    "_SavedModel": "unsupported",
    "box3d": "object3d",
}

__all__ = [
    "Audio",
    "BatchableMedia",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "EvalTable",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Media",
    "Molecule",
    "Node",
    "Object3D",
    "PartitionedTable",
    "Plotly",
    "Table",
    "Video",
    "WBTraceTree",
    "WBValue",
    "_SavedModel",
    "box3d",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tracker.data_types' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
