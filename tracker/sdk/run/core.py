"""What a run is made of: its journal, the lock over it, and how records and files go in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tracker.errors import UsageError
from tracker.ground.records import ConfigChanged, FileSaved, Record, RunStarted, SummaryChanged, pack
from tracker.ground.terminal import say
from tracker.runstate.steps import StepCounter
from tracker.sdk.process.journal import RunJournal
from tracker.sdk.run.config import Config
from tracker.sdk.run.summary import Summary
from tracker.store.catalog.locks import shared

if TYPE_CHECKING:
    from tracker.sdk.run.capturing import RunCapturing
    from tracker.store.objects.layout import Layout


# What of a run a script may have been given, or found.
SHOWN = ("name", "tags", "notes", "group", "job_type")


class RunCore:
    """The part of a ``Run`` that the others stand on."""

    # Opens the next attempt of a run; set where runs, which are made of this, are opened.
    _open_attempt: ClassVar[Callable[..., RunCore]]

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
            lambda: self._journal.read_summary(),
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

    def go_on_at(self, step: int) -> None:
        """Have the next row stand at a step, behind rows that were taken over."""
        _, row, _ = self._steps.state
        self._steps.state = (step, row, None)
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
                self._journal.begun_in_child = self.capturing.begin
            self._steps = StepCounter(self._steps.step)
