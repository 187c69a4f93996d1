"""Following the directories that a program writes tfevents files to, and logging what they hold."""

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

# How often new events are looked for.
_POLL_SECONDS = 1.0
# How long a lone directory waits for a second one, which tells what part of the paths is a namespace.
_ALONE_SECONDS = 10.0
# How long the end of a run waits for the thread.
_STOP_SECONDS = 30.0


class Stream:
    """One directory of tfevents files.

    Args:
        folder: The directory.
        root: Its namespace is its path below this one; None: decided when a second directory is known.
        save: Keep the files with the run.
        ignore: Files that are not the run's: they lay there before.
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
        """Log what is new. The row of the newest step stays open until another step comes, or the end."""
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
                say(f"TensorBoard: {error}; what comes after that is not logged", silent=False)
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
        """Log what can be logged of a row; name the rest."""
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
    """Follows directories for one run, in a thread of its own, until the run ends."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._streams: list[Stream] = []
        self._writers: list[Any] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, folder: Path, *, root: Path | None = None, save: bool = True, old: bool = False) -> None:
        """Follow a directory; call it before the first file of this run is made there.

        Args:
            folder: The directory.
            root: Its part of the path below this one is put in front of the tags. Without it, that is what
                is not common to all directories, and nothing while there is only one.
            save: Keep the files with the run when it ends.
            old: Take the files that are there already too.
        """
        with self._lock:
            if any(stream.folder == folder for stream in self._streams):
                return
            self._streams.append(Stream(folder, root, save, set() if old else set(event_files(folder))))
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="tracker-tensorboard", daemon=True)
                self._thread.start()

    def flush_at_end(self, writer: Any) -> None:
        """Have a writer write out what it holds back before the run ends."""
        self._writers.append(writer)

    def close(self) -> None:
        """Log all that was written, and keep the files."""
        for writer in self._writers:
            with logs.Logged("flush a writer of TensorBoard"):  # a closed one: its file is whole
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
        """The longest common path of the directories, once there are two."""
        folders = [str(stream.folder) for stream in streams if stream.root is None]
        return Path(os.path.commonpath(folders)) if len(folders) > 1 else None

    def _save(self, stream: Stream) -> None:
        root = stream.root or self._root(self._streams) or Path.cwd()
        for path in stream.files:
            name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
            try:
                self._run.save_file(name.as_posix(), path.read_bytes(), "application/octet-stream")
            except OSError as error:
                say(f"TensorBoard: {path} cannot be kept with the run: {error}", silent=False)


def event_files(folder: Path) -> list[Path]:
    """Return the tfevents files of a directory, oldest first by name; none when it is not there."""
    try:
        return sorted(path for path in folder.iterdir() if "tfevents" in path.name and path.is_file())
    except OSError:
        return []


def _namespace(folder: Path, root: Path | None) -> str:
    if root is None or not folder.is_relative_to(root):
        return ""
    name = folder.relative_to(root).as_posix()
    return "" if name == "." else name
