"""Import of the logs of Lightning's ``CSVLogger``: a folder with ``metrics.csv`` and ``hparams.yaml``."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.ground.records import Process, RunStarted
from tracker.importing.hparams_file import HPARAMS, read_hparams
from tracker.importing.output import Output
from tracker.importing.source import Found, GrowingSource, Origin, UnreadableError

_METRICS = "metrics.csv"
# A cell of a CSV file may contain a long text.
csv.field_size_limit(2**31 - 1)


def find_csv(paths: list[Path]) -> Found:
    """Return the runs in folders with a ``metrics.csv``, and in the CSV files that are given."""
    found = Found()
    seen = set()
    for given in paths:
        if given.is_file():
            listed = [given]
        else:
            listed = sorted(Path(top, _METRICS) for top, _, names in os.walk(given) if _METRICS in names)
        for path in listed:
            real = path.resolve()
            if real in seen:
                continue
            seen.add(real)
            below = given.is_dir() and path.parent != given
            name = path.parent.relative_to(given).as_posix() if below else real.parent.name
            try:
                found.sources.append(CsvSource(path, name))
            except OSError as error:
                found.problems.append((path, error.strerror or str(error)))
    return found


class CsvSource(GrowingSource):
    """One CSV file with a header. Each row has the column ``step``, or is a step itself.

    Args:
        path: The file.
        name: Name of its run.
    """

    UNIT = "rows"

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self._name = name
        found = path.stat()
        self._time = found.st_mtime
        hparams = path.parent / HPARAMS
        started_at = min(self._time, hparams.stat().st_mtime) if hparams.is_file() else self._time
        # The file contains no id: its place identifies the run.
        identity = os.fspath(path.resolve())
        run_id = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        self.origin = Origin("csv", path, identity, None, run_id, started_at, found.st_size)

    def _begin(self, out: Output) -> None:
        self._header = b""
        self._row: dict[str, Any] = {}
        self._step = 0
        origin = self.origin
        out.begin(
            RunStarted(
                "",
                "",
                origin.run_id,
                origin.started_at,
                Process("", "", 0, 0, 0),
                name=self._name,
                config=read_hparams(origin.path.parent),
            )
        )

    def read_more(self, out: Output, *, last: bool) -> Iterator[int]:
        """See ``GrowingSource.read_more``.

        Lightning writes the whole file again when a row has a new column. Then the known rows are skipped.
        """
        with self.origin.path.open("rb") as file:
            header = file.readline()
            if not header.endswith(b"\n"):
                if last:
                    raise UnreadableError("it has no header")
                return
            if header != self._header:
                if self._header and self._count > self._skip:
                    self._skip = self._count
                self._header, self._offset, self._count = header, len(header), 0
                out.muted = self._skip > 0
            self._time = os.fstat(file.fileno()).st_mtime
            (names,) = csv.reader([header.decode("utf-8", "replace")])
            file.seek(self._offset)
            at = self._offset

            def lines() -> Iterator[str]:
                nonlocal at
                for line in file:
                    if not line.endswith(b"\n"):
                        if last:
                            self.problems["the last line is incomplete and is not imported"] = None
                        return
                    at += len(line)
                    yield line.decode("utf-8", "replace")

            for cells in csv.reader(lines()):
                self._take(out, names, cells)
                if self._counted(out):
                    self._row = {}  # the end of the earlier import has written this row
                self._offset = at
                yield at

    def _take(self, out: Output, names: list[str], cells: list[str]) -> None:
        values = {key: _number(cell) for key, cell in zip(names, cells, strict=False) if cell != "" and key}
        own = values.pop("step", None) if "step" in names else self._count
        own = int(own) if isinstance(own, (int, float)) and own == own else self._step
        if own != self._step or not self._row.keys().isdisjoint(values):
            self.rest(out)
        self._step = own
        self._row.update(values)

    def rest(self, out: Output) -> None:
        """Write the row of the last step. Further values of this step become another row."""
        if self._row:
            out.row(self._step, self._time, self._row)
            self._row = {}

    def _end(self, out: Output) -> None:
        out.finish("finished")  # the file does not say how the run ended


def _number(cell: str) -> Any:
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return {"True": True, "False": False}.get(cell, cell)
