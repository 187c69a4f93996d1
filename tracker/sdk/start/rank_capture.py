"""Ranks that make no run: what happens in them is kept with the run of rank zero.

Lightning's logger makes a run on rank zero only. That one leaves the run's name in the store, where the
other processes of the launch look for it; each then writes a segment of its own, with samples of its machine
and its output and no rows. Nobody waits for anybody: a rank that finds nothing trains on.
See docs/decisions/0037.
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
from tracker.sdk.process import active_runs, exit_status
from tracker.sdk.process.writers import taking_over
from tracker.sdk.run.capture import PATIENCE_SECONDS, Capturing

if TYPE_CHECKING:
    from tracker.ground.records import Record
    from tracker.sdk.run.run import Run

# What all processes of one launch have in common. torch.distributed needs the last two.
_SHARED = ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
# Seconds between two looks: at first, and at most.
_SOON, _LATER = 0.1, 5.0
# A note of another host that is older than this process by so much is of an earlier launch: clocks differ.
_OLD = 30.0
# Until the run is known so much is held, in characters of output about; of more, the newest.
_MOST_HELD = 4 * 1024 * 1024


class _Note(msgspec.Struct):
    """Which run it is, how it is kept, and who writes it."""

    entity: str
    project: str
    run_id: str
    mode: str
    writer: Process
    time: float

    @property
    def place(self) -> tuple[str, str, str]:
        return self.entity, self.project, self.run_id


_decode = msgspec.json.Decoder(_Note).decode
_published: tuple[str, str] | None = None


def launch_of(environment: Mapping[str, str]) -> str | None:
    """Return a name that the processes of one launch share; None for a process by itself."""
    if not environment.get("MASTER_PORT"):
        return None
    text = "\n".join(environment.get(name, "") for name in _SHARED)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def publish(run: Run) -> None:
    """Tell the other ranks of this launch, if it is one, which run is theirs."""
    global _published
    port = os.environ.get("MASTER_PORT", "")
    if _published == (port, run.path):  # asked for with each row that Lightning logs
        return
    launch = launch_of(os.environ)
    layout, settings = run.journal.layout, run.journal.settings
    if launch is None or layout is None:
        return
    _published = port, run.path
    note = _Note(run.entity, run.project, run.id, settings.mode, this_process(), time.time())
    with suppress(OSError):  # the others train on without
        temporary = layout.new_temporary()
        temporary.write_bytes(msgspec.json.encode(note))
        os.replace(temporary, _file(layout.temporary, launch))


def observe(rank: int) -> None:
    """Keep what happens in this process, which makes no run, with the run of rank zero once there is one.

    Args:
        rank: This process's global rank.
    """
    if active_runs.observer is not None and active_runs.observer.is_here:
        active_runs.observer.hurry()
    elif active_runs.current_of_this_process() is None:
        with Logged("look for the run of rank 0"):  # nothing of this is the training's business
            settings = load_settings()
            if settings.mode != "disabled":
                active_runs.observer = Observer(rank, settings)
                active_runs.observer.begin()


class Observer:
    """Captures in this process, and looks for the run of rank zero, and for the next one after it."""

    def __init__(self, rank: int, settings: Settings) -> None:
        self._rank = rank
        self._settings = settings
        self._owner = os.getpid()
        self._run: Run | None = None
        self._place: tuple[str, str, str] | None = None
        self._held: deque[Record] = deque()
        self._size = 0
        self._lock = threading.RLock()
        self._looking = threading.Lock()  # held while the run is looked for, and joined
        self._looks = threading.Event()
        self._stopped = False
        self._capturing = Capturing(self._record, settings)

    @property
    def is_here(self) -> bool:
        """Whether it observes this process, and not the one that this was forked from."""
        return self._owner == os.getpid() and not self._stopped

    def begin(self) -> None:
        """Begin to capture and to look."""
        self._capturing.begin()
        threading.Thread(target=self._look_out, name="tracker-observer", daemon=True).start()
        exit_status.at_end(self._end)

    def hurry(self) -> None:
        """Look again soon: training begins."""
        self._looks.set()

    def stop(self) -> None:
        """End: this process makes a run of its own."""
        if self.is_here:
            self._stopped = True
            self._looks.set()
            # The other thread may be joining the run at this moment: what was held is then written first.
            joined = self._looking.acquire(timeout=PATIENCE_SECONDS)
            self._capturing.before_end()
            self._capturing.end()
            self._leave()
            if joined:
                self._looking.release()

    def _record(self, record: Record) -> None:
        with self._lock:
            if self._run is None or self._run.finished:
                self._held.append(record)
                self._size += _size(record)
                while self._size > _MOST_HELD:
                    self._size -= _size(self._held.popleft())
            else:
                self._run.record(record)

    def _look_out(self) -> None:
        pause = _SOON
        while not self._stopped:
            if self._looks.wait(pause):
                self._looks.clear()
                pause = _SOON
            pause = min(_LATER, pause * 1.2)
            self._look()

    def _look(self) -> None:
        with Logged("look for the run of rank 0"), self._looking:
            note = self._find()
            if note is not None and note.place != self._place:
                self._join(note)

    def _end(self) -> None:
        """Look once more, if there was no time for it before; the process ends."""
        if self.is_here and self._place is None:
            self._look()
        self.stop()

    def _find(self) -> _Note | None:
        launch = launch_of(os.environ)
        if launch is None:
            return None
        try:
            file = _file(layout_for(self._settings).temporary, launch)
            note = _decode(file.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        alive = is_alive(note.writer)
        begun = time.time() - seconds_alive() - (_OLD if alive is None else 0.0)
        return note if alive or note.time > begun else None

    def _join(self, note: _Note) -> None:
        from tracker.sdk.start.open_run import find_and_open

        entity, project, run_id = self._place = note.place
        settings = msgspec.structs.replace(
            self._settings, entity=entity, project=project, run_id=run_id, mode=note.mode, silent=True
        )
        with taking_over(self._rank):
            run = find_and_open(settings, layout_for(settings), run_id, {}, "allow")
        run.before_end(self._capturing.flush)
        self._leave()
        with self._lock:
            self._run = run
            while self._held:
                run.record(self._held.popleft())
            self._size = 0
        active_runs.remember(run, make_current=False)  # the end of the process finishes it from here on

    def _leave(self) -> None:
        """End the segment of the run before, if there was one."""
        self._capturing.flush()
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.finish()


def _size(record: Record) -> int:
    lines = record.lines if isinstance(record, ConsoleLines) else []
    return 500 + sum(len(text) for _, _, text in lines)


def _file(folder: Path, launch: str) -> Path:
    return folder / f"launch-{launch}.json"
