"""``Run``: what a script logs to. Every call is a record; nothing else happens on its thread."""

from __future__ import annotations

import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from tracker.data_types.histogram import Histogram
from tracker.data_types.media import Media
from tracker.errors import UsageError
from tracker.records import (
    ConfigChanged,
    FileSaved,
    MetricDefined,
    Record,
    Row,
    RunFinished,
    RunStarted,
    SummaryChanged,
    encode,
    pack,
)
from tracker.sdk import active
from tracker.sdk.config import Config
from tracker.sdk.define import parse_metric
from tracker.sdk.journal import RunJournal
from tracker.sdk.leaving import last_line
from tracker.sdk.steps import StepCounter
from tracker.sdk.summary import Summary
from tracker.values import PLAIN, to_plain

if TYPE_CHECKING:
    from torch.nn import Module

    from tracker.artifacts.artifact import Artifact
    from tracker.sdk.artifacts import RunArtifacts
    from tracker.store.layout import Layout
from tracker.store.locks import shared


class Run:
    """A run that is being written; made by ``init``.

    Safe to use from several threads. In a forked child, what is logged goes to a segment of the
    child's own, and the parent's run is never finished from there.
    """

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
        self.preempted = False
        self.resumed = resumed
        self.starting_step = started.start_step
        self.config = Config(config, lambda values: self._put(ConfigChanged(values)))
        self.summary = Summary(
            journal.read_summary, lambda values, removed: self._put(SummaryChanged(values, removed))
        )

    # Identity

    @property
    def id(self) -> str:
        """The run's id, unique in its project."""
        return self._started.run_id

    @property
    def name(self) -> str | None:
        """The display name."""
        return self._started.name

    @property
    def entity(self) -> str:
        """Whose project it is in."""
        return self._started.entity

    @property
    def project(self) -> str:
        """The project."""
        return self._started.project

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def group(self) -> str | None:
        """The group."""
        return self._started.group

    @property
    def job_type(self) -> str | None:
        """The job type."""
        return self._started.job_type

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags."""
        return tuple(self._started.tags or ())

    @property
    def notes(self) -> str | None:
        """The notes."""
        return self._started.notes

    @property
    def step(self) -> int:
        """The step that the next ``log`` without ``step`` goes to."""
        return self._steps.step

    @property
    def start_time(self) -> float:
        """When this process began the run, in unix seconds."""
        return self._started.time

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self._finished

    @property
    def disabled(self) -> bool:
        """Whether nothing is kept (``mode="disabled"``)."""
        return self._journal.disabled

    @property
    def offline(self) -> bool:
        """Whether nothing is sent to a server while the run goes on."""
        return self._journal.settings.mode == "offline"

    @property
    def url(self) -> str | None:
        """Where the run can be looked at, when a server is named."""
        base = self._journal.settings.base_url
        return (
            f"{base.rstrip('/')}/{self.entity}/{self.project}?run={self.id}"
            if base and not self.offline
            else None
        )

    # Logging

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log values into a history row. When this returns they survive SIGKILL of this process.

        Args:
            data: Keys (strings) and values: plain values, scalars and arrays of numpy and torch, media.
            step: The row's step. wandb drops a step smaller than the last; here it becomes a row of its own.
            commit: Whether the row is complete with this call. By default it is, unless ``step`` is given.

        Raises:
            TypeError: ``data`` is no dict with string keys, or a value cannot be encoded. Nothing was logged.
            UsageError: The run is finished.
        """
        if type(data) is not dict:
            data = _as_row(data)
        if step is not None:
            step = _as_step(step)
        keys = tuple(data)
        if keys != self._keys:
            try:
                "".join(keys)  # refuses a key that is no string, at the speed of C
            except TypeError:
                raise TypeError("Key values passed to `wandb.log` must be strings.") from None
            self._keys = keys
        with self._lock:
            if self._finished:
                raise UsageError(
                    f"Run ({self.id}) is finished. The call to `log` will be ignored: init a new run."
                )
            if not PLAIN.issuperset(map(type, data.values())):
                data = self._to_plain_row(data, self._steps.step if step is None else step)
            if self._writing:
                self._deferred.append(partial(self.log, dict(data), step, commit))
                return
            steps = self._steps
            before = steps.state
            try:
                self._writing = True
                row, at, flags = steps.place(step, commit)
                record = Row(row, at, flags, time.time(), data)
                try:
                    payload = encode(record)
                except (OverflowError, UnicodeEncodeError):
                    payload = pack(record)
                self._journal.put(payload)
            except Exception:
                steps.state = before  # nothing was logged
                raise
            finally:
                self._writing = False
            if self._deferred:
                self._write_deferred()

    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
    ) -> MetricDefined:
        """Say how a key (or all keys with a prefix, ``"val/*"``) is plotted and summarised.

        Args:
            name: A key, or a prefix that ends in ``*``.
            step_metric: Key that serves as its x axis.
            step_sync: Add the step metric's last value to rows that lack it; on when one is given.
            hidden: Keep it out of automatic charts.
            summary: Comma-separated: min, max, mean, last, first, best, copy, none.
            goal: ``"minimize"`` or ``"maximize"``, for ``summary="best"``.
            overwrite: Forget what was defined before instead of adding to it.

        Raises:
            Error: A word is not known.
        """
        defined = parse_metric(name, step_metric, step_sync, hidden, summary, goal)
        self._put(defined)
        return defined

    def watch(
        self,
        models: Module | Sequence[Module],
        criterion: Any = None,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Log histograms of a PyTorch model's gradients and parameters while it is trained.

        They go into the row that is open, under ``gradients/NAME`` and ``parameters/NAME``: 64 bins between
        the least and the greatest value, counted where the tensor lies. Of the second model that a process
        watches, NAME begins with ``graph_1``, and so on, as in wandb.

        Args:
            models: A model or several.
            criterion: Accepted for compatibility.
            log: What of: gradients after each backward pass, parameters after each forward pass of the model.
            log_freq: Log each so many batches.
            idx: Number of the first model instead of how many were watched before.
            log_graph: Keep the layers, as they run first, as ``graph_N`` in the summary.

        Raises:
            TypeError: Something is no ``torch.nn.Module``.
            ValueError: A word for ``log`` that is not known, or a model whose graph is watched already.
            Error: torch cannot be imported.
        """
        from tracker.sdk.watch import watch

        watch(self, models, log, log_freq, idx, log_graph)

    def unwatch(self, models: Module | Sequence[Module] | None = None) -> None:
        """Stop what ``watch`` began, for some models or for all."""
        from tracker.sdk.watch import unwatch

        unwatch(self, models)

    # Artifacts

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Log an artifact, or a file or folder as one. Returns at once; ``wait()`` on it gives the version.

        Args:
            artifact_or_path: A draft, or the path of a file or folder.
            name: Name of an artifact made from a path; ``run-ID-FILE`` unless given.
            type: Its type; ``"unspecified"`` unless given.
            aliases: Moved to this version; ``latest`` always is.
            tags: Of this version; those of the draft unless given.

        Raises:
            ValueError: An alias, a tag or a name is not allowed.
        """
        return self._artifacts().log(artifact_or_path, name, type, aliases, tags)

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Find an artifact version and note that this run uses it. Needs neither server nor network.

        Args:
            artifact_or_name: ``[[entity/]project/]name[:version|alias|digest]``.
            type: When given, the artifact must be of this type.
            aliases: Accepted for compatibility.
            use_as: Likewise.

        Raises:
            NotFoundError: There is no such artifact, version or alias; says which there are.
        """
        return self._artifacts().use(artifact_or_name, type)

    def link_artifact(
        self, artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None
    ) -> Artifact:
        """Link an artifact, logged first if need be, into another collection; return it as it is there.

        Args:
            artifact: A draft or a version.
            target_path: ``[[entity/]project/]collection``.
            aliases: Moved to it in that collection.
        """
        return self._artifacts().link(artifact, target_path, aliases)

    def log_model(
        self, path: str | os.PathLike[str], name: str | None = None, aliases: Sequence[str] | None = None
    ) -> None:
        """Log a file or folder as an artifact of type ``model``.

        Args:
            path: The file or folder.
            name: ``run-ID-FILE`` unless given.
            aliases: Moved to this version; ``latest`` always is.
        """
        self._artifacts().log_model(path, name, aliases)

    def use_model(self, name: str) -> str:
        """Download a model and note that this run uses it; return the path of its file, or of the folder.

        Args:
            name: ``[[entity/]project/]name:version`` or ``:alias``.

        Raises:
            ValueError: The name has no version.
            UsageError: The artifact's type does not contain ``model``.
        """
        return self._artifacts().use_model(name)

    def link_model(
        self,
        path: str | os.PathLike[str],
        registered_model_name: str,
        name: str | None = None,
        aliases: Sequence[str] | None = None,
    ) -> Artifact:
        """Log a model and link it to a registered model, in the project ``model-registry`` of the entity.

        Args:
            path: The file or folder.
            registered_model_name: The registered model, made if there is none.
            name: Of the artifact; ``run-ID-FILE`` unless given.
            aliases: Moved to it, in both collections.

        Returns:
            The version of the registered model.
        """
        return self._artifacts().link_model(path, registered_model_name, name, aliases)

    def _artifacts(self) -> RunArtifacts:
        from tracker.sdk.artifacts import RunArtifacts  # many runs log none

        return RunArtifacts(self, self._journal.settings)

    # Life

    def finish(self, exit_code: int | None = None) -> None:
        """End the run; a second call does nothing.

        Args:
            exit_code: 0 or None: finished. Anything else: failed.
        """
        try:
            code = int(exit_code or 0)
        except (TypeError, ValueError):
            code = 1  # said something, and not 0
        self._end("failed" if code else "finished", max(-(2**31), min(code, 2**31 - 1)), None)

    def fail(self, error: str) -> None:
        """End the run as failed, with one line that says why."""
        self._end("failed", 1, error)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        else:
            self.fail(last_line(error))

    def __repr__(self) -> str:
        return f"<Run {self.path} ({self.name})>"

    # What artifacts and media use

    def record(self, record: Record) -> None:
        """Write a record to this run's journal."""
        self._put(record)

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
                raise UsageError(f"Run ({self.id}) is finished: init a new run")
            if self._writing:
                self._deferred.append(partial(self._put, record))
                return
            try:
                self._writing = True
                self._journal.put(payload)
            finally:
                self._writing = False
            self._write_deferred()

    def _write_deferred(self) -> None:
        while self._deferred:
            self._deferred.pop(0)()

    def _to_plain_row(self, data: dict[str, Any], step: int) -> dict[str, Any]:
        plain = {}
        for key, value in data.items():
            if isinstance(value, (list, tuple)) and value and all(_is_image(item) for item in value):
                from tracker.data_types.image import images_to_history

                plain[key] = images_to_history(value, self, key, step)
            else:
                try:
                    plain[key] = to_plain(value, partial(self._convert, key, step))
                except RecursionError:
                    raise TypeError(
                        f"the value of {key!r} contains itself, or is nested too deeply"
                    ) from None
        return plain

    def _convert(self, key: str, step: int, value: Any) -> Any:
        """Return the history form of what is no plain value, or raise TypeError."""
        if isinstance(value, Media):
            return value.to_history(self, key, step)
        if isinstance(value, Histogram):
            return value.to_plain()
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    # What a signal handler uses

    @property
    def is_busy_here(self) -> bool:
        """Whether the calling thread is inside a call on this run, under the code that asks."""
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def lock(self, seconds: float) -> bool:
        """Keep all others from logging, until the process ends; return whether that could be done."""
        return self._lock.acquire(timeout=seconds)

    def preempt(self, seconds: float) -> None:
        """End the run because the process was told to end (SIGTERM), unless others block it for too long."""
        if self.lock(seconds):
            try:
                self._end("preempted", 128 + signal.SIGTERM, None)
            finally:
                self._lock.release()

    def _end(self, state: str, exit_code: int, error: str | None) -> None:
        # An interrupt (Ctrl-C) may end this anywhere: the next call, at exit at the latest, goes on.
        with self._lock:
            if self._writing:
                self._deferred.append(partial(self._end, state, exit_code, error))
                return
            if self._ending:
                return  # a signal handler's call: what is under it goes on
            try:
                self._ending = True
                self._write_deferred()
                self._finished = True
                if not self._closed:
                    if self._last is None:
                        if self.preempted:
                            state, error = "preempted", error or "SIGTERM"
                        self._last = pack(RunFinished(time.time(), state, exit_code, error))
                    if not self._said:
                        self._journal.put(self._last)
                        self._said = True
                    self._journal.close()
                    self._closed = True
            finally:
                self._ending = False
        active.forget(self)

    def leave_to_parent(self) -> None:
        """In a forked child: what is logged from now on goes to a segment of the child's own."""
        self._lock = self._journal.lock = threading.RLock()  # another thread of the parent may have held it
        self._writing = self._ending = False
        self._deferred = []
        if not self._closed:
            self._journal.leave_to_parent()
            self._steps = StepCounter(self._steps.step)


def _as_row(data: Any) -> dict[str, Any]:
    if isinstance(data, dict):
        return dict(data)
    raise TypeError(f"`wandb.log` must be passed a dictionary, not {type(data).__name__}")


def _as_step(step: Any) -> int:
    try:
        return operator.index(step)
    except TypeError:
        if isinstance(step, float) and step.is_integer():
            return int(step)
        if hasattr(step, "item"):  # a torch or numpy scalar
            return _as_step(step.item())
        raise TypeError(f"step must be a whole number, not {step!r}") from None


def _is_image(value: Any) -> bool:
    return isinstance(value, Media) and type(value).__name__ == "Image"
