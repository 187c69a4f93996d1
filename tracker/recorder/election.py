"""One recorder per host, user and store: whoever holds the lock. Starting one, and seeing if it lives."""

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

# Started through a shell that puts it in the background and exits: the recorder is nobody's child,
# so no training script can wait for it, and it is in a session of its own, so no terminal reaches it.
_SHELL = "/bin/sh"
_BACKGROUND = '"$0" "$@" &'

_LOCK = re.compile(r"/locks/recorder-[^/]*\.lock$")
# How many threads of this process have a lock open for a recorder to inherit.
_handing: list[None] = []


def _let_go_in_child() -> None:
    """Close the locks that another thread was about to hand on: the child would hold them while it lives."""
    if not _handing:
        return
    _handing.clear()
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the folder that is listed
                if _LOCK.search(os.readlink(f"/proc/self/fd/{name}")):
                    os.close(int(name))


os.register_at_fork(after_in_child=_let_go_in_child)


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
        """What holds the lock, once it is taken."""
        assert self._file is not None
        return self._file

    def release(self) -> None:
        """Give the lock up, unless a process that was started meanwhile has inherited it."""
        descriptor, self._file = self._file, None
        if descriptor is not None:
            os.close(descriptor)


def ensure_recorder(layout: Layout) -> bool:
    """Start a recorder for the store unless one lives; return whether one was started.

    Returns at once: the new recorder inherits the lock. However many writers look at the same time, one
    of them starts one. None is started while another host holds the catalog: it would end at once.
    """
    if held_elsewhere(layout) is not None:
        return False
    lock = RecorderLock(layout)
    _handing.append(None)
    try:
        try:
            taken = lock.acquire()
        except OSError:
            return False  # without the folder of the lock, nobody needs one
        if not taken or not sys.executable:
            return False
        shell = _start(layout, lock.descriptor)
    finally:
        lock.release()
        if _handing:
            _handing.pop()
    try:
        os.waitpid(shell, 0)
    except ChildProcessError:
        pass  # a script that ignores SIGCHLD leaves nothing to wait for
    return True


def _start(layout: Layout, lock: int) -> int:
    """Start the shell that starts the recorder; return the shell's process id."""
    inherited = 4 if lock == 3 else 3  # onto itself, a descriptor might stay closed at exec
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
