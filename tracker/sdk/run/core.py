"""The base of a run: its journal, its lock, and the methods that write records and files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError
from tracker.ground.records import (
    ConfigChanged,
    ConsoleLines,
    FileSaved,
    Record,
    RunStarted,
    SummaryChanged,
    SystemSample,
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


# How long ``share_steps`` waits for a thread that is writing to the run.
_PATIENCE_SECONDS = 1.0
# Records that may wait for the next write of the journal, like rows. Others are rare, and other processes
# need them soon.
_MAY_WAIT = (SystemSample, ConsoleLines)
# Fields that a script can set. A resumed run keeps the earlier values of fields that ``init`` does not set.
SHOWN = ("name", "tags", "notes", "group", "job_type")


class RunCore:
    """The base class of ``Run`` and of its mixins."""

    def __init__(
        self, started: RunStarted, journal: RunJournal, *, resumed: bool, config: dict[str, Any]
    ) -> None:
        self._started = started
        self._journal = journal
        self._steps = StepCounter(started.start_step)
        self._lock = journal.lock
        self._keys: tuple[str, ...] = ()  # the keys of the last row
        self._finished = False
        self._end_record: bytes | None = None  # the record of the run's end
        self._end_written = False
        # A signal handler can interrupt code that is writing to the run. The handler's writes are deferred
        # until the interrupted write is complete.
        self._writing = self._ending = False
        self._deferred: list[Callable[[], None]] = []
        self._closed = False
        self._forked = False  # this process is a forked child of the process that started the run
        self._waited = False  # finish() and fail() wait only once for the server
        self._before_end: list[Callable[[], None]] = []
        # The values that the properties return: from init, from earlier attempts, or set by the script.
        self._shown: dict[str, Any] = {name: getattr(started, name) for name in SHOWN}
        self.preempted = False
        self._preempting = False  # the script called mark_preempting()
        self.resume_file: str | None = None  # names the run to resume; deleted when the run succeeds
        self.capturing: RunCapturing | None = None
        self.resumed = resumed
        self.starting_step = started.start_step
        # The ``_wandb`` key of the config: charts, class labels, pinned keys, the path of the code, ...
        self._noted: dict[str, Any] = dict(config.pop("_wandb", None) or {})
        self.config = Config(
            config, lambda values: self._put(ConfigChanged(values)), lambda artifact: self._use(artifact)
        )
        self.summary = Summary(
            lambda: self._journal.read_summary(others_write=self._others_have_written()),
            lambda values, removed: self._put(SummaryChanged(values, removed)),
            lambda key, value: self._summary_value(key, value),
        )

    @property
    def id(self) -> str:
        """The run's id. It is unique in its project."""
        return self._started.run_id

    @property
    def entity(self) -> str:
        """The entity that owns the project."""
        return self._started.entity

    @property
    def project(self) -> str:
        """The project's name."""
        return self._started.project

    @property
    def started(self) -> RunStarted:
        """The first record of the run's segment."""
        return self._started

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self._finished

    @property
    def disabled(self) -> bool:
        """Whether the run records nothing (``mode="disabled"``)."""
        return self._journal.disabled

    def record(self, record: Record) -> None:
        """Write a record to this run's journal."""
        self._put(record)

    def show(self, **fields: Any) -> None:
        """Set the values that properties return for unset fields of a resumed run. Write no record."""
        for name, value in fields.items():
            if self._shown[name] is None:
                self._shown[name] = value

    def set_next_step(self, step: int) -> None:
        """Set the step of the next row. Used after rows of another run were copied into this one."""
        self._steps.continue_at(step)
        self.starting_step = step

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """Store a file of this run, first its content and then the record that names it.

        Args:
            path: The file's path in the run.
            data: The content.
            mimetype: The content's media type.

        Returns:
            The SHA-256 of the content, as hexadecimal digits.
        """
        layout = self._journal.layout
        # Until a record names the content, only the naming lock protects it from garbage collection.
        with self._lock, shared(layout.naming_lock if layout is not None else None):
            blob = self._journal.save_blob(data)
            if blob is None:  # the disk and the memory buffer are full: the file is lost, write no record
                import hashlib

                return hashlib.sha256(data).hexdigest()
            self._put(FileSaved(path, blob.sha256, blob.size, mimetype))
        return blob.sha256

    def save_path(self, path: str, file: str, mimetype: str) -> None:
        """Store a file of this run that is on disk, without reading it into memory as a whole.

        Args:
            path: The file's path in the run.
            file: The file's path on disk.
            mimetype: The content's media type.

        Raises:
            OSError: The file cannot be read.
        """
        layout = self._journal.layout
        with self._lock, shared(layout.naming_lock if layout is not None else None):
            blob = self._journal.save_blob_of(file)
            if blob is not None:
                self._put(FileSaved(path, blob.sha256, blob.size, mimetype))

    def note(self, path: Sequence[str], value: Any) -> None:
        """Store a value under ``_wandb`` of the config. ``run.config`` does not contain it.

        Args:
            path: The nested keys below ``_wandb``, outermost first.
            value: The value to store.
        """
        with self._lock:
            inner = self._noted
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            if inner.get(path[-1]) != value:
                inner[path[-1]] = value
                self._put(ConfigChanged({"_wandb": self._noted}))

    def media_sink(self) -> Any:
        """Return the object that stores media files of this run."""
        from tracker.sdk.run.media import MediaSink

        return MediaSink(self)  # type: ignore[arg-type]

    @property
    def layout(self) -> Layout | None:
        """The store or outbox that the run writes to."""
        return self._journal.layout

    @property
    def journal(self) -> RunJournal:
        """The journal that the run's records are written to."""
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
                if type(record) not in _MAY_WAIT:
                    self._journal.write_out()
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
        """Record that the run uses an artifact. Return the dict that represents the artifact in a config."""
        raise NotImplementedError

    def _summary_value(self, key: str, value: Any) -> Any:
        """Return the plain form of a value that is set in the summary."""
        raise NotImplementedError

    def _keep_files(self) -> None:
        """Store the files of the run's own folder; see ``tracker.sdk.run.files``."""

    def _defer(self, write: Callable[[], None]) -> None:
        """Queue a write. Write the queue now, unless a signal handler has interrupted another write."""
        self._deferred.append(write)
        if not self._writing:
            self._write_deferred()

    def _write_deferred(self) -> None:
        """Write the queue in order. A signal handler that interrupts this method appends to the queue."""
        while self._deferred:
            try:
                self._writing = True
                while self._deferred:
                    self._deferred.pop(0)()
            finally:
                self._writing = False

    def leave_to_parent(self) -> None:
        """In a forked child, write to a segment of the child from now on."""
        # A new lock, because another thread of the parent may have held the old one during the fork.
        self._lock = self._journal.lock = threading.RLock()
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

    def _others_have_written(self) -> bool:
        """Return whether other processes may have written rows or summary values of this run."""
        file = self._steps.file
        return file is not None and (self._forked or is_child(self._started.rank) or file.children > 0)

    def share_steps(self, file: StepFile | None = None) -> StepFile | None:
        """From now on, take the steps of this run's rows from a counter that is shared with other processes.

        Args:
            file: The counter that this process received with the run. Without it, a new one is created.

        Returns:
            The counter, or None if the run is disabled or closed, or if the counter could not be created.
        """
        if self._steps.file is not None or self._closed or self.disabled:
            return self._steps.file  # type: ignore[no-any-return]
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return None
        try:
            # In a signal handler that interrupted `log`, `_writing` is true: keep the counter unchanged.
            if self._steps.file is None and not self._writing:
                with suppress(OSError):
                    from tracker.sdk.process.shared_steps import (  # imported late: few runs have children
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
