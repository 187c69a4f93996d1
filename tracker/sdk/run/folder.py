"""A run's own folder: what a script writes into it, or saves, becomes a file of the run."""

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

# How often files that were saved with policy "live" are looked at.
LOOK_SECONDS = 5.0

POLICIES = ("live", "now", "end")
# Size and time of last change: another one means another content.
Signature = tuple[int, int]


class RunFolder:
    """The folder, and which of its files the run has.

    Args:
        root: Where it lies, without ``files``; made here, with a number behind it when another run has it.
        keep: Stores a file of the run: its path there, and where it lies now.
        complain: Called with one line about a file that could not be read.
    """

    def __init__(
        self, root: Path, keep: Callable[[str, str, str], None], complain: Callable[[str], None]
    ) -> None:
        self.root = _make(root)
        self.files = self.root / "files"
        self._keep = keep
        self._complain = complain
        self._lock = threading.RLock()
        self._saved: dict[str, tuple[Path, str]] = {}  # by path in the run: where it lies, and the policy
        self._stored: dict[str, Signature] = {}
        self._stop: threading.Event | None = None

    def save(self, source: Path, path: str, policy: str) -> None:
        """Save a file of the script's under a path in the run, with a link to it in the folder."""
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
        """Store what changed since, all that waited for the end, and all that was written into the folder."""
        if self._stop is not None:
            self._stop.set()
        with self._lock:
            for path, (source, policy) in self._saved.items():
                if policy != "now":
                    self._store(path, source)
            for path, file in self._written():
                self._store(path, file)

    def leave_to_parent(self) -> None:
        """In a forked child: the thread that looks is the parent's."""
        self._lock = threading.RLock()
        self._stop = None

    def _written(self) -> Iterator[tuple[str, Path]]:
        """Yield what lies in the folder itself; links are followed only to what lies there too."""
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
                with Logged("save a file of the run's folder"):  # the run has ended meanwhile, say
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
    except OSError:  # a file system without links
        shutil.copyfile(source, place)


def folder_name(run_id: str, started: float, offline: bool) -> str:
    """Return what a run's folder is called, as in wandb."""
    kind = "offline-run" if offline else "run"
    return f"{kind}-{time.strftime('%Y%m%d_%H%M%S', time.localtime(started))}-{run_id}"
