"""The history of a run: sampled rows, a scan over all rows, and export to Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import ApiUsageError
from tracker.ground.export_formats import FORMATS, Format
from tracker.ground.names import RunPath
from tracker.ground.values import loads
from tracker.reading.run_data_reader import HistoryReader
from tracker.runstate.merge import Rank

Row = dict[str, Any]
_MISSING = object()


def check_keys(keys: Any) -> list[str] | None:
    """Return ``keys`` as a list, or None.

    Raises:
        ApiUsageError: ``keys`` is not a list of strings. wandb raises ValueError or prints a message.
    """
    if keys is None:
        return None
    if isinstance(keys, (str, bytes)) or not isinstance(keys, (list, tuple)):
        raise ApiUsageError(f"keys must be specified in a list, not {type(keys).__name__}")
    if not all(isinstance(key, str) for key in keys):
        raise ApiUsageError("keys argument must be a list of strings")
    return list(keys)


def sampled(rows: list[Row], samples: int | None) -> list[Row]:
    """Return at most ``samples`` rows, evenly spaced and including the last row; all rows for None or 0."""
    if samples is None or not len(rows) > samples > 0:
        return rows
    return [rows[(at + 1) * len(rows) // samples - 1] for at in range(samples)]


def read_rows(
    reader: HistoryReader,
    run_path: RunPath,
    keys: list[str] | None,
    complete: bool,
    segment: str | None,
    rank: Rank | None = None,
) -> list[Row]:
    """Return rows of a run's history. A key with dots also names a value in nested dicts.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        keys: Return only these keys, and only rows that have at least one of them.
        complete: Return only rows that have all keys.
        segment: The id of a segment, to return all its rows; None for the newest branch of the run.
        rank: Return the rows of this rank instead; with ``"all"``, of all ranks, each with ``_rank``.
    """
    dotted = [key for key in keys or () if "." in key]
    if keys is None or not dotted:
        return reader.history(*run_path, keys, complete, segment, rank)
    wanted = [*keys, *(key.split(".", 1)[0] for key in dotted)]
    found = []
    for row in reader.history(*run_path, list(dict.fromkeys(wanted)), False, segment, rank):
        picked = {key: value for key in keys if (value := _value_at(row, key, _MISSING)) is not _MISSING}
        if picked and (not complete or len(picked) == len(keys)):
            axes = {axis: row[axis] for axis in ("_step", "_rank") if axis in row}
            found.append(axes | picked)
    return found


def stream_rows(
    reader: HistoryReader,
    run_path: RunPath,
    keys: Sequence[str] | None = None,
    first: int | None = None,
    rank: Rank | None = None,
) -> Iterator[Row]:
    """Yield rows of a run's history in bounded memory, in the order of their steps.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        keys: Return only these keys, and only rows that have at least one of them. None: all keys.
        first: The first step. None: all steps.
        rank: Return the rows of this rank, or of all ranks; None for the newest branch of the run.
    """
    rest = b""
    for piece in reader.export_history(*run_path, "jsonl", keys=keys, rank=rank, min_step=first):
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(loads, lines)


def _value_at(row: Any, key: str, default: Any) -> Any:
    if isinstance(row, dict) and key in row:
        return row[key]
    first, dot, rest = key.partition(".")
    return _value_at(row[first], rest, default) if dot and isinstance(row, dict) and first in row else default


class HistoryScan:
    """An iterator over the rows of a run's history, in the order of their steps.

    Each ``for`` loop starts at the first row.

    Attributes:
        keys: The scan returns only these keys, and only rows that have all of them. None returns all keys.
        min_step: The first step.
        page_size: Accepted for compatibility.
    """

    def __init__(
        self,
        read: Callable[[], list[Row]],
        keys: list[str] | None,
        min_step: int,
        max_step: int | None,
        page_size: int,
    ) -> None:
        self._read = read
        self._stop_step = max_step
        self._rows: Iterator[Row] | None = None
        self.keys = keys
        self.min_step = min_step
        self.page_size = page_size

    @property
    def max_step(self) -> int | None:
        """The highest step that the scan includes; None without a limit."""
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
        for row in self._read():
            step = row["_step"]
            # A script may have logged negative steps. The default 0 includes them.
            if (first == 0 or step >= first) and (stop is None or step < stop):
                yield row if self.keys is None else {key: row[key] for key in self.keys}


class IncompleteRunHistoryError(Exception):
    """The run is still running, but the caller requires the complete history."""


@dataclass(frozen=True)
class DownloadHistoryResult:
    """The result of ``Run.download_history_exports``.

    Attributes:
        paths: The Parquet files.
        contains_live_data: Whether the run is still running, so that the files can miss new rows.
        errors: Always None here. A file that cannot be written raises OSError instead.
    """

    paths: list[Path]
    contains_live_data: bool
    errors: dict[Path, str] | None = None


def format_of(path: Path) -> Format:
    """Return the format of an exported file by the ending of its name.

    Raises:
        ApiUsageError: The ending is unknown.
    """
    for name, facts in FORMATS.items():
        if path.suffix in (f".{facts.ending}", f".{name}"):
            return name
    endings = ", ".join(f".{facts.ending}" for facts in FORMATS.values())
    raise ApiUsageError(f"unknown ending of {path.name!r}: use one of {endings}")


def save(path: Path, content: Iterable[bytes]) -> None:
    """Write a file. The file gets its name when it is complete.

    Args:
        path: The file; its folder is created if it does not exist.
        content: The content, in pieces.
    """
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        with unfinished.open("wb") as file:
            file.writelines(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
