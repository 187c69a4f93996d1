"""Import of MLflow's runs: from its folders (``mlruns``), and from its SQLite database, without mlflow."""

from __future__ import annotations

import heapq
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tracker.ground.filesystems import is_network
from tracker.ground.records import ConfigChanged, Process, RunStarted
from tracker.importing.hparams_file import read_yaml
from tracker.importing.output import Output
from tracker.importing.source import Found, Origin, Parent, UnreadableError

_STATES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}
# Numbers of the states in `meta.yaml`.
_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
# MLflow's database has these numbers in place of infinity.
_INFINITY = 1.7976931348623157e308
# Estimate of the bytes of a value, for the progress bar.
_POINT_BYTES = 30
# Number of files of metrics that are read at the same time.
_MOST_FILES = 200
_SQLITE = b"SQLite format 3\0"
_FORBIDDEN = str.maketrans(dict.fromkeys("/\\#?%:", "-"))


class Point(NamedTuple):
    """One value of a metric. ``time`` is in unix seconds."""

    step: int
    time: float
    key: str
    value: float


class MlflowRun(NamedTuple):
    """The description of a run in either kind of store. Times are in unix seconds."""

    run_id: str
    experiment: str
    name: str | None
    status: str
    user: str
    started_at: float
    ended_at: float | None
    artifacts: str


def find_mlflow(paths: list[Path]) -> Found:
    """Return the runs in folders of MLflow and in its SQLite databases."""
    found = Found()
    for given in paths:
        if given.is_file():
            _find_in_database(given, found)
            continue
        runs = 0
        for top, folders, names in os.walk(given):
            if "meta.yaml" in names and {"metrics", "params"} & set(folders):
                folders.clear()
                runs += 1
                try:
                    source = _source_of_folder(Path(top))
                    if source is not None:
                        found.sources.append(source)
                except UnreadableError as error:
                    found.problems.append((Path(top), str(error)))
                except OSError as error:
                    found.problems.append((Path(top), error.strerror or str(error)))
            elif top == os.fspath(given):
                for name in sorted(names):
                    if name.endswith((".db", ".sqlite", ".sqlite3")):
                        _find_in_database(given / name, found)
            folders[:] = [each for each in folders if each not in (".trash", "artifacts")]
    return found


class MlflowSource:
    """One run of MLflow.

    Args:
        path: The folder or the database.
        run: Its description.
        size: Number of bytes, for the progress bar.
    """

    parent: Parent | None = None
    # Values and artifacts may be added to a run that has ended.
    complete = False

    def __init__(self, path: Path, run: MlflowRun, size: int) -> None:
        self.position: Any = None
        self._run = run
        project = run.experiment.translate(_FORBIDDEN)[:128].strip() or None
        self.origin = Origin("mlflow", path, run.run_id, project, run.run_id, run.started_at, size)

    def _params(self) -> dict[str, str]:
        raise NotImplementedError

    def _tags(self) -> dict[str, str]:
        raise NotImplementedError

    def _points(self, skip: dict[str, int]) -> Iterator[Point]:
        """Yield the values, ordered by step, without the first ones of each key.

        Args:
            skip: Number of values to leave out by key.
        """
        raise NotImplementedError

    def read(self, out: Output, known: Any) -> Iterator[int]:
        """See ``Source.read``."""
        run = self._run
        known = known if isinstance(known, dict) else {}
        counts: dict[str, int] = dict(known.get("values") or {})
        tags = self._tags()
        params = {key: _parse(value) for key, value in self._params().items()}
        shown = sorted(f"{key}={value}" for key, value in tags.items() if not key.startswith("mlflow."))
        out.begin(
            RunStarted(
                "",
                "",
                run.run_id,
                run.started_at,
                Process("", "", 0, 0, 0),
                name=run.name or tags.get("mlflow.runName"),
                group=tags.get("mlflow.parentRunId"),
                tags=shown or None,
                notes=tags.get("mlflow.note.content"),
                config=params,
                program=tags.get("mlflow.source.name"),
            )
        )
        if out.continues and known.get("params") != len(params):
            out.put(ConfigChanged(params))
        yield from self._write_rows(out, dict(counts), counts)
        files = self._write_files(out, known.get("files") or {})
        self.position = {"values": counts, "files": files, "params": len(params), "status": run.status}
        if run.status in _STATES:
            reason = "killed" if run.status == "KILLED" else None
            out.finish(_STATES[run.status], run.ended_at, reason=reason)

    def _write_rows(self, out: Output, skip: dict[str, int], counts: dict[str, int]) -> Iterator[int]:
        step, when = 0, 0.0
        row: dict[str, Any] = {}
        for number, point in enumerate(self._points(skip), 1):
            if row and (point.step != step or point.key in row):
                out.row(step, when, row)
                row = {}
            step, when = point.step, point.time
            row[point.key] = point.value
            counts[point.key] = counts.get(point.key, 0) + 1
            yield min(number * _POINT_BYTES, self.origin.size)
        if row:
            out.row(step, when, row)

    def _write_files(self, out: Output, known: dict[str, Any]) -> dict[str, int]:
        """Store the artifacts as files of the run; return their sizes by path."""
        sizes: dict[str, int] = {}
        folder = _local_folder(self._run.artifacts, self.origin.path)
        if folder is None:
            out.problems.append(f"the artifacts are not on this machine: {self._run.artifacts}")
            return sizes
        for top, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(top, name)
                inside = path.relative_to(folder).as_posix()
                sizes[inside] = path.stat().st_size
                if known.get(inside) != sizes[inside]:
                    out.file(inside, path)
        return sizes


class _FolderSource(MlflowSource):
    """A run in a folder of MLflow's file store."""

    def _params(self) -> dict[str, str]:
        return _read_values(self.origin.path / "params")

    def _tags(self) -> dict[str, str]:
        return _read_values(self.origin.path / "tags")

    def _points(self, skip: dict[str, int]) -> Iterator[Point]:
        folder = self.origin.path / "metrics"
        files = [
            (path, path.relative_to(folder).as_posix())
            for top, _, names in os.walk(folder)
            for path in (Path(top, name) for name in sorted(names))
        ]
        for begin in range(0, len(files), _MOST_FILES):
            some = files[begin : begin + _MOST_FILES]
            yield from heapq.merge(*(_read_metric(path, key, skip.get(key, 0)) for path, key in some))


class _DatabaseSource(MlflowSource):
    """A run in a SQLite database of MLflow."""

    def __init__(self, path: Path, run: MlflowRun, size: int, database: Path) -> None:
        super().__init__(path, run, size)
        self._database = database

    def _params(self) -> dict[str, str]:
        return self._read_table("params")

    def _tags(self) -> dict[str, str]:
        return self._read_table("tags")

    def _read_table(self, table: str) -> dict[str, str]:
        with closing(open_database(self._database)) as session:
            query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"
            return {key: value or "" for key, value in session.execute(query, (self._run.run_id,))}

    def _points(self, skip: dict[str, int]) -> Iterator[Point]:
        query = (
            "SELECT step, timestamp, key, value, is_nan, "
            "ROW_NUMBER() OVER (PARTITION BY key ORDER BY timestamp, step, rowid) FROM metrics "
            "WHERE run_uuid = ? ORDER BY step, timestamp, key"
        )
        with closing(open_database(self._database)) as session:
            for step, stamp, key, value, is_nan, number in session.execute(query, (self._run.run_id,)):
                if number > skip.get(key, 0):
                    yield Point(step, stamp / 1000, key, float("nan") if is_nan else _finite(value))


def _source_of_folder(folder: Path) -> MlflowSource | None:
    meta = read_yaml(folder / "meta.yaml")
    if meta.get("lifecycle_stage") == "deleted" or "run_id" not in meta:
        return None
    described = folder.parent / "meta.yaml"
    experiment = read_yaml(described).get("name") if described.is_file() else None
    run = MlflowRun(
        str(meta["run_id"]),
        str(experiment or folder.parent.name),
        meta.get("run_name") or None,
        _NUMBERS.get(meta.get("status", 0), str(meta.get("status"))),
        str(meta.get("user_id") or ""),
        (meta.get("start_time") or 0) / 1000,
        meta["end_time"] / 1000 if meta.get("end_time") else None,
        os.fspath((folder / "artifacts").resolve())
        if (folder / "artifacts").is_dir()
        else meta.get("artifact_uri") or "",
    )
    size = sum(
        Path(top, name).stat().st_size for top, _, names in os.walk(folder / "metrics") for name in names
    )
    return _FolderSource(folder, run, size)


def _find_in_database(path: Path, found: Found) -> None:
    try:
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                found.problems.append((path, "it is not an SQLite database"))
                return
        database = local_copy(path)
        with closing(open_database(database)) as session:
            rows = session.execute(
                "SELECT r.run_uuid, e.name, r.name, r.status, r.user_id, r.start_time, r.end_time, "
                "r.artifact_uri, (SELECT COUNT(*) FROM metrics m WHERE m.run_uuid = r.run_uuid) "
                "FROM runs r JOIN experiments e USING (experiment_id) "
                "WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time"
            ).fetchall()
    except sqlite3.Error as error:
        found.problems.append((path, f"it is not a database of MLflow: {error}"))
        return
    except OSError as error:
        found.problems.append((path, error.strerror or str(error)))
        return
    for run_id, experiment, name, status, user, begin, end, artifacts, count in rows:
        run = MlflowRun(
            run_id, experiment, name, status, user or "", (begin or 0) / 1000, end / 1000 if end else None,
            artifacts or "",
        )  # fmt: skip
        found.sources.append(_DatabaseSource(path, run, count * _POINT_BYTES, database))


def local_copy(path: Path) -> Path:
    """Return a path at which an SQLite database can be read: a copy, if the file is on a network mount.

    SQLite needs locks and shared memory that network file systems do not have. The copy is deleted at exit.
    """
    if not is_network(path.parent):
        return path
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="tracker-import-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for ending in ("", "-wal"):
        if path.with_name(path.name + ending).is_file():
            shutil.copyfile(path.with_name(path.name + ending), folder / (path.name + ending))
    return folder / path.name


def open_database(path: Path) -> sqlite3.Connection:
    """Open an SQLite database for reading."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _read_values(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for top, _, names in os.walk(folder)
        for path in (Path(top, name) for name in sorted(names))
    }


def _read_metric(path: Path, key: str, skip: int) -> Iterator[Point]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            if not line.endswith("\n"):
                return  # MLflow is writing this line
            parts = line.split()
            if number >= skip and len(parts) >= 2:
                step = int(parts[2]) if len(parts) > 2 else 0
                yield Point(step, int(parts[0]) / 1000, key, float(parts[1]))


def _local_folder(uri: str, store: Path) -> Path | None:
    """Return the local folder of an artifact URI, or None if it is elsewhere.

    Args:
        uri: The URI. A relative path is looked up next to the store.
        store: The folder of the run, or the database.
    """
    parts = urlsplit(uri)
    path = store.resolve().parent / unquote(parts.path)
    # A run without artifacts has no folder, and perhaps its experiment has none. Their root folder exists.
    exists = any(folder.is_dir() for folder in [*path.parents][:3])
    return path if parts.scheme in ("", "file") and exists else None


def _finite(value: float) -> float:
    return float("inf") if value >= _INFINITY else float("-inf") if value <= -_INFINITY else float(value)


def _parse(text: str) -> Any:
    """Return the value of a parameter, which MLflow stores as a text."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
