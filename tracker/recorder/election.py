"""One recorder per host, user and store: whoever holds the lock. Starting one, and seeing if it lives."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from tracker.processes import host_name
from tracker.store.layout import Layout

# Started through a shell that puts it in the background and exits: the recorder is nobody's child,
# so no training script can wait for it, and it is in a session of its own, so no terminal reaches it.
_SHELL = "/bin/sh"
_BACKGROUND = '"$0" "$@" &'
# The folder of the running script must not be importable in the recorder: it may hold a json.py.
_CODE = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; sys.path.append(sys.argv[1]); "
    "from tracker.recorder.main import main; main(sys.argv[2:])"
)


class RecorderLock:
    """The lock that a store's recorder on this host holds while it lives."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.recorder_lock(host_name())
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether this process has it now."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def release(self) -> None:
        """Give the lock up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def ensure_recorder(layout: Layout) -> bool:
    """Start a recorder for the store unless one lives; return whether one was started.

    Returns at once: the new recorder takes the lock itself, and leaves when another was faster.
    """
    lock = RecorderLock(layout)
    try:
        if not lock.acquire():
            return False
    except OSError:
        return False
    lock.release()
    if not sys.executable:
        return False
    _start(layout.root)
    return True


def _start(root: Path) -> None:
    package_folder = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", _CODE, package_folder, str(root)]
    null = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    shell = os.posix_spawn(
        _SHELL, [_SHELL, "-c", _BACKGROUND, *command], dict(os.environ), file_actions=null, setsid=True
    )
    try:
        os.waitpid(shell, 0)
    except ChildProcessError:
        pass  # a script that ignores SIGCHLD leaves nothing to wait for
