"""Output of child processes, and output that bypasses Python if requested. See docs/decisions/0035.

A child that would inherit stdout or stderr gets a *spool* instead: an unnamed file, opened for appending.
This process reads the spool, writes the bytes to the original target, and records them. A file accepts bytes
at any time, so a child is never blocked or killed because the reader is missing. A terminal is never
replaced, because editors, pagers and progress bars need it.
"""

from __future__ import annotations

import codecs
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from tracker.capture.logs import Logged
from tracker.capture.terminal_lines import CHILDREN

_NAME = "tracker-output-"
_PIECE = 1024 * 1024

# How long a print waits for another thread that is showing earlier output of children.
_PATIENCE_SECONDS = 0.5


def has_spool() -> bool:
    """Return whether stdout of this process is the spool of another process."""
    try:
        return f"/{_NAME}" in os.readlink("/proc/self/fd/1")
    except OSError:
        return False


class Spool:
    """A file that children append to, and the number of bytes that were already passed on.

    Args:
        stream: 1 (stdout) or 2 (stderr).
        target: The descriptor to write the bytes to.
    """

    def __init__(self, stream: int, target: int) -> None:
        self.stream = stream
        self.target = target
        folder = os.environ.get("TMPDIR") or "/tmp"
        path = os.path.join(folder, _NAME + os.urandom(8).hex())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.append = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        finally:
            os.unlink(path)
        self._read = descriptor
        self._done = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def follow(self, put: Callable[[int, str], None], *, shown: bool = True) -> None:
        """Pass on the new bytes.

        Args:
            put: Records text, given the stream's number and the text.
            shown: Whether to write the bytes to the target too.
        """
        while os.fstat(self._read).st_size > self._done:
            data = os.pread(self._read, _PIECE, self._done)
            if not data:
                return
            self._done += len(data)
            if shown:
                _write_all(self.target, data)
            put(self.stream + CHILDREN, self._decoder.decode(data))


class Spools:
    """The spools of this process.

    Attributes:
        active: Whether a child may have a spool.

    Args:
        put: Records text, given the stream's number and the text.
        wake: Called when children may start to write.
    """

    def __init__(self, put: Callable[[int, str], None], wake: Callable[[], None]) -> None:
        self._put = put
        self._wake = wake
        self.active = False
        self._spools: dict[int, Spool] = {}
        self._forked: dict[int, Spool] = {}
        self._saved: dict[int, int] = {}
        # An RLock, because recording may print, and a signal handler may interrupt at any time.
        self._lock = threading.RLock()
        self._catching = False
        self._owner = os.getpid()

    def catch(self) -> None:
        """From now on, give spools to children whose output does not go to a terminal."""
        with suppress(OSError):
            for stream in (1, 2):
                if stream not in self._forked:
                    self._forked[stream] = Spool(stream, stream)
        self._catching = True
        _catchers.append(self)
        _patch()

    def release(self) -> None:
        """Give no more spools. Output of children that have one is still shown."""
        self._catching = False
        if self in _catchers:
            _catchers.remove(self)
        for stream, saved in self._saved.items():
            with suppress(OSError):
                os.dup2(saved, stream)
        self._close_saved()

    def redirect(self) -> bool:
        """Replace descriptors 1 and 2 by spools. Return whether this succeeded."""
        try:
            for stream in (1, 2):
                self._flush(stream)
                self._saved[stream] = os.dup(stream)
            for stream, saved in self._saved.items():
                spool = self._of(stream)
                spool.target = saved
                os.dup2(spool.append, stream)
        except OSError:
            for stream, saved in self._saved.items():
                os.dup2(saved, stream)
            self._saved.clear()
            return False
        self.active = True
        return True

    def follow(self) -> None:
        """Pass on the output of children. If another thread is doing so, wait for it."""
        if self._owner != os.getpid() or self._lock._is_owned():  # type: ignore[attr-defined]
            return
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return
        try:
            for spool in set(self._spools.values()):
                with suppress(OSError):
                    spool.follow(self._put)
            for spool in self._forked.values():
                with suppress(OSError):
                    spool.follow(self._put, shown=False)
        finally:
            self._lock.release()

    def record_in_parent(self, stream: int, text: str) -> None:
        """In a forked child, let the parent record a text that is already on the screen."""
        spool = self._forked.get(stream)
        if spool is not None:
            with suppress(OSError):
                _write_all(spool.append, text.encode("utf-8", "replace"))

    def descriptor_for_child(self, stream: int) -> int | None:
        """Return the descriptor to give a child for an inherited stream, or None to inherit it."""
        if not self._catching or self._owner != os.getpid() or self._saved:
            return None
        try:
            file = sys.stdout if stream == 1 else sys.stderr
            # In notebooks and under test capture, output does not go through the descriptor.
            if file is None or file.fileno() != stream or os.isatty(stream):
                return None
            spool = self._of(stream)
        except (OSError, ValueError, AttributeError):
            return None
        self.active = True
        self._wake()
        return spool.append

    def _of(self, stream: int) -> Spool:
        """Return a stream's spool. Streams of the same file share a spool, which keeps the order."""
        if stream not in self._spools:
            for other, spool in self._spools.items():
                if not self._saved and _same(other, stream):
                    self._spools[stream] = spool
                    return spool
            self._spools[stream] = Spool(stream, stream)
        return self._spools[stream]

    def note_fork(self) -> None:
        """Note that a child is about to be forked. The child may print."""
        if self._catching and self._owner == os.getpid():
            self.active = True
            self._wake()

    def _close_saved(self) -> None:
        for stream in list(self._saved):
            spool = self._spools.get(stream)
            if spool is not None:
                with suppress(OSError):
                    spool.follow(self._put)
                spool.target = stream
            with suppress(OSError):
                os.close(self._saved.pop(stream))

    @staticmethod
    def _flush(stream: int) -> None:
        with Logged("flush a stream"):
            (sys.stdout if stream == 1 else sys.stderr).flush()


def _same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    kinds = stat.S_ISREG(first.st_mode) or stat.S_ISFIFO(first.st_mode) or stat.S_ISSOCK(first.st_mode)
    return kinds and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    with suppress(OSError):  # a broken stdout of this process must not affect its children
        while view:
            view = view[os.write(descriptor, view) :]


_catchers: list[Spools] = []


def _descriptor(stream: int) -> int | None:
    for catcher in _catchers:
        found = catcher.descriptor_for_child(stream)
        if found is not None:
            return found
    return None


def _before_fork() -> None:
    for catcher in _catchers:
        catcher.note_fork()


def _patch() -> None:
    """Patch ``subprocess`` once, so that children get spools while a ``Spools`` object catches output."""
    popen: Any = subprocess.Popen
    if getattr(popen.__init__, "_tracker", False):
        return
    own_init, own_wait = popen.__init__, popen.wait

    @wraps(own_init)
    def init(
        self: Any,
        args: Any,
        bufsize: int = -1,
        executable: Any = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        *others: Any,
        **named: Any,
    ) -> None:
        with Logged("record the output of a child process"):
            # A child in its own session may outlive this process, which could then not show its output.
            if not named.get("start_new_session") and named.get("process_group") is None:
                stdout = _descriptor(1) if stdout is None else stdout
                stderr = _descriptor(2) if stderr is None else stderr
        own_init(self, args, bufsize, executable, stdin, stdout, stderr, *others, **named)

    @wraps(own_wait)
    def wait(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return own_wait(self, *arguments, **named)
        finally:
            for catcher in _catchers:
                catcher.follow()

    init._tracker = True  # type: ignore[attr-defined]
    popen.__init__, popen.wait = init, wait
    os.register_at_fork(before=_before_fork)
    os.system = _catching_system(os.system)  # type: ignore[assignment]
    if "multiprocessing.spawn" in sys.modules:
        _patch_workers()
    else:  # an import of multiprocessing would slow down ``init``
        sys.meta_path.insert(0, _BeforeWorkers())


class _BeforeWorkers:
    """An import hook that patches ``multiprocessing`` before a worker starts without a fork."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Find no module. Patch ``multiprocessing`` when it imports the module that such workers need."""
        if name == "multiprocessing.spawn":
            _patch_workers()


def _patch_workers() -> None:
    """Make ``multiprocessing`` start workers with ``subprocess``, so that they get spools."""
    with Logged("watch for worker processes"):
        from multiprocessing import util

        util.spawnv_passfds = _giving_spools(util.spawnv_passfds)


def _giving_spools(own: Callable[..., int]) -> Callable[..., int]:
    @wraps(own)
    def spawnv_passfds(*given: Any) -> int:
        with Logged("record the output of a worker process"):
            path, words, kept = given
            # Not for the resource tracker of multiprocessing, which writes after this process has ended.
            if _catchers and any(map(_is_worker, words)):
                child = subprocess.Popen(words, executable=path, pass_fds=kept, restore_signals=False)
                child.returncode = 0  # multiprocessing waits for it
                return child.pid
        return own(*given)

    return spawnv_passfds


def _is_worker(word: str | bytes) -> bool:
    text = os.fsdecode(word)
    return text.startswith(("from multiprocessing.spawn ", "from multiprocessing.forkserver "))


def _catching_system(own: Callable[[Any], int]) -> Callable[[Any], int]:
    @wraps(own)
    def system(command: Any) -> int:
        if _descriptor(1) is None and _descriptor(2) is None:
            return own(command)
        code = subprocess.call(command, shell=True)
        return code << 8 if code >= 0 else -code

    return system
