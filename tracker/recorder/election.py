"""One recorder per host, user and store: whoever holds the lock. Starting one, and seeing if it lives."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
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


# No fork while the lock is open for a recorder to inherit: the child would hold it as long as it lives.
_starting = threading.RLock()
os.register_at_fork(
    before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release
)


class RecorderLock:
    """The lock that a store's recorder on this host holds while it lives.

    Args:
        layout: The store or outbox.
        inherited: Descriptor of the lock, from the process that took it for this one.
    """

    def __init__(self, layout: Layout, inherited: int | None = None) -> None:
        self._path = layout.recorder_lock(host_name())
        self._inherited = inherited
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether this process has it now."""
        descriptor, self._inherited = self._inherited, None
        if descriptor is None or not self._is_ours(descriptor):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def _is_ours(self, descriptor: int) -> bool:
        try:
            os.set_inheritable(descriptor, False)
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except OSError:
            return False

    @property
    def descriptor(self) -> int:
        """What holds the lock, once it is taken."""
        assert self._file is not None
        return self._file

    def release(self) -> None:
        """Give the lock up, unless a process that was started meanwhile has inherited it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def ensure_recorder(layout: Layout) -> bool:
    """Start a recorder for the store unless one lives; return whether one was started.

    Returns at once: the new recorder inherits the lock. However many writers look at the same time, one
    of them starts one.
    """
    lock = RecorderLock(layout)
    with _starting:
        try:
            if not lock.acquire():
                return False
        except OSError:
            return False
        try:
            if not sys.executable:
                return False
            shell = _start(layout.root, lock.descriptor)
        finally:
            lock.release()
    try:
        os.waitpid(shell, 0)
    except ChildProcessError:
        pass  # a script that ignores SIGCHLD leaves nothing to wait for
    return True


def _start(root: Path, lock: int) -> int:
    """Start the shell that starts the recorder; return the shell's process id."""
    package_folder = str(Path(__file__).resolve().parents[2])
    inherited = 4 if lock == 3 else 3  # onto itself, a descriptor might stay closed at exec
    command = [sys.executable, "-c", _CODE, package_folder, str(root), str(inherited)]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, lock, inherited),
    ]
    return os.posix_spawn(
        _SHELL, [_SHELL, "-c", _BACKGROUND, *command], dict(os.environ), file_actions=actions, setsid=True
    )
