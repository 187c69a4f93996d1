"""Conversion of TensorBoard summaries to history values. A key is NAMESPACE/TAG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from struct import pack
from typing import Any

from tracker.capture import logs
from tracker.data_types.histogram import Histogram
from tracker.ground.terminal import say


class Converter:
    """Converts the events of one directory.

    Args:
        namespace: The prefix of each key. It may be empty.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        # Only the first value of a tag names the plugin that the tag belongs to.
        self._plugins: dict[str, str] = {}
        # Keys with a value that could not be converted. Each is reported once.
        self._refused: set[str] = set()

    def values(self, event: Any) -> Iterator[tuple[str, Any]]:
        """Yield the key and value of each scalar, histogram, image and PR curve of an event.

        Text, audio, graphs and hyperparameters are not logged.
        """
        for value in event.summary.value:
            if not value.tag:
                continue
            plugin = value.metadata.plugin_data.plugin_name or self._plugins.get(value.tag, "")
            self._plugins[value.tag] = plugin
            key = f"{self._namespace}/{value.tag}" if self._namespace else value.tag
            try:
                converted = _convert(value, plugin)
            except Exception as error:  # the bytes come from any program, so a library may raise anything
                if key not in self._refused:
                    self._refused.add(key)
                    logs.log(logs.WARNING, f"TensorBoard: {key} is not logged", error)
                    say(f"TensorBoard: {key} at step {event.step} is not logged: {error}", silent=False)
                continue
            if converted is not None:
                yield key, converted


def _convert(value: Any, plugin: str) -> Any:
    kind = value.WhichOneof("value")
    if kind == "simple_value" and plugin in ("", "scalars"):
        return shortest(value.simple_value)
    if kind == "histo" and plugin in ("", "histograms"):
        histogram = value.histo
        return histogram_of_buckets(histogram.min, list(histogram.bucket_limit), list(histogram.bucket))
    if kind == "image" and plugin in ("", "images"):
        return _images([value.image.encoded_image_string])
    if kind == "tensor" and plugin == "images":
        return _images(value.tensor.string_val[2:])  # the first two are width and height
    if kind == "tensor" and plugin in ("scalars", "histograms", "pr_curves"):
        from tensorboard.util.tensor_util import make_ndarray

        array = make_ndarray(value.tensor)
        if plugin == "scalars":
            return _scalar(array)
        return histogram_from_rows(array) if plugin == "histograms" else pr_curve(array)
    return None


def shortest(number: float) -> float:
    """Return the shortest decimal of a 32-bit number: 0.1, not 0.10000000149."""
    exact = pack("<f", number)
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        if pack("<f", short) == exact:
            return short
    return float(f"{number:.9g}")


def _scalar(array: Any) -> Any:
    if array.size != 1 or array.dtype.kind not in "fiub":
        return None
    number = array.reshape(()).item()
    return shortest(number) if array.dtype == "float32" else number


def histogram_of_buckets(minimum: float, limits: list[float], counts: list[float]) -> Histogram | None:
    """Return a histogram from the upper limits of buckets. An empty first bucket is dropped.

    Args:
        minimum: The smallest value.
        limits: Upper limit of each bucket.
        counts: Number of values in each bucket.
    """
    if not limits or len(limits) != len(counts):
        return None
    if counts[0] == 0:  # the first bucket has no left edge
        counts = counts[1:]
    elif minimum < limits[0]:
        limits = [minimum, *limits]
    else:
        return None
    return _histogram(counts, limits) if counts else None


def _histogram(counts: list[float], edges: list[float]) -> Histogram:
    """Return a histogram with at most ``Histogram.MAX_LENGTH`` bins.

    PyTorch's default has 1,500 buckets, most of them empty. First, empty buckets at both ends are removed.
    Then neighbours are merged.
    """
    while len(counts) > Histogram.MAX_LENGTH and counts[-1] == 0:
        counts, edges = counts[:-1], edges[:-1]
    first = next((at for at, count in enumerate(counts) if count), 0)
    if len(counts) > Histogram.MAX_LENGTH:
        counts, edges = counts[first:], edges[first:]
    while len(counts) > Histogram.MAX_LENGTH:
        if len(counts) % 2:
            counts, edges = [*counts, 0.0], [*edges, edges[-1]]
        counts = [left + right for left, right in zip(counts[::2], counts[1::2], strict=True)]
        edges = edges[::2]
    return Histogram(np_histogram=(counts, edges))


def histogram_from_rows(array: Any) -> Histogram | None:
    """Return a histogram from rows of left edge, right edge and count."""
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != 3:
        return None
    return _histogram(array[:, 2].tolist(), [*array[:, 0].tolist(), float(array[-1, 1])])


def pr_curve(array: Any) -> Any:
    """Return a table with recall and precision. The last two rows of the array are precision and recall."""
    from tracker.data_types.table import Table

    precision, recall = array[-2].tolist(), array[-1].tolist()
    points = sorted(
        ([x, y] for x, y in zip(recall, precision, strict=True) if x or y), key=lambda at: (at[0], -at[1])
    )
    return Table(columns=["recall", "precision"], data=points)


def _images(encoded: Any) -> Any:
    from PIL import Image as Pillow

    from tracker.data_types.image import Image

    made = [Image(Pillow.open(io.BytesIO(data))) for data in encoded if data]
    return made or None
