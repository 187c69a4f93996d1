"""Capture of system metrics and console output while a run is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tracker.capture.logs import Logged
from tracker.ground.clock import now
from tracker.ground.records import ConsoleLines, SystemSample

if TYPE_CHECKING:
    from tracker.capture.console import Console
    from tracker.capture.sampler import Sampler
    from tracker.capture.terminal_lines import Line, Screen
    from tracker.ground.records import Record
    from tracker.ground.settings import Settings
    from tracker.sdk.run.core import RunCore

# How long the end of a run waits for a thread that is recording output.
PATIENCE_SECONDS = 5.0
# How long the end of a run waits for the facts of its start. Git can be slow on a slow disk.
FACTS_SECONDS = 15.0


class Capturing:
    """Samples system metrics and records the console output of this process.

    Problems are logged and not raised into the script.

    Args:
        record: Writes a record. It is called in the thread that captured the data.
        settings: Select the data to capture.
    """

    def __init__(self, record: Callable[[Record], None], settings: Settings) -> None:
        self._record = record
        self._settings = settings
        self._sampler: Sampler | None = None
        self._console: Console | None = None
        self._screen: Screen | None = None
        self._listener = self._write_lines  # one object: each access of a bound method makes a new one

    def begin(self) -> None:
        """Start the capture."""
        with Logged("sample system metrics"):
            self._sample()
        with Logged("record the output"):
            self._listen()

    def flush(self) -> None:
        """Record the output that was printed so far."""
        if self._console is not None:
            with Logged("record the last output"):
                self._console.flush()

    def before_end(self) -> None:
        """Record the output so far, and stop. Call this before the run's lock is taken for its end."""
        with Logged("record the last output"):
            self._stop_listening(PATIENCE_SECONDS)

    def end(self) -> None:
        """Stop the capture without waiting."""
        if self._sampler is not None:
            self._sampler.stop()
        with Logged("record the last output"):
            self._stop_listening(0.0)

    def join(self, seconds: float) -> None:
        """Wait up to ``seconds`` until the sampling thread of an ended run has ended."""
        if self._sampler is not None:
            self._sampler.join(seconds)

    def write_logs(self, text: str) -> None:
        """Add text to the run's output, as if the script had printed it.

        Raises:
            UsageError: The run is finished.
        """
        if self._console is not None:
            self._console.put(1, text)
            self._console.flush()
            return
        from tracker.capture.terminal_lines import Screen

        self._screen = self._screen or Screen()
        self._screen.feed(1, text)
        if lines := self._screen.take(drawing=True):
            self._write_lines(now(), lines)

    @property
    def samples(self) -> int:
        """The number of samples that this process has written."""
        return self._sampler.taken if self._sampler is not None else 0

    def _sample(self) -> None:
        settings = self._settings
        if settings.x_disable_stats or settings.x_disable_machine_info:
            return
        from tracker.capture.sampler import Sampler

        self._sampler = Sampler(
            self._write_sample,
            interval=max(0.1, settings.x_stats_sampling_interval),
            disk_paths=settings.x_stats_disk_paths or (),
            gpus=settings.x_stats_gpu_device_ids,
            tree=settings.x_stats_track_process_tree,
        )
        self._sampler.start()

    def _write_sample(self, values: dict[str, float]) -> None:
        self._record(SystemSample(now(), values))

    def _listen(self) -> None:
        if self._settings.console == "off":
            return
        from tracker.capture.console import console

        console.listen(self._listener, redirect=self._settings.console == "redirect")
        self._console = console

    def _stop_listening(self, patience: float) -> None:
        if self._console is not None:
            self._console.leave(self._listener, patience=patience)

    def _write_lines(self, when: float, lines: list[Line]) -> None:
        self._record(ConsoleLines(when, lines))


class RunCapturing(Capturing):
    """The capture for one run, in the process that writes it. A forked child starts its own when it logs."""

    def __init__(self, run: RunCore, settings: Settings) -> None:
        super().__init__(run.record, settings)
        self._run = run
        self._facts: threading.Thread | None = None
        self._forked = False

    def begin(self) -> None:
        """Start the capture, and record the facts of the run's start."""
        super().begin()
        if not self._forked:
            with Logged("record the facts of the start"):
                self._record_facts()

    def before_end(self) -> None:
        """Also record the facts of the start, and the cells of a notebook."""
        super().before_end()
        if self._facts is not None:
            self._facts.join(FACTS_SECONDS)
        with Logged("record the cells of the notebook"):
            self._record_session()

    def leave_to_parent(self) -> None:
        """In a forked child, forget the capture threads. They run in the parent only."""
        self._sampler = None
        self._console = None
        self._screen = None
        self._facts = None
        self._forked = True

    def _record_facts(self) -> None:
        """Record the facts of the run's start in a thread, because git can be slow."""
        settings = self._settings
        if settings.x_disable_meta or self._run.started.rank:
            return
        from tracker.capture.facts import SLURM_JOBS, Wanted, collect, slurm_jobs

        for job in slurm_jobs():  # as keys, so that a filter finds the run, also after a later job resumed it
            self._run.note((SLURM_JOBS, job), True)
        wanted = Wanted(
            git=not settings.disable_git,
            code=not settings.disable_code,
            packages=settings.x_save_requirements,
            script=bool(settings.save_code) and not settings.disable_code,
            machine=not settings.x_disable_machine_info,
            overrides={
                name: value
                for name in ("host", "username", "email", "program")
                if (value := getattr(settings, name)) is not None
            },
        )

        def note() -> None:
            with Logged("record the facts of the start"):
                for fact in collect(self._run.started.time, self._run.journal.segment, wanted):
                    self._run.save_file(fact.path, fact.data, fact.mimetype)
                    if fact.path.startswith("code/"):
                        self._run.note(("code_path",), fact.path)

        self._facts = threading.Thread(target=note, name="tracker-facts", daemon=True)
        self._facts.start()

    def _record_session(self) -> None:
        if (
            self._forked
            or not self._settings.save_code
            or self._settings.disable_code
            or self._run.started.rank
        ):
            return
        from tracker.capture.notebook import PATH, session_history

        notebook = session_history()
        if notebook is not None:
            self._run.save_file(PATH, notebook, "application/x-ipynb+json")
