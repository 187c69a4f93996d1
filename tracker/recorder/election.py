"""The lock that allows one recorder per host, user and store, and the start of a recorder."""

from __future__ import annotations

import fcntl
import os
import re
import sys
from contextlib import suppress

from tracker.ground.launch import own_command
from tracker.ground.processes import host_name
from tracker.store.catalog.lease import held_elsewhere
from tracker.store.objects.layout import Layout

# A shell starts the recorder in the background and exits. The recorder is then not a child of the training
# script, which cannot wait for it, and has its own session, so that no terminal sends signals to it.
_SHELL = "/bin/sh"
_BACKGROUND = '"$0" "$@" &'

_LOCK = re.compile(r"/locks/recorder-[^/]*\.lock$")
# One entry for each thread of this process that has opened a lock for a new recorder.
_open_locks: list[None] = []


def _close_locks_in_child() -> None:
    """Close recorder locks that another thread has opened for a new recorder. Else the child keeps them."""
    if not _open_locks:
        return
    _open_locks.clear()
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the descriptor of the listed folder is already closed
                if _LOCK.search(os.readlink(f"/proc/self/fd/{name}")):
                    os.close(int(name))


os.register_at_fork(after_in_child=_close_locks_in_child)


class RecorderLock:
    """The lock that the recorder of a store on this host holds while it lives.

    Args:
        layout: The store or outbox.
        inherited: Descriptor of the lock, if the process that started this one has already acquired it.
    """

    def __init__(self, layout: Layout, inherited: int | None = None) -> None:
        self._path = layout.recorder_lock(host_name())
        self._inherited = inherited
        self._file: int | None = None

    def acquire(self) -> bool:
        """Acquire the lock if it is free; return whether this process now holds it."""
        descriptor, self._inherited = self._inherited, None
        if descriptor is None or not self._is_ours(descriptor):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                return False
            raise
        return True

    def _is_ours(self, descriptor: int) -> bool:
        try:
            os.set_inheritable(descriptor, False)
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except OSError:
            return False

    @property
    def descriptor(self) -> int:
        """Descriptor that holds the lock after ``acquire``."""
        assert self._file is not None
        return self._file

    def release(self) -> None:
        """Close the descriptor. The lock is released unless another process has inherited the descriptor."""
        descriptor, self._file = self._file, None
        if descriptor is not None:
            os.close(descriptor)


def ensure_recorder(layout: Layout) -> bool:
    """Start a recorder for the store unless one lives; return whether one was started.

    The call does not wait for the recorder, which inherits the lock. If several writers call this at the same
    time, only one of them starts a recorder. While another host holds the catalog, no recorder is started,
    because it would end immediately.
    """
    if held_elsewhere(layout) is not None:
        return False
    lock = RecorderLock(layout)
    _open_locks.append(None)
    try:
        try:
            taken = lock.acquire()
        except OSError:
            return False  # the folder of the lock was deleted, so no recorder is needed
        if not taken or not sys.executable:
            return False
        shell = _start(layout, lock.descriptor)
    finally:
        lock.release()
        if _open_locks:
            _open_locks.pop()
    try:
        os.waitpid(shell, 0)
    except ChildProcessError:
        pass  # the script ignores SIGCHLD, so the system has already removed the shell
    return True


def _start(layout: Layout, lock: int) -> int:
    """Start the shell that starts the recorder; return the shell's process id."""
    inherited = 4 if lock == 3 else 3  # duplicated onto itself, a descriptor may stay closed at exec
    failures = str(layout.recorder_failures(host_name()))
    command = own_command("recorder.startup", failures, str(layout.root), str(inherited))
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, lock, inherited),
    ]
    return os.posix_spawn(
        _SHELL, [_SHELL, "-c", _BACKGROUND, *command], dict(os.environ), file_actions=actions, setsid=True
    )
