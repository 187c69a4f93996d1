"""What a row of ``log`` holds beside plain values: media, tables, charts, figures and data frames."""

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

_LONGEST_NAME = 128  # of an artifact


class MediaSink:
    """Takes a run's media files, and what goes with them: artifacts of tables, labels of classes."""

    def __init__(self, run: Run) -> None:
        self.owner = run

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """See ``FileSink``."""
        return self.owner.save_file(path, data, mimetype)

    def note_labels(self, kind: str, key: str, labels: dict[str, str]) -> None:
        """See ``FileSink``."""
        self.owner.note((kind, key), {"type": kind, "key": key, "value": labels})

    def log_object(self, obj: Any, key: str, entry: str | None = None) -> None:
        """See ``FileSink``: as artifact ``run-ID-KEY``; increments of a table in one of their own.

        Args:
            obj: A table.
            key: Of the history.
            entry: Name inside the artifact, for an increment of a table.
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
            # Training goes on: the table's file waits in memory until writing works again.
            run._warn(f"the table {key!r} is kept in the run, without an artifact: {error}")


def to_plain_row(run: Run, data: dict[str, Any], step: int | str) -> dict[str, Any]:
    """Return a row's plain values; media in it are stored, charts become their tables.

    Raises:
        TypeError: A value cannot be encoded.
    """
    sink = MediaSink(run)
    if public_package.loaded("tracker.plot.custom_chart"):
        data = _without_charts(run, data)
    plain = {key: to_history(sink, key, step, value) for key, value in data.items()}
    return without_empty(plain)


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row without dicts that hold nothing, which wandb's history has not either."""
    kept = {}
    for key, value in values.items():
        if type(value) is dict and "_type" not in value:
            value = without_empty(value)
            if not value:
                continue
        kept[key] = value
    return kept


def to_history(sink: MediaSink, key: str, step: int | str, value: Any) -> Any:
    """Return what stands in the history for one value; ``key`` names the files of media in it.

    Raises:
        TypeError: There is nothing that could.
    """
    return _to_history(sink, key, step, value, 0)


def _to_history(sink: MediaSink, key: str, step: int | str, value: Any, depth: int) -> Any:
    check_depth(depth)
    if isinstance(value, dict):
        # As in wandb, a nested value's file is named after its own key alone.
        return {
            str(name): _to_history(sink, str(name), step, item, depth + 1) for name, item in value.items()
        }
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, WBValue) for item in value):
        return _several(sink, key, step, value)
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
        # As in wandb, media stand in lists of their own kind.
        lambda item: (
            _refuse(item)
            if item is value or isinstance(item, WBValue)
            else _to_history(sink, key, step, item, depth + 1)
        ),
        depth,
    )


def _several(sink: MediaSink, key: str, step: int | str, values: Sequence[Any]) -> Any:
    first = type(values[0])
    if not issubclass(first, BatchableMedia) or not all(isinstance(value, first) for value in values):
        return [_to_history(sink, key, step, value, 1) for value in values]
    most = getattr(first, "MAX_ITEMS", len(values))
    if len(values) > most:
        from tracker.ground.terminal import say

        say(f"only the first {most} of {len(values)} {first.__name__}s of {key!r} are kept, as in wandb")
        values = values[:most]
    for value in values:
        value.bind_to_run(sink, key, step)
    return first.seq_to_json(values, sink.owner, key, step)


def _refuse(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _without_charts(run: Run, data: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its charts' tables in the place of charts; what they look like goes to the config."""
    from tracker.plot.custom_chart import CustomChart, Visualize

    def pop(values: dict[str, Any], prefix: str, depth: int = 0) -> dict[str, Any]:
        check_depth(depth)
        kept = {}
        for key, value in values.items():
            if isinstance(value, (CustomChart, Visualize)):
                charts[prefix + key] = value
            else:
                rest = pop(value, f"{prefix}{key}.", depth + 1) if type(value) is dict and value else value
                if rest is value or rest:  # else it held charts alone
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
    """Return a name that an artifact may have: as wandb, what is not allowed left out and a sum added.

    A name that is too long is cut (wandb refuses it).
    """
    kept = re.sub(r"[^a-zA-Z0-9_\-.]+", "", name)
    if kept != name:
        total = crc32(name.encode()).to_bytes(4, "big")
        kept = f"{kept}-{urlsafe_b64encode(total).rstrip(b'=').decode()}"
    if len(kept) > _LONGEST_NAME:
        kept = f"{kept[: _LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return kept
