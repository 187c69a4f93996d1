"""Import of Trackio's runs: an SQLite database for each project, and a folder with media."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from tracker.data_types.media import file_name
from tracker.ground.records import AlertRaised, Process, RunStarted, SystemSample
from tracker.importing.mlflow import local_copy, open_database
from tracker.importing.output import Output
from tracker.importing.source import Found, Origin, Parent

# The types of media: the type in tracker's history, and the folder of the files.
_MEDIA = {
    "trackio.image": ("image-file", "media/images"),
    "trackio.audio": ("audio-file", "media/audio"),
    "trackio.video": ("video-file", "media/videos"),
    "trackio.html": ("html-file", "media/html"),
    "trackio.object3d": ("object3D-file", "media/object3D"),
}
_TABLE, _HISTOGRAM = "trackio.table", "trackio.histogram"
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_LEVELS = {"info": "INFO", "warn": "WARN", "error": "ERROR"}
_SIZE = 200  # estimate of the bytes of a row, for the progress bar


def find_trackio(paths: list[Path]) -> Found:
    """Return the runs in the databases of Trackio. A folder has one database for each project."""
    found = Found()
    for given in paths:
        for path in [given] if given.is_file() else sorted(given.rglob("*.db")):
            try:
                database = local_copy(path)
                with closing(open_database(database)) as session:
                    # Older versions identify a run by its name.
                    columns = [row[1] for row in session.execute("PRAGMA table_info(metrics)")]
                    key = "run_id" if "run_id" in columns else "run_name"
                    runs = session.execute(
                        f"SELECT {key}, MAX(run_name), MIN(timestamp), COUNT(*) FROM metrics GROUP BY {key}"
                    ).fetchall()
            except sqlite3.Error as error:
                found.problems.append((path, f"it is not a database of Trackio: {error}"))
                continue
            except OSError as error:
                found.problems.append((path, error.strerror or str(error)))
                continue
            for run, name, begin, count in runs:
                found.sources.append(TrackioSource(path, database, key, run, name, _time(begin), count))
    return found


class TrackioSource:
    """One run in a database of Trackio.

    Args:
        path: The database.
        database: The path at which it can be opened.
        key: The column that identifies the run.
        run: The value in this column.
        name: The name of the run.
        started_at: Time of its first row in unix seconds.
        count: Number of its rows.
    """

    parent: Parent | None = None
    complete = False  # Trackio does not record the end of a run

    def __init__(
        self, path: Path, database: Path, key: str, run: str, name: str, started_at: float, count: int
    ) -> None:
        self.position: Any = None
        self._database = database
        self._key = key
        self._run = run
        self._name = name
        run_id = run if key == "run_id" else hashlib.sha256(f"{path.stem}/{run}".encode()).hexdigest()[:8]
        self.origin = Origin("trackio", path, run, path.stem, run_id, started_at, count * _SIZE)

    def read(self, out: Output, known: Any) -> Iterator[int]:
        """See ``Source.read``."""
        known = known if isinstance(known, dict) else {}
        last = {table: known.get(table, 0) for table in ("metrics", "system_metrics", "alerts")}
        with closing(open_database(self._database)) as session:
            config = self._config(session)
            internal = {key: config.pop(key) for key in list(config) if key.startswith("_")}
            out.begin(
                RunStarted(
                    "",
                    "",
                    self.origin.run_id,
                    self.origin.started_at,
                    Process("", "", 0, 0, 0),
                    name=self._name,
                    group=internal.get("_Group"),
                    config=config,
                )
            )
            for done, found in enumerate(self._rows(session, "metrics", "step, metrics", last), 1):
                number, stamp, step, text = found
                row = {key: self._convert(out, key, step, each) for key, each in json.loads(text).items()}
                out.row(step, _time(stamp), row)
                last["metrics"] = number
                yield min(done * _SIZE, self.origin.size)
            for number, stamp, text in self._rows(session, "system_metrics", "metrics", last):
                values = {key: _plain(value) for key, value in json.loads(text).items()}
                numbers = {key: float(each) for key, each in values.items() if isinstance(each, (int, float))}
                out.put(SystemSample(_time(stamp), numbers))
                last["system_metrics"] = number
            for number, stamp, title, text, level in self._rows(
                session, "alerts", "title, text, level", last
            ):
                out.put(AlertRaised(_time(stamp), title, text or "", _LEVELS.get(level, "INFO")))
                last["alerts"] = number
        self.position = last
        out.finish("finished")

    def _config(self, session: sqlite3.Connection) -> dict[str, Any]:
        query = f"SELECT config FROM configs WHERE {self._key} = ?"
        try:
            row = session.execute(query, (self._run,)).fetchone()
        except sqlite3.Error:  # an older version without configs
            return {}
        found = json.loads(row[0]) if row is not None else {}
        return {key: _plain(value) for key, value in found.items()}

    def _rows(
        self, session: sqlite3.Connection, table: str, columns: str, last: dict[str, int]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table that earlier imports have not read; none if the table does not exist."""
        query = f"SELECT id, timestamp, {columns} FROM {table} WHERE {self._key} = ? AND id > ? ORDER BY id"
        try:
            rows = session.execute(query, (self._run, last[table]))
        except sqlite3.Error:
            return
        yield from rows

    def _convert(self, out: Output, key: str, step: int, value: Any) -> Any:
        kind = value.get("_type") if isinstance(value, dict) else None
        if kind == _HISTOGRAM:
            return {"_type": "histogram", "bins": value.get("bins"), "values": value.get("values")}
        if kind == _TABLE:
            return self._table(out, key, step, value.get("_value") or [])
        if kind in _MEDIA:
            return self._media(out, key, step, value, *_MEDIA[kind])
        return _plain(value)

    def _table(self, out: Output, key: str, step: int, records: list[dict[str, Any]]) -> dict[str, Any]:
        columns = list(dict.fromkeys(name for record in records for name in record))
        data = [[_plain(record.get(name)) for name in columns] for record in records]
        content = json.dumps({"columns": columns, "data": data}).encode()
        digest = hashlib.sha256(content).hexdigest()
        path = file_name("media/table", key, step, digest[:20], ".table.json")
        out.file(path, content)
        saved = {"path": path, "sha256": digest, "size": len(content)}
        return {"_type": "table-file", **saved, "ncols": len(columns), "nrows": len(data)}

    def _media(
        self, out: Output, key: str, step: int, value: dict[str, Any], kind: str, folder: str
    ) -> dict[str, Any] | None:
        relative = Path(str(value.get("file_path") or ""))
        file = self.origin.path.parent / "media" / relative
        if relative.is_absolute() or ".." in relative.parts or not file.is_file():
            out.problems.append(f"the file {relative} of {key} is missing")
            return None
        path = file_name(folder, key, step, relative.stem[:20], relative.suffix)
        saved = out.file(path, file)
        caption = {"caption": value["caption"]} if value.get("caption") else {}
        digests = {"sha256": saved.sha256, "size": saved.size} if saved is not None else {}
        return {"_type": kind, **caption, "path": path, **digests}


def _plain(value: Any) -> Any:
    """Return a value in which Trackio's texts for NaN and infinity are numbers."""
    if isinstance(value, str):
        return _SPECIAL.get(value, value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _time(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
