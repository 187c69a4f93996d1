"""What a run is made of: its journal, the lock over it, and how records and files go in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError
from tracker.ground.records import (
    ConfigChanged,
    FileSaved,
    Record,
    RunStarted,
    SummaryChanged,
    is_child,
    pack,
)
from tracker.ground.terminal import say
from tracker.runstate.steps import StepCounter
from tracker.sdk.process.run_journal import RunJournal
from tracker.sdk.run.config import Config
from tracker.sdk.run.summary import Summary
from tracker.store.catalog.locks import shared

if TYPE_CHECKING:
    from tracker.sdk.process.shared_steps import StepFile
    from tracker.sdk.run.capture import RunCapturing
    from tracker.store.objects.layout import Layout


# So long whoever forks waits for a thread that is writing to the run.
_PATIENCE_SECONDS = 1.0
# What of a run a script may have been given, or found.
SHOWN = ("name", "tags", "notes", "group", "job_type")


class RunCore:
    """The part of a ``Run`` that the others stand on."""

    def __init__(
        self, started: RunStarted, journal: RunJournal, *, resumed: bool, config: dict[str, Any]
    ) -> None:
        self._started = started
        self._journal = journal
        self._steps = StepCounter(started.start_step)
        self._lock = journal.lock
        self._keys: tuple[str, ...] = ()  # of the last row
        self._finished = False
        self._last: bytes | None = None  # the record that says how the run ended
        self._said = False  # it is written
        # What a signal handler wants to write while the code under it is writing: done right after that.
        self._writing = self._ending = False
        self._deferred: list[Callable[[], None]] = []
        self._closed = False
        self._forked = False  # this process is a child of the one that began it
        self._waited = False  # for the server to have all of it
        self._before_end: list[Callable[[], None]] = []
        # What is shown of the run: as it was begun, found (a resumed one) or set since.
        self._shown: dict[str, Any] = {name: getattr(started, name) for name in SHOWN}
        self.preempted = False
        self._preempting = False  # the script said so
        self.resume_file: str | None = None  # says which run to go on with, until it has ended well
        self.capturing: RunCapturing | None = None
        self.resumed = resumed
        self.starting_step = started.start_step
        # What pages need to know of charts and classes, by name: ``_wandb`` of the config.
        self._noted: dict[str, Any] = dict(config.pop("_wandb", None) or {})
        self.config = Config(
            config, lambda values: self._put(ConfigChanged(values)), lambda artifact: self._use(artifact)
        )
        self.summary = Summary(
            lambda: self._journal.read_summary(beside=self._has_company()),
            lambda values, removed: self._put(SummaryChanged(values, removed)),
            lambda key, value: self._summary_value(key, value),
        )

    @property
    def id(self) -> str:
        """The run's id, unique in its project."""
        return self._started.run_id

    @property
    def entity(self) -> str:
        """Whose project it is in."""
        return self._started.entity

    @property
    def project(self) -> str:
        """The project."""
        return self._started.project

    @property
    def started(self) -> RunStarted:
        """What its first record says."""
        return self._started

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self._finished

    @property
    def disabled(self) -> bool:
        """Whether nothing is kept (``mode="disabled"``)."""
        return self._journal.disabled

    def record(self, record: Record) -> None:
        """Write a record to this run's journal."""
        self._put(record)

    def show(self, **fields: Any) -> None:
        """Show what is known of a run that goes on, of what its new attempt did not say itself."""
        for name, value in fields.items():
            if self._shown[name] is None:
                self._shown[name] = value

    def continue_at(self, step: int) -> None:
        """Have the next row stand at a step, behind rows that were taken over."""
        self._steps.continue_at(step)
        self.starting_step = step

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """Store a file of this run: its bytes first, then the record that names them."""
        layout = self._journal.layout
        # Until a record names it, only this lock tells garbage collection that the content is wanted.
        with self._lock, shared(layout.naming_lock if layout is not None else None):
            blob = self._journal.save_blob(data)
            if blob is None:  # a full disk, and no room in memory: counted as lost, and nothing may name it
                import hashlib

                return hashlib.sha256(data).hexdigest()
            self._put(FileSaved(path, blob.sha256, blob.size, mimetype))
        return blob.sha256

    def save_path(self, path: str, file: str, mimetype: str) -> None:
        """Store a file of this run that lies on the disk, of whatever size.

        Raises:
            OSError: It cannot be read.
        """
        layout = self._journal.layout
        with self._lock, shared(layout.naming_lock if layout is not None else None):
            blob = self._journal.save_blob_of(file)
            if blob is not None:
                self._put(FileSaved(path, blob.sha256, blob.size, mimetype))

    def note(self, path: Sequence[str], value: Any) -> None:
        """Keep something under ``_wandb`` of the config, which ``run.config`` does not show.

        Args:
            path: Names, from the outermost one on.
            value: What stands there.
        """
        with self._lock:
            inner = self._noted
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            if inner.get(path[-1]) != value:
                inner[path[-1]] = value
                self._put(ConfigChanged({"_wandb": self._noted}))

    def media_sink(self) -> Any:
        """Return what takes this run's media files."""
        from tracker.sdk.run.media import MediaSink

        return MediaSink(self)  # type: ignore[arg-type]

    @property
    def layout(self) -> Layout | None:
        """The store or outbox that it writes to; None when nothing is kept."""
        return self._journal.layout

    @property
    def journal(self) -> RunJournal:
        """Where this run's records go."""
        return self._journal

    def _put(self, record: Record) -> None:
        payload = pack(record)
        with self._lock:
            if self._finished:
                self._check_open("log")
            if self._writing or self._deferred:
                self._defer(partial(self._journal.put, payload))
                return
            try:
                self._writing = True
                self._journal.put(payload)
            finally:
                self._writing = False
            self._write_deferred()

    def _check_open(self, call: str) -> None:
        if self._finished:
            raise UsageError(
                f"Run ({self.id}) is finished. The call to `{call}` will be ignored. "
                "Please make sure that you are using an active run."
            )

    def _warn(self, message: str) -> None:
        say(message, silent=self._journal.settings.silent)

    def _use(self, artifact: Any) -> dict[str, Any]:
        """Note that the run uses an artifact; return what names it in a config."""
        raise NotImplementedError

    def _summary_value(self, key: str, value: Any) -> Any:
        """Return the plain form of what is set in the summary."""
        raise NotImplementedError

    def _keep_files(self) -> None:
        """Take what lies in the run's own folder; see ``tracker.sdk.run.files``."""

    def _defer(self, write: Callable[[], None]) -> None:
        """Write behind what waits already: at once, unless the code under a signal handler is writing."""
        self._deferred.append(write)
        if not self._writing:
            self._write_deferred()

    def _write_deferred(self) -> None:
        """Write what waits, in order: whoever interrupts this adds to the end."""
        while self._deferred:
            try:
                self._writing = True
                while self._deferred:
                    self._deferred.pop(0)()
            finally:
                self._writing = False

    def leave_to_parent(self) -> None:
        """In a forked child: what is logged from now on goes to a segment of the child's own."""
        self._lock = self._journal.lock = threading.RLock()  # another thread of the parent may have held it
        self._writing = self._ending = False
        self._forked = True
        self._deferred = []
        self._before_end = []
        if not self._closed:
            self._journal.leave_to_parent()
            if self.capturing is not None:
                self.capturing.leave_to_parent()
            self._journal.begun_in_child = self._begin_in_child
            self._steps = self._steps.for_child()

    def _begin_in_child(self) -> None:
        if self._steps.file is not None:
            self._steps.file.add_child()
        if self.capturing is not None:
            self.capturing.begin()

    def _has_company(self) -> bool:
        """Whether other processes have written to this run since this one began to."""
        file = self._steps.file
        return file is not None and (self._forked or is_child(self._started.rank) or file.children > 0)

    def share_steps(self, file: StepFile | None = None) -> StepFile | None:
        """Take the steps of this run's rows from a counter that other processes have too, from now on.

        Args:
            file: That of the process that handed this run over.

        Returns:
            The counter; None when it could not be made.
        """
        if self._steps.file is not None or self._closed or self.disabled:
            return self._steps.file  # type: ignore[no-any-return]
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return None
        try:
            # Not while this very thread is in the middle of `log`, in a signal handler.
            if self._steps.file is None and not self._writing:
                with suppress(OSError):
                    from tracker.sdk.process.shared_steps import (  # few runs have children
                        SharedSteps,
                        StepFile,
                    )

                    before = None if file is not None else self._steps
                    path = f"{self.entity}/{self.project}/{self.id}"
                    file = file or StepFile.make(path, self._steps.next_step)
                    self._steps = SharedSteps(file, before)
                    if before is None:
                        file.add_child()
            return self._steps.file  # type: ignore[no-any-return]
        finally:
            self._lock.release()
