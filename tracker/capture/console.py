"""Capture of the output that this process prints. See docs/decisions/0035.

The methods ``write`` and ``flush`` of ``sys.stdout`` and ``sys.stderr`` are wrapped in place. The objects,
the descriptors and the terminal stay the same, so other code that prints sees no difference. A write first
calls the stream's own method and then queues the text. The thread that gets the lock turns the queued text
into lines and passes them to the listeners. If the lock is taken, its owner processes the new text too.
Therefore printing is safe in signal handlers, in ``__del__``, while a run is locked, and in listeners.
"""

from __future__ import annotations

import atexit
import codecs
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tracker.capture import logs
from tracker.capture.child_output import Spools
from tracker.capture.logs import Logged
from tracker.capture.notebook import before_cells
from tracker.capture.terminal_lines import Line, Screen
from tracker.ground.clock import now

# An incomplete line, such as a progress bar, is passed on at most this often.
DRAWING_SECONDS = 0.2
# How often the output of child processes is checked.
FOLLOW_SECONDS = 0.1
# The largest number of lines and of characters in a chunk.
CHUNK_LINES = 500
CHUNK_TEXT = 1024 * 1024

# How long a print waits for another thread's print, so that its own text is recorded when it returns.
_PATIENCE_SECONDS = 0.5

Listener = Callable[[float, list[Line]], None]
_NAMES = {1: "stdout", 2: "stderr"}


class _Intercepted:
    """A ``write`` method that is set on the class of a notebook's streams, so that it sees all text.

    While a cell runs, IPython sets a ``write`` on the stream object. Afterwards it sets the previous method.
    A wrapper on the stream object would be lost in this way. The text between two cells would then be
    missing, for example late output of a child.
    """

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.hooks: dict[int, tuple[Callable[[], None], Callable[[Any], None]]] = {}
        self._inside = threading.local()

    def __get__(self, stream: Any, _owner: Any) -> Any:
        if stream is None:
            return self._plain
        below = vars(stream).get("write") or self._plain.__get__(stream)

        def write(text: Any) -> Any:
            hook = self.hooks.get(id(stream))
            if hook is None or getattr(self._inside, "busy", False):
                return below(text)
            before, after = hook
            self._inside.busy = True
            try:
                before()
                result = below(text)
            finally:
                self._inside.busy = False
            with Logged("record printed text"):
                after(text)
            return result

        write.below = below  # type: ignore[attr-defined]
        return write

    def __set__(self, stream: Any, method: Any) -> None:
        vars(stream)["write"] = getattr(method, "below", method)

    def __delete__(self, stream: Any) -> None:
        vars(stream).pop("write", None)


class Hook:
    """The wrapped methods of one stream: ``sys.stdout`` (1) or ``sys.stderr`` (2)."""

    def __init__(self, stream: int, file: Any, console: Console) -> None:
        self._stream = stream
        self._file = file
        self._console = console
        self._inside = threading.local()
        # Object, name, our method, and the attribute that the object itself had before, if any.
        self._set: list[tuple[Any, str, Any, Any]] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def install(self) -> None:
        """Wrap the stream's methods. A stream with read-only methods is not wrapped."""
        kind = type(self._file)
        if kind.__module__.startswith("ipykernel"):
            if not isinstance(vars(kind).get("write"), _Intercepted):
                kind.write = _Intercepted(kind.write)
            vars(kind)["write"].hooks[id(self._file)] = (self._console.before_write, self._text_written)
            return
        buffer = getattr(self._file, "buffer", None)
        self._wrap(self._file, "write", self._text_written)
        self._wrap(self._file, "flush", None)
        if buffer is not None:
            self._wrap(buffer, "write", self._bytes_written)

    def renew(self) -> None:
        """Wrap methods again that were replaced. IPython replaces them in each cell, and restores them."""
        if any(vars(owner).get(name) is not ours for owner, name, ours, _ in self._set):
            self.remove()
            self.install()

    def remove(self) -> None:
        """Restore the stream's own methods. Our methods do nothing from now on, also if they were wrapped."""
        intercepted = vars(type(self._file)).get("write")
        if isinstance(intercepted, _Intercepted):
            intercepted.hooks.pop(id(self._file), None)
        for owner, name, ours, before in self._set:
            ours.tracker_inactive = True
            if vars(owner).get(name) is ours:
                with suppress(AttributeError):
                    if before is None:
                        delattr(owner, name)
                    else:
                        setattr(owner, name, before)
        self._set.clear()

    def _wrap(self, owner: Any, name: str, written: Callable[[Any], None] | None) -> None:
        method = getattr(owner, name, None)
        if method is None:
            return
        while getattr(method, "tracker_inactive", False):  # skip earlier wrappers of ours
            method = method.__wrapped__
        inside = self._inside
        console = self._console

        of_text = owner is self._file

        def call(*arguments: Any, **named: Any) -> Any:
            depth = getattr(inside, "depth", 0)
            if ours.tracker_inactive or (depth and not of_text):
                return method(*arguments, **named)  # the write of a text stream calls that of its buffer
            inside.depth = depth + 1
            try:
                console.before_write()
                result = method(*arguments, **named)
            finally:
                inside.depth = depth
            if written is not None and arguments:
                with Logged("record printed text"):
                    written(arguments[0])
            return result

        ours: Any = call
        ours.__wrapped__, ours.tracker_inactive = method, False
        try:
            before = vars(owner).get(name)
            setattr(owner, name, ours)
        except (AttributeError, TypeError):
            return
        self._set.append((owner, name, ours, before))

    def _text_written(self, text: Any) -> None:
        if isinstance(text, str):
            self._console.put(self._stream, text)

    def _bytes_written(self, data: Any) -> None:
        self._console.put(self._stream, self._decoder.decode(bytes(data)))


class Console:
    """Passes the output of this process and its children to listeners."""

    def __init__(self) -> None:
        self._listeners: list[tuple[Listener, Screen]] = []
        self._hooks: list[Hook] = []
        self._queue: deque[tuple[int, str]] = deque()
        # An RLock knows its owner, also if a signal handler interrupts right after it was taken.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()  # the last listener has left
        self._spools: Spools | None = None
        self._owner = os.getpid()

    def listen(self, listener: Listener, *, redirect: bool) -> None:
        """Start to pass lines to a listener.

        Args:
            listener: Receives the time in Unix seconds, and lines. A line with a known number replaces the
                earlier line. After an exception, the listener receives no more lines.
            redirect: Whether to capture the descriptors too, and so output that bypasses Python.
        """
        self._discard_parent_state()
        with self._lock:
            self._listeners.append((listener, Screen()))
            if self._spools is None:
                self._spools = Spools(self.put, self.wake)
            if len(self._listeners) == 1:
                if not (redirect and self._spools.redirect()):
                    self._hooks = [
                        Hook(stream, file, self)
                        for stream, name in _NAMES.items()
                        if (file := getattr(sys, name, None)) is not None
                    ]
                    for hook in self._hooks:
                        hook.install()
                    before_cells(self._renew)
                self._spools.catch()
        if self._thread is None:
            atexit.register(self._follow_children)
            self._over = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._over,), name="tracker-console", daemon=True
            )
            with suppress(RuntimeError):
                self._thread.start()

    def leave(self, listener: Listener, *, patience: float) -> None:
        """Pass the remaining lines to a listener, also an incomplete line, and remove the listener.

        Args:
            listener: The listener.
            patience: How long to wait for another thread that is passing lines on, in seconds.
        """
        if self._owner != os.getpid() or all(each is not listener for each, _ in self._listeners):
            return
        self._follow_children()
        if not self._try_lock(patience):
            return
        try:
            self._deliver(drawing=True)
            self._listeners = [each for each in self._listeners if each[0] is not listener]
            if not self._listeners:
                for hook in self._hooks:
                    hook.remove()
                self._hooks = []
                before_cells(self._renew, stop=True)
                if self._spools is not None:
                    self._spools.release()
        finally:
            self._lock.release()
        if not self._listeners:
            self._end_thread(patience)

    def _end_thread(self, patience: float) -> None:
        thread, self._thread = self._thread, None
        self._over.set()
        self._wake.set()
        atexit.unregister(self._follow_children)
        if thread is not None and thread is not threading.current_thread() and thread.ident is not None:
            thread.join(patience)

    def flush(self) -> None:
        """Pass on the remaining lines, also an incomplete line."""
        self._follow_children()
        if self._try_lock(0.0):
            try:
                self._deliver(drawing=True)
            finally:
                self._lock.release()

    def put(self, stream: int, text: str) -> None:
        """Queue text of stdout (1), stderr (2) or children's streams (3, 4), and pass on complete lines."""
        if self._owner != os.getpid():
            if self._spools is not None:  # in a forked child, the parent records the lines
                self._spools.record_in_parent(stream, text)
            return
        self._queue.append((stream, text))
        self._pump()

    def before_write(self) -> None:
        """Show earlier output of children. Called before each write of this process."""
        if self._spools is not None and self._spools.active and self._owner == os.getpid():
            self._follow_children()

    def _pump(self) -> None:
        while self._queue:
            # The owner may wait for a lock of this thread, such as a run's. It then processes the text later.
            if not self._try_lock(_PATIENCE_SECONDS):
                return
            try:
                self._deliver(drawing=False)
            finally:
                self._lock.release()
        if any(screen.has_changed for _, screen in self._listeners):
            self._wake.set()

    def _try_lock(self, patience: float) -> bool:
        """Take the lock. Fail if this thread has it: a listener is then active below the caller."""
        if self._lock._is_owned():  # type: ignore[attr-defined]
            return False
        return self._lock.acquire(timeout=patience) if patience else self._lock.acquire(blocking=False)

    def _deliver(self, *, drawing: bool) -> None:
        while True:
            count = 0
            while self._queue and count < CHUNK_LINES:
                stream, text = self._queue.popleft()
                count += 1
                for _, screen in self._listeners:
                    screen.feed(stream, text)
            time_of_lines = now()
            for each in list(self._listeners):
                listener, screen = each
                lines = screen.take(drawing=drawing and not self._queue)
                try:
                    for chunk in _chunks(lines):
                        listener(time_of_lines, chunk)
                except Exception as error:
                    logs.log(logs.WARNING, "Recording of a run's output ended", error)
                    self._listeners = [other for other in self._listeners if other is not each]
            if not self._queue:
                return

    def _follow_children(self) -> None:
        if self._spools is not None and self._spools.active:
            self._spools.follow()

    def _run(self, over: threading.Event) -> None:
        while not over.is_set():
            active = self._spools is not None and self._spools.active
            self._wake.wait(FOLLOW_SECONDS if active else None)
            if self._wake.is_set():
                self._wake.clear()
                over.wait(DRAWING_SECONDS if not active else FOLLOW_SECONDS)
            with Logged("record output"):
                self.flush()

    def wake(self) -> None:
        """Wake the thread, because children may write from now on."""
        self._wake.set()

    def _renew(self) -> None:
        for hook in self._hooks:
            hook.renew()

    def _discard_parent_state(self) -> None:
        """In a forked child with a listener of its own, remove the parent's hooks and listeners."""
        if self._owner == os.getpid():
            return
        for hook in self._hooks:
            hook.remove()
        self.__init__()  # type: ignore[misc]

    def after_fork(self) -> None:
        """In a forked child, replace the parent's locks and threads, which do not work here."""
        self._lock = threading.RLock()
        self._queue = deque()
        self._thread = None
        for hook in self._hooks:
            hook._inside = threading.local()


def _chunks(lines: list[Line]) -> list[list[Line]]:
    chunks: list[list[Line]] = []
    size = 0
    for line in lines:
        if not chunks or size + len(line[2]) > CHUNK_TEXT or len(chunks[-1]) >= CHUNK_LINES:
            chunks.append([])
            size = 0
        chunks[-1].append(line)
        size += len(line[2])
    return chunks


console = Console()
os.register_at_fork(after_in_child=console.after_fork)
