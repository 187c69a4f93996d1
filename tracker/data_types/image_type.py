"""The type of a table column with images. It lists the boxes, masks and classes of the images."""

from __future__ import annotations

from typing import Any

from tracker.data_types import dtypes


class ImageFileType(dtypes.Type):
    """Images. Each image adds the names of its boxes, masks and classes to the type of the column."""

    name = "image-file"

    def __init__(
        self,
        box_layers: Any = None,
        box_score_keys: Any = None,
        mask_layers: Any = None,
        box_class_maps: Any = None,
        mask_class_maps: Any = None,
        class_map: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(
            box_layers=_const({key: set(ids) for key, ids in _value(box_layers, {}).items()}),
            box_score_keys=_const(set(_value(box_score_keys, ()))),
            mask_layers=_const({key: set(ids) for key, ids in _value(mask_layers, {}).items()}),
            box_class_maps=_const(_texts(_value(box_class_maps, {}))),
            mask_class_maps=_const(_texts(_value(mask_class_maps, {}))),
            class_map=_const(dict(_value(class_map, {}))),
        )

    @classmethod
    def of(cls, image: Any) -> ImageFileType:
        """Return the type of one image; for None, the type of an image without annotations."""
        boxes = (None if image is None else image._boxes) or {}
        masks = (None if image is None else image._masks) or {}
        classes = None if image is None else image._classes
        return cls(
            {str(key): set(layer._class_labels) for key, layer in boxes.items()},
            {name for layer in boxes.values() for box in layer._val for name in box.get("scores", {})},
            {str(key): set(layer.class_labels) for key, layer in masks.items()},
            {key: layer._class_labels for key, layer in boxes.items()},
            {key: layer.class_labels for key, layer in masks.items() if layer.class_labels},
            {} if classes is None else {str(each["id"]): each["name"] for each in classes._class_set},
        )

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        if not isinstance(other, ImageFileType):
            return None
        if self.params == other.params:
            return self
        mine, theirs = self.values, other.values
        return ImageFileType(
            *(
                _merged(mine[name], theirs[name])
                for name in (
                    "box_layers",
                    "box_score_keys",
                    "mask_layers",
                    "box_class_maps",
                    "mask_class_maps",
                    "class_map",
                )
            )
        )

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the type as plain values, by name."""
        return {name: const.params["val"] for name, const in self.params.items()}


def _merged(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, set):
        return mine | theirs
    if isinstance(mine, dict):
        return {
            str(key): _merged(mine[key], theirs[key])
            if key in mine and key in theirs
            else mine.get(key, theirs.get(key))
            for key in [*mine, *(key for key in theirs if key not in mine)]
        }
    return mine


def _value(given: Any, otherwise: Any) -> Any:
    if isinstance(given, dtypes.ConstType):
        given = given.params["val"]
    return given or otherwise


def _const(value: Any) -> dtypes.ConstType:
    return dtypes.ConstType(value)


def _texts(maps: dict[Any, dict[Any, str]]) -> dict[str, dict[str, str]]:
    return {str(key): {str(each): name for each, name in names.items()} for key, names in maps.items()}
