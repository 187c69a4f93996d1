"""A run's history as ``Api`` gives it: sampled, scanned step by step, or written as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import ApiUsageError
from tracker.ground.names import RunPath
from tracker.reading.reader import HistoryReader

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
_MISSING = object()


def check_keys(keys: Any) -> list[str] | None:
    """Return keys of a history.

    Raises:
        ApiUsageError: They are no list of strings; wandb raises ValueError or prints a line.
    """
    if keys is None:
        return None
    if isinstance(keys, (str, bytes)) or not isinstance(keys, (list, tuple)):
        raise ApiUsageError(f"keys must be specified in a list, not {type(keys).__name__}")
    if not all(isinstance(key, str) for key in keys):
        raise ApiUsageError("keys argument must be a list of strings")
    return list(keys)


def sampled(rows: list[Row], samples: int | None) -> list[Row]:
    """Return at most ``samples`` rows, evenly spaced, the last one included; all when it is None."""
    if samples is None or not len(rows) > samples > 0:
        return rows
    return [rows[(at + 1) * len(rows) // samples - 1] for at in range(samples)]


def read_rows(
    reader: HistoryReader,
    run_path: RunPath,
    keys: list[str] | None,
    complete: bool,
    segment: str | None,
) -> list[Row]:
    """Return rows of a run's history; a key with dots also names what stands in nested dicts.

    Args:
        reader: Where.
        run_path: Entity, project and id of the run.
        keys: Only these keys, and rows that have any (or, ``complete``, all) of them.
        complete: See ``keys``.
        segment: All rows of one writer's attempt; None: the newest branch.
    """
    dotted = [key for key in keys or () if "." in key]
    if keys is None or not dotted:
        return reader.history(*run_path, keys, complete, segment)
    wanted = [*keys, *(key.split(".", 1)[0] for key in dotted)]
    found = []
    for row in reader.history(*run_path, list(dict.fromkeys(wanted)), False, segment):
        picked = {key: value for key in keys if (value := _dig(row, key, _MISSING)) is not _MISSING}
        if picked and (not complete or len(picked) == len(keys)):
            found.append({"_step": row["_step"], **picked})
    return found


def _dig(row: Any, key: str, default: Any) -> Any:
    if isinstance(row, dict) and key in row:
        return row[key]
    first, dot, rest = key.partition(".")
    return _dig(row[first], rest, default) if dot and isinstance(row, dict) and first in row else default


class HistoryScan:
    """All rows of a run's history by step; each loop over it begins at the first again.

    Attributes:
        keys: Only rows that have all of these, and nothing else of them; None: everything.
        min_step: The first step.
        page_size: Accepted for compatibility.
    """

    def __init__(
        self,
        reader: HistoryReader,
        run_path: RunPath,
        keys: list[str] | None,
        min_step: int,
        max_step: int | None,
        page_size: int,
        segment: str | None,
    ) -> None:
        self._reader = reader
        self._run_path = run_path
        self._segment = segment
        self._stop_step = max_step
        self._rows: Iterator[Row] | None = None
        self.keys = keys
        self.min_step = min_step
        self.page_size = page_size

    @property
    def max_step(self) -> int | None:
        """The highest step that can come; None when every step can."""
        return None if self._stop_step is None else self._stop_step - 1

    def __iter__(self) -> HistoryScan:
        self._rows = self._scan()
        return self

    def __next__(self) -> Row:
        if self._rows is None:
            self._rows = self._scan()
        return next(self._rows)

    next = __next__

    def _scan(self) -> Iterator[Row]:
        first, stop = self.min_step, self._stop_step
        for row in read_rows(self._reader, self._run_path, self.keys, True, self._segment):
            step = row["_step"]
            # A script may have logged negative steps: 0, the default, leaves none of them out.
            if (first == 0 or step >= first) and (stop is None or step < stop):
                yield row if self.keys is None else {key: row[key] for key in self.keys}


class IncompleteRunHistoryError(Exception):
    """The run goes on, and its whole history was asked for."""


@dataclass(frozen=True)
class DownloadHistoryResult:
    """What ``download_history_exports`` wrote.

    Attributes:
        paths: The Parquet files.
        contains_live_data: Whether the run goes on, so that there may be more by now.
        errors: Always None here: what cannot be written raises OSError.
    """

    paths: list[Path]
    contains_live_data: bool
    errors: dict[Path, str] | None = None


def export_history(table: pa.Table, folder: Path, run_id: str, *, live: bool) -> DownloadHistoryResult:
    """Write a history as one Parquet file, under its name once it is whole."""
    import os

    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.history.parquet"
    unfinished = folder / f".{os.urandom(8).hex()}.part"
    try:
        pq.write_table(table, unfinished, compression="zstd")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return DownloadHistoryResult([path], live)
