"""3D objects: models from files, point clouds, and scenes of points, boxes and vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types import dtypes
from tracker.data_types.media import BatchableMedia, read_text
from tracker.ground.values import dumps

_SHAPES = (
    "The shape of the numpy array must be one of either: [[x y z], ...] nx3, "
    "[[x y z c], ...] nx4 where c is a category with supported range [1, 14], or "
    "[[x y z r g b], ...] nx6 where rgb is color; this one is {}"
)


class Object3D(BatchableMedia):
    """A 3D model, a point cloud or a scene.

    Args:
        data_or_path: One of three forms. A file: its path, or an open file (obj, gltf, glb, babylon, stl or
            pts.json). A point cloud: an array of shape (n, 3) with x, y, z; (n, 4) with a category 1..14 in
            addition; or (n, 6) with r, g, b in addition. A scene: ``{"type": "lidar/beta",
            "points": array, "boxes": array, "vectors": array}``.
        caption: Text shown with the object.
        **kwargs: ``file_type``, such as ``"obj"``. Required for a stream without a name.

    Raises:
        ValueError: ``data_or_path`` has none of these forms, or the file type is missing or unknown.
        OSError: The file cannot be read.
    """

    SUPPORTED_TYPES: ClassVar[set[str]] = {"obj", "gltf", "glb", "babylon", "stl", "pts.json"}
    SUPPORTED_POINT_CLOUD_TYPES: ClassVar[set[str]] = {"lidar/beta"}
    _log_type = "object3D-file"
    folder = "object3D"

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: str | None) -> None:
        self._caption = caption
        if hasattr(data_or_path, "read") and isinstance(getattr(data_or_path, "name", None), str):
            data_or_path = data_or_path.name
        if hasattr(data_or_path, "read"):
            extension = kwargs.pop("file_type", None)
            if extension is None:
                raise ValueError("Must pass file type keyword argument when using io objects.")
            if extension not in self.SUPPORTED_TYPES:
                raise ValueError(f"Object 3D only supports numpy arrays or files of the type: {_types()}")
            text = read_text(data_or_path)[0]
            self._take(text if isinstance(text, bytes) else text.encode(), f".{extension}")
        elif isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            for extension in self.SUPPORTED_TYPES:
                if path.endswith(extension):
                    self._take_file(path, f".{extension}")
                    return
            raise ValueError(
                f"File '{path}' is not compatible with Object3D: supported types are: {_types()}"
            )
        elif isinstance(data_or_path, dict) and "type" in data_or_path:
            if data_or_path["type"] not in self.SUPPORTED_POINT_CLOUD_TYPES:
                raise ValueError("Type not supported, only 'lidar/beta' is currently supported")
            scene = {name: _as_list(data_or_path.get(name, [])) for name in ("vectors", "points", "boxes")}
            self._take(dumps({"type": data_or_path["type"], **scene}).encode(), ".pts.json")
        elif _is_array(data_or_path):
            self._take(dumps(_as_points(data_or_path).tolist()).encode(), ".pts.json")
        else:
            raise ValueError("data must be a numpy array, dict or a file object")

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Object3D:
        """Return an object from the path of a file, or from an open file of type ``file_type``."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Object3D:
        """Return a point cloud from an array; see the class for its shape.

        Raises:
            ValueError: ``data`` is not an array, or has another shape.
        """
        if not _is_array(data):
            raise ValueError("`data` must be a numpy array")
        return cls(_as_points(data))

    @classmethod
    def from_point_cloud(
        cls,
        points: Sequence[Any],
        boxes: Sequence[Any],
        vectors: Sequence[Any] | None = None,
        point_cloud_type: str = "lidar/beta",
    ) -> Object3D:
        """Return a scene of points, boxes and vectors.

        Args:
            points: Points of 3, 4 or 6 numbers.
            boxes: Boxes that ``box3d`` returned.
            vectors: One ``{"start": point, "end": point}`` for each vector.
            point_cloud_type: Only ``"lidar/beta"`` is supported.

        Raises:
            ValueError: The type is not supported.
        """
        if point_cloud_type not in cls.SUPPORTED_POINT_CLOUD_TYPES:
            raise ValueError("Point cloud type not supported")
        import numpy as np

        return cls(
            {
                "type": point_cloud_type,
                "points": np.array(points),
                "boxes": np.array(boxes),
                "vectors": np.array([] if vectors is None else vectors),
            }
        )

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        if self._extension != ".pts.json":
            raise ValueError("Non-point cloud 3D objects are not yet supported with Artifacts")
        return super()._to_artifact(artifact)

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        described = [each.to_json(run) for each in seq]
        return {
            "_type": "object3D",
            "filenames": [each["path"].removeprefix(f"{cls.get_media_subdir()}/") for each in described],
            "count": len(described),
            "objects": described,
        }


def box3d(
    *,
    center: Any,
    size: Any,
    orientation: Any,
    color: tuple[float, float, float],
    label: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """Return a box for ``Object3D.from_point_cloud``.

    Args:
        center: x, y, z of the centre.
        size: Lengths along the axes of the box.
        orientation: The rotation as a quaternion (r, i, j, k) that is not zero. The signs of its components
            are dropped, so that boxes look as in wandb (wandb: ``sdk/data_types/object_3d.py``).
        color: r, g, b in 0..1.
        label: Text shown with the box.
        score: A number such as the confidence of a detector.

    Raises:
        ValueError: The quaternion is zero.
        AssertionError: ``center``, ``size`` or ``orientation`` has the wrong length.
    """
    import numpy as np

    middle, lengths, turn = (np.asarray(each, dtype="float64") for each in (center, size, orientation))
    assert middle.shape == (3,), "center needs 3 numbers"
    assert lengths.shape == (3,), "size needs 3 numbers"
    assert turn.shape == (4,), "orientation needs 4 numbers"
    turn = np.abs(turn)
    if not turn.any():
        raise ValueError("Unexpected zero quaternion.")
    turn = turn / turn.max()
    r, i, j, k = turn / np.linalg.norm(turn)
    # The rotation matrix for row vectors.
    rotation = np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j + k * r), 2 * (i * k - j * r)],
            [2 * (i * j - k * r), 1 - 2 * (i * i + k * k), 2 * (j * k + i * r)],
            [2 * (i * k + j * r), 2 * (j * k - i * r), 1 - 2 * (i * i + j * j)],
        ]
    )
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype="float64")
    corners = middle + (lengths / 2 * signs) @ rotation
    return {
        "corners": tuple(tuple(float(at) for at in corner) for corner in corners),
        "color": color,
        "label": label,
        "score": score,
    }


def _types() -> str:
    return ", ".join(sorted(Object3D.SUPPORTED_TYPES))


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _as_points(data: Any) -> Any:
    import numpy as np

    array = np.asarray(data.detach().cpu() if hasattr(data, "detach") else data)
    if array.ndim != 2 or array.shape[1] not in (3, 4, 6):
        raise ValueError(_SHAPES.format(array.shape))
    return array


def _as_list(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value)


dtypes.register(Object3D, dtypes.file_type("object3D-file"))
