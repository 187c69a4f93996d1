"""Conversion of values other than plain ones for ``log``: media, tables, charts, figures, data frames."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tracker.data_types import figures
from tracker.data_types.base import WBValue
from tracker.data_types.media import BatchableMedia, Media
from tracker.ground import public_package
from tracker.ground.values import check_depth, to_plain

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

_LONGEST_NAME = 128  # characters of an artifact's name


class MediaSink:
    """Stores the media files of a run, and the artifacts and class labels that belong to them."""

    def __init__(self, run: Run) -> None:
        self.owner = run

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """See ``FileSink``."""
        return self.owner.save_file(path, data, mimetype)

    def note_labels(self, kind: str, key: str, labels: dict[str, str]) -> None:
        """See ``FileSink``."""
        self.owner.note((kind, key), {"type": kind, "key": key, "value": labels})

    def log_object(self, obj: Any, key: str, entry: str | None = None) -> None:
        """Log a table as artifact ``run-ID-KEY``, or an increment of a table as ``run-ID-incr-KEY``.

        See ``FileSink.log_object``.

        Args:
            obj: The table.
            key: The key in the history.
            entry: For an increment of a table: its name inside the artifact.
        """
        run = self.owner
        if run.disabled or run.layout is None:
            return
        from tracker.artifacts.artifact import Artifact

        infix = "" if entry is None else "incr-"
        artifact = Artifact(table_artifact_name(f"run-{run.id}-{infix}{key}"), "run_table")
        if entry is not None:
            artifact.type = "wandb-run-incremental-table"
            artifact.incremental = True
        try:
            artifact.add(obj, entry or key)
            run.log_artifact(artifact)
        except OSError as error:
            # Do not stop the training. The table's file waits in memory until writing works again.
            run._warn(f"Table {key!r} is stored in the run, but its artifact was not created: {error}")


def to_plain_row(run: Run, data: dict[str, Any], step: int | str) -> dict[str, Any]:
    """Return a row with plain values. Store its media, and replace charts by their tables.

    Args:
        run: The run.
        data: The row as it was logged.
        step: The row's step, or ``"summary"``. It is a part of the names of media files.

    Raises:
        TypeError: A value cannot be encoded.
    """
    sink = MediaSink(run)
    if public_package.loaded("tracker.plot.custom_chart"):
        data = _without_charts(run, data)
    plain = {key: to_history(sink, key, step, value) for key, value in data.items()}
    return without_empty(plain)


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row without empty dicts, as in wandb's history (corpus: ``values.nested_dicts``)."""
    kept = {}
    for key, value in values.items():
        if type(value) is dict and "_type" not in value:
            value = without_empty(value)
            if not value:
                continue
        kept[key] = value
    return kept


def to_history(sink: MediaSink, key: str, step: int | str, value: Any) -> Any:
    """Return the form in which the history keeps a value.

    Args:
        sink: Stores media files.
        key: The value's key. It is a part of the names of media files.
        step: The row's step, or ``"summary"``. It is a part of the names of media files.
        value: The value.

    Raises:
        TypeError: The value cannot be encoded.
    """
    return _to_history(sink, key, step, value, 0)


def _to_history(sink: MediaSink, key: str, step: int | str, value: Any, depth: int) -> Any:
    check_depth(depth)
    if isinstance(value, dict):
        # wandb also names the file of a nested value after the innermost key alone.
        return {
            str(name): _to_history(sink, str(name), step, item, depth + 1) for name, item in value.items()
        }
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, WBValue) for item in value):
        return _to_history_list(sink, key, step, value)
    if figures.is_data_frame(value):
        from tracker.data_types.table import Table

        value = Table(dataframe=value)
    elif figures.is_matplotlib(value) or figures.is_plotly_figure(value):
        from tracker.data_types.plotly import Plotly

        value = Plotly.make_plot_media(value)
    if isinstance(value, Media):
        return value.to_history(sink, key, step)
    if isinstance(value, WBValue):
        return value.to_json(sink.owner)
    return to_plain(
        value,
        # wandb also allows media only in lists that contain nothing else.
        lambda item: (
            _refuse(item)
            if item is value or isinstance(item, WBValue)
            else _to_history(sink, key, step, item, depth + 1)
        ),
        depth,
    )


def _to_history_list(sink: MediaSink, key: str, step: int | str, values: Sequence[Any]) -> Any:
    first = type(values[0])
    if not issubclass(first, BatchableMedia) or not all(isinstance(value, first) for value in values):
        return [_to_history(sink, key, step, value, 1) for value in values]
    most = getattr(first, "MAX_ITEMS", len(values))
    if len(values) > most:
        from tracker.ground.terminal import say

        say(f"Only the first {most} of {len(values)} {first.__name__}s of {key!r} are kept, as wandb does.")
        values = values[:most]
    for value in values:
        value.bind_to_run(sink, key, step)
    return first.seq_to_json(values, sink.owner, key, step)


def _refuse(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _without_charts(run: Run, data: dict[str, Any]) -> dict[str, Any]:
    """Return a row in which tables replace the charts. The appearance of the charts goes to the config."""
    from tracker.plot.custom_chart import CustomChart, Visualize

    def pop(values: dict[str, Any], prefix: str, depth: int = 0) -> dict[str, Any]:
        check_depth(depth)
        kept = {}
        for key, value in values.items():
            if isinstance(value, (CustomChart, Visualize)):
                charts[prefix + key] = value
            else:
                rest = pop(value, f"{prefix}{key}.", depth + 1) if type(value) is dict and value else value
                if rest is value or rest:  # drop a dict that contained only charts
                    kept[key] = rest
        return kept

    charts: dict[str, CustomChart | Visualize] = {}
    row = pop(data, "")
    for key, chart in charts.items():
        chart.set_key(key)
        run.note(chart.spec.config_key[1:], chart.spec.config_value)
        row[chart.spec.table_key if isinstance(chart, CustomChart) else key] = chart.table
    return row


def table_artifact_name(name: str) -> str:
    """Return an allowed name for the artifact of a table.

    Characters that are not allowed are removed, and a checksum is appended
    (wandb: ``sdk/artifacts/_internal_artifact.py``). Names that are too long are cut. wandb refuses them.
    """
    kept = re.sub(r"[^a-zA-Z0-9_\-.]+", "", name)
    if kept != name:
        total = crc32(name.encode()).to_bytes(4, "big")
        kept = f"{kept}-{urlsafe_b64encode(total).rstrip(b'=').decode()}"
    if len(kept) > _LONGEST_NAME:
        kept = f"{kept[: _LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return kept
