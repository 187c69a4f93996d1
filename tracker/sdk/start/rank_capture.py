"""Capture for ranks without a run of their own: their output and samples are added to the run of rank 0.

Lightning's logger creates a run on rank 0 only. Rank 0 writes the run's name to a file in the store, and the
other processes of the launch look for this file. Each of them then writes its own segment, with samples of
its machine and its output, and without rows. No rank waits for another: a rank that does not find the file
trains without capture. See docs/decisions/0037.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tracker.capture.logs import Logged
from tracker.ground.processes import is_alive, seconds_alive, this_process
from tracker.ground.records import ConsoleLines, Process
from tracker.ground.settings import Settings, load_settings
from tracker.reading.open_reader import layout_for
from tracker.sdk.process import active_runs, exit_status, time_limit
from tracker.sdk.process.writers import continue_rank
from tracker.sdk.run.capture import PATIENCE_SECONDS, Capturing

if TYPE_CHECKING:
    from tracker.ground.records import Record
    from tracker.sdk.run.run import Run

# Variables that have the same value in all processes of one launch. torch.distributed needs the last two.
_SHARED = ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
# Seconds between two looks for the run of rank 0: at first, and at most.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# A file of another host belongs to an earlier launch if it is this many seconds older than this process. The
# margin is needed because clocks differ.
_CLOCK_MARGIN_SECONDS = 30.0
# Until the run is known, about this many characters of output are kept in memory; older output is dropped.
_LARGEST_BACKLOG = 4 * 1024 * 1024


class _Announcement(msgspec.Struct):
    """The file in which rank 0 announces its run: the run, its mode, and the process of rank 0."""

    entity: str
    project: str
    run_id: str
    mode: str
    writer: Process
    time: float

    @property
    def place(self) -> tuple[str, str, str]:
        return self.entity, self.project, self.run_id


_decode = msgspec.json.Decoder(_Announcement).decode
_announced: tuple[str, str] | None = None


def launch_of(environment: Mapping[str, str]) -> str | None:
    """Return a name that all processes of one launch share; None for a single process."""
    if not environment.get("MASTER_PORT"):
        return None
    text = "\n".join(environment.get(name, "") for name in _SHARED)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def publish(run: Run) -> None:
    """Announce this run to the other ranks of the launch. Do nothing when there is no launch."""
    global _announced
    port = os.environ.get("MASTER_PORT", "")
    if _announced == (port, run.path):  # Lightning's logger calls this with each row
        return
    launch = launch_of(os.environ)
    settings = run.journal.settings
    if launch is None or run.journal.layout is None:
        return
    layout = layout_for(settings)
    _announced = port, run.path
    announcement = _Announcement(run.entity, run.project, run.id, settings.mode, this_process(), time.time())
    with suppress(OSError):  # the other ranks then train without capture
        temporary = layout.new_temporary()
        temporary.write_bytes(msgspec.json.encode(announcement))
        os.replace(temporary, _file(layout.temporary, launch))


def observe(rank: int) -> None:
    """Capture output and samples of this process, and add them to the run of rank 0 when it is announced.

    This is for a process that does not create a run itself.

    Args:
        rank: Global rank of this process.
    """
    if active_runs.observer is not None and active_runs.observer.is_here:
        active_runs.observer.look_soon()
    elif active_runs.current_of_this_process() is None:
        with Logged("look for the run of rank 0"):  # an error here must not stop the training
            settings = load_settings()
            if settings.mode != "disabled":
                active_runs.observer = Observer(rank, settings)
                active_runs.observer.begin()


class Observer:
    """Captures output and samples in this process, and adds them to the run of rank 0.

    It looks for the announced run, and later for the run that rank 0 announces after that.

    Args:
        rank: Global rank of this process.
        settings: Settings of this process.
    """

    def __init__(self, rank: int, settings: Settings) -> None:
        self._rank = rank
        self._settings = settings
        self._owner = os.getpid()
        self._run: Run | None = None
        self._place: tuple[str, str, str] | None = None
        self._backlog: deque[Record] = deque()
        self._backlog_size = 0
        self._lock = threading.RLock()
        self._join_lock = threading.Lock()  # held while this process looks for the run and opens its segment
        self._wake = threading.Event()
        self._stopped = False
        self._capturing = Capturing(self._record, settings)

    @property
    def is_here(self) -> bool:
        """Whether the observer works in this process. After a fork it works only in the parent."""
        return self._owner == os.getpid() and not self._stopped

    def begin(self) -> None:
        """Start the capture and the thread that looks for the run."""
        with suppress(ValueError):  # not the main thread
            time_limit.install()
        self._capturing.begin()
        threading.Thread(target=self._watch_for_run, name="tracker-observer", daemon=True).start()
        exit_status.call_at_exit(self._look_and_stop)

    def look_soon(self) -> None:
        """Look for the run again soon, because training begins."""
        self._wake.set()

    def stop(self) -> None:
        """Stop the capture, because this process creates its own run or ends."""
        if self.is_here:
            self._stopped = True
            self._wake.set()
            # The other thread may be opening the segment now. Wait, so that it writes the kept records first.
            joined = self._join_lock.acquire(timeout=PATIENCE_SECONDS)
            self._capturing.before_end()
            self._capturing.end()
            self._finish_run()
            if joined:
                self._join_lock.release()

    def _record(self, record: Record) -> None:
        with self._lock:
            if self._run is None or self._run.finished:
                self._backlog.append(record)
                self._backlog_size += _record_size(record)
                while self._backlog_size > _LARGEST_BACKLOG:
                    self._backlog_size -= _record_size(self._backlog.popleft())
            else:
                self._run.record(record)

    def _watch_for_run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopped:
            if self._wake.wait(pause):
                self._wake.clear()
                pause = _SHORTEST_PAUSE
            pause = min(_LONGEST_PAUSE, pause * 1.2)
            self._look_for_run()

    def _look_for_run(self) -> None:
        with Logged("look for the run of rank 0"), self._join_lock:
            announcement = self._read_announcement()
            if announcement is not None and announcement.place != self._place:
                self._join(announcement)

    def _look_and_stop(self) -> None:
        """Stop at the end of the process. Look for the run once more if it has not been found before."""
        if self.is_here and self._place is None:
            self._look_for_run()
        self.stop()

    def _read_announcement(self) -> _Announcement | None:
        launch = launch_of(os.environ)
        if launch is None:
            return None
        try:
            file = _file(layout_for(self._settings).temporary, launch)
            announcement = _decode(file.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        alive = is_alive(announcement.writer)
        begun = time.time() - seconds_alive() - (_CLOCK_MARGIN_SECONDS if alive is None else 0.0)
        return announcement if alive or announcement.time > begun else None

    def _join(self, announcement: _Announcement) -> None:
        from tracker.sdk.run.fallback import with_spool
        from tracker.sdk.start.open_run import find_and_open

        entity, project, run_id = self._place = announcement.place
        settings = msgspec.structs.replace(
            self._settings, entity=entity, project=project, run_id=run_id, mode=announcement.mode, silent=True
        )
        with continue_rank(self._rank):
            run = find_and_open(*with_spool(settings, layout_for(settings)), run_id, {}, "allow")
        run.before_end(self._capturing.flush)
        self._finish_run()
        with self._lock:
            self._run = run
            while self._backlog:
                run.record(self._backlog.popleft())
            self._backlog_size = 0
        active_runs.add(run, make_current=False)  # it is then finished at the end of the process

    def _finish_run(self) -> None:
        """Finish the segment of the previous run, if there was one."""
        self._capturing.flush()
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.finish()


def _record_size(record: Record) -> int:
    lines = record.lines if isinstance(record, ConsoleLines) else []
    return 500 + sum(len(text) for _, _, text in lines)


def _file(folder: Path, launch: str) -> Path:
    return folder / f"launch-{launch}.json"
