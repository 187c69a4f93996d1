"""The folder of a run. Files that a script writes into it or saves become files of the run."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from mimetypes import guess_type
from pathlib import Path

from tracker.capture.logs import Logged

# How often files with policy "live" are checked for changes.
LOOK_SECONDS = 5.0

POLICIES = ("live", "now", "end")
# Size and modification time. If they differ, the content has changed.
Signature = tuple[int, int]


class RunFolder:
    """The folder of a run, and the state of its saved files.

    Args:
        root: The folder's path, without ``files``. The folder is created here. If another run has it, a
            number is appended.
        keep: Stores a file of the run, given its path in the run, its path on disk and its media type.
        complain: Called with one line about a file that cannot be read.
    """

    def __init__(
        self, root: Path, keep: Callable[[str, str, str], None], complain: Callable[[str], None]
    ) -> None:
        self.root = _make(root)
        self.files = self.root / "files"
        self._keep = keep
        self._complain = complain
        self._lock = threading.RLock()
        self._saved: dict[str, tuple[Path, str]] = {}  # by path in the run: the source, and the policy
        self._stored: dict[str, Signature] = {}
        self._stop: threading.Event | None = None

    def save(self, source: Path, path: str, policy: str) -> None:
        """Save a file of the script, and link to it from the folder.

        Args:
            source: The file's path on disk.
            path: The file's path in the run.
            policy: One of ``POLICIES``.
        """
        place = self.files / path
        with suppress(OSError):
            if not (place.exists() and place.samefile(source)):
                _link(source, place)
        with self._lock:
            self._saved[path] = (source, policy)
            if policy != "end":
                self._store(path, source)
            if policy == "live" and self._stop is None:
                self._watch()

    def finish(self) -> None:
        """Store changed files, files with policy "end", and files that were written into the folder."""
        if self._stop is not None:
            self._stop.set()
        with self._lock:
            for path, (source, policy) in self._saved.items():
                if policy != "now":
                    self._store(path, source)
            for path, file in self._written():
                self._store(path, file)

    def leave_to_parent(self) -> None:
        """In a forked child, forget the thread that checks for changes. It runs in the parent only."""
        self._lock = threading.RLock()
        self._stop = None

    def _written(self) -> Iterator[tuple[str, Path]]:
        """Yield the folder's own files. Links are followed only if their target is in the folder too."""
        inside = self.files.resolve()
        for folder, _folders, names in os.walk(self.files):
            for name in sorted(names):
                file = Path(folder, name)
                path = file.relative_to(self.files).as_posix()
                if path in self._saved:
                    continue
                if not file.is_symlink() or file.resolve().is_relative_to(inside):
                    yield path, file

    def _store(self, path: str, file: Path) -> None:
        try:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                return
            signature = (status.st_size, status.st_mtime_ns)
            if self._stored.get(path) != signature:
                self._keep(path, str(file), guess_type(path)[0] or "application/octet-stream")
                self._stored[path] = signature
        except OSError as error:
            self._complain(f"cannot save {file}: {error.strerror or error}")

    def _watch(self) -> None:
        stop = self._stop = threading.Event()
        threading.Thread(target=self._look, args=(stop,), name="tracker-live-files", daemon=True).start()

    def _look(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_SECONDS):
            with self._lock:
                live = [(path, each[0]) for path, each in self._saved.items() if each[1] == "live"]
            for path, source in live:
                with Logged("save a file of the run's folder"):  # it raises if the run has ended meanwhile
                    self._store(path, source)


def _make(root: Path) -> Path:
    number, place = 0, root
    while True:
        try:
            (place / "files").mkdir(parents=True)
        except FileExistsError:
            number += 1
            place = root.with_name(f"{root.name}-{number}")
        else:
            return place


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        place.symlink_to(source)
    except OSError:  # the file system has no links
        shutil.copyfile(source, place)


def folder_name(run_id: str, started: float, offline: bool) -> str:
    """Return the name of a run's folder, in wandb's form (wandb: ``sdk/wandb_settings.py``).

    Args:
        run_id: The run's id.
        started: When the run started, in Unix seconds.
        offline: Whether the run is offline.
    """
    kind = "offline-run" if offline else "run"
    return f"{kind}-{time.strftime('%Y%m%d_%H%M%S', time.localtime(started))}-{run_id}"
