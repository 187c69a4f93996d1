"""Follows the directories to which a program writes tfevents files, and logs their events."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.capture import logs
from tracker.errors import Error, UsageError
from tracker.ground.terminal import say
from tracker.sdk.tensorboard.convert import Converter
from tracker.sdk.tensorboard.events import EventFile

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# How often to look for new events.
_POLL_SECONDS = 1.0
# How long a single directory waits for a second one. Two directories show which path part is the namespace.
_ALONE_SECONDS = 10.0
# How long the end of a run waits for the thread.
_STOP_SECONDS = 30.0


class Stream:
    """One directory of tfevents files.

    Args:
        folder: The directory.
        root: The namespace is the path of ``folder`` below ``root``. With None, the root is chosen when a
            second directory is known.
        save: Whether to store the files with the run.
        ignore: Files that were there before the run.
    """

    def __init__(self, folder: Path, root: Path | None, save: bool, ignore: set[Path]) -> None:
        self.folder = folder
        self.root = root
        self.save = save
        self.since = time.monotonic()
        self.files: dict[Path, EventFile] = {}
        self._ignore = ignore
        self._converter: Converter | None = None
        self._row: dict[str, Any] = {}
        self._step: int | None = None
        self._damaged: set[Path] = set()

    def read(self, run: Run, root: Path | None, last: bool) -> None:
        """Log new events. The row of the newest step stays open until another step or the end.

        Args:
            run: The run to log to.
            root: The root of the namespace, if the stream has none of its own.
            last: Whether the run ends, so that the open row is complete.
        """
        if self._converter is None:
            self._converter = Converter(_namespace(self.folder, root))
        for path in event_files(self.folder):
            if path in self._ignore or path in self._damaged:
                continue
            file = self.files.setdefault(path, EventFile(path))
            try:
                for event in file.read():
                    self._take(run, event)
            except (Error, OSError) as error:
                self._damaged.add(path)
                say(f"TensorBoard: {error}. Later events of this file are not logged.", silent=False)
        if last:
            self._flush(run)

    def _take(self, run: Run, event: Any) -> None:
        assert self._converter is not None
        values = dict(self._converter.values(event))
        if not values:
            return
        if event.step != self._step:
            self._flush(run)
        self._step = event.step
        self._row.update(values)
        self._row["global_step"] = event.step
        self._row["_timestamp"] = event.wall_time

    def _flush(self, run: Run) -> None:
        row, self._row = self._row, {}
        if not row:
            return
        try:
            run.log(row)
        except UsageError:
            raise  # the run was finished
        except Exception:
            self._log_each(run, row)

    def _log_each(self, run: Run, row: dict[str, Any]) -> None:
        """Log the valid values of a row, and name the others."""
        for key, value in row.items():
            try:
                run.log({key: value}, commit=False)
            except UsageError:
                raise
            except Exception as error:
                logs.log(logs.WARNING, f"TensorBoard: {key} is not logged", error)
                say(f"TensorBoard: {key} at step {self._step} is not logged: {error}", silent=False)
        run.log({})


class EventFollower:
    """Follows directories for one run in a thread, until the run ends."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._streams: list[Stream] = []
        self._writers: list[Any] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, folder: Path, *, root: Path | None = None, save: bool = True, old: bool = False) -> None:
        """Follow a directory. Call this before the run's first file is created there.

        Args:
            folder: The directory.
            root: Keys begin with the path of ``folder`` below this one. The default is the common path of all
                directories. With only one directory, keys have no prefix.
            save: Whether to store the files with the run when it ends.
            old: Whether to read files that exist already.
        """
        with self._lock:
            if any(stream.folder == folder for stream in self._streams):
                return
            self._streams.append(Stream(folder, root, save, set() if old else set(event_files(folder))))
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="tracker-tensorboard", daemon=True)
                self._thread.start()

    def flush_at_end(self, writer: Any) -> None:
        """Register a writer to flush before the run ends."""
        self._writers.append(writer)

    def close(self) -> None:
        """Log all remaining events, and store the files."""
        for writer in self._writers:
            with logs.Logged("flush a writer of TensorBoard"):  # it raises for a closed writer
                writer.flush()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._read(last=True)
        for stream in self._streams:
            if stream.save:
                self._save(stream)

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            try:
                self._read(last=False)
            except UsageError:
                return  # the run was finished
            except Exception as error:
                logs.log(logs.WARNING, "TensorBoard: files cannot be read", error)
                say(f"TensorBoard: {error}", silent=False)

    def _read(self, *, last: bool) -> None:
        with self._lock:
            streams = list(self._streams)
        root = self._root(streams)
        for stream in streams:
            waited = last or time.monotonic() - stream.since > _ALONE_SECONDS
            if stream.root is not None or root is not None or waited:
                stream.read(self._run, stream.root or root, last)

    def _root(self, streams: list[Stream]) -> Path | None:
        """Return the common path of the directories, or None if there are fewer than two."""
        folders = [str(stream.folder) for stream in streams if stream.root is None]
        return Path(os.path.commonpath(folders)) if len(folders) > 1 else None

    def _save(self, stream: Stream) -> None:
        root = stream.root or self._root(self._streams) or Path.cwd()
        for path in stream.files:
            name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
            try:
                self._run.save_file(name.as_posix(), path.read_bytes(), "application/octet-stream")
            except OSError as error:
                say(f"TensorBoard: cannot store {path} with the run: {error}", silent=False)


def event_files(folder: Path) -> list[Path]:
    """Return the tfevents files of a directory, sorted by name. A missing directory has none."""
    try:
        return sorted(path for path in folder.iterdir() if "tfevents" in path.name and path.is_file())
    except OSError:
        return []


def _namespace(folder: Path, root: Path | None) -> str:
    if root is None or not folder.is_relative_to(root):
        return ""
    name = folder.relative_to(root).as_posix()
    return "" if name == "." else name
