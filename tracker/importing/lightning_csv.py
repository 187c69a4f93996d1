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
from tracker.importing.source import Found, Origin, Parent, UnreadableError

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


class CsvSource:
    """One CSV file with a header. Each row has the column ``step``, or is a step itself.

    Args:
        path: The file.
        name: Name of its run.
    """

    parent: Parent | None = None
    complete = False

    def __init__(self, path: Path, name: str) -> None:
        self.position: Any = None
        self._name = name
        found = path.stat()
        self._time = found.st_mtime
        hparams = path.parent / HPARAMS
        started_at = min(self._time, hparams.stat().st_mtime) if hparams.is_file() else self._time
        # The file contains no id: its place identifies the run.
        identity = os.fspath(path.resolve())
        run_id = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        self.origin = Origin("csv", path, identity, None, run_id, started_at, found.st_size)

    def read(self, out: Output, known: Any) -> Iterator[int]:
        """See ``Source.read``."""
        skip = known if isinstance(known, int) else 0
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
        out.muted = skip > 0
        count, step, done = 0, 0, 0
        row: dict[str, Any] = {}

        def lines() -> Iterator[str]:
            nonlocal done
            for line in file:
                if not line.endswith(b"\n"):
                    out.problems.append("the last line is incomplete and is not imported")
                    return
                done += len(line)
                yield line.decode("utf-8", "replace")

        with origin.path.open("rb") as file:
            reader = csv.reader(lines())
            header = next(reader, None)
            if not header:
                raise UnreadableError("it has no header")
            at = header.index("step") if "step" in header else None
            for cells in reader:
                values = {
                    key: _number(cell) for key, cell in zip(header, cells, strict=False) if cell != "" and key
                }
                own = values.pop("step", None) if at is not None else count
                own = int(own) if isinstance(own, (int, float)) and own == own else step
                if row and (own != step or not row.keys().isdisjoint(values)):
                    out.row(step, self._time, row)
                    row = {}
                step = own
                row.update(values)
                count += 1
                if count == skip:
                    out.muted = False
                    row = {}  # the end of the earlier import has written this row
                yield done
        if row:
            out.row(step, self._time, row)
        if count < skip:
            raise UnreadableError(f"it has only {count} rows, but {skip} were imported before")
        self.position = count
        out.finish("finished")  # the file does not say how the run ended


def _number(cell: str) -> Any:
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return {"True": True, "False": False}.get(cell, cell)
