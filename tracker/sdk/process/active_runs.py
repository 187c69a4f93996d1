"""The runs of this process: ``tracker.run``, and ending them when the process ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from tracker.artifacts import active_run
from tracker.ground import public_package
from tracker.sdk.process import exit_status
from tracker.sdk.process.signals import Termination

if TYPE_CHECKING:
    from tracker.sdk.run.core import RunCore
    from tracker.sdk.run.run import Run
    from tracker.sdk.start.rank_capture import Observer

current: Run | None = None
# Keeps what happens here with another process's run, while this one makes none.
observer: Observer | None = None
_open: list[Run] = []
# Those of the processes that this one was forked from. It may log to them, and so may its own children.
_inherited: list[Run] = []
_owner = 0


def remember(run: Run, *, make_current: bool) -> None:
    """Note a run that is being written."""
    global current, _owner
    if _owner != os.getpid():
        _owner = os.getpid()
        _inherited.extend(_open)
        _open.clear()  # those of a parent are the parent's to end
        _watch_exit()
    exit_status.watch(_steps)
    _open.append(run)
    _termination.watch()
    if make_current:
        current = run
        active_run.use_run(run)
        _show()


def current_of_this_process() -> Run | None:
    """Return the active run, unless it is a parent's that this process was forked from."""
    return current if _owner == os.getpid() else None


def open_runs() -> list[Run]:
    """Return the runs that this process began and has not finished."""
    return _open_here()


def segments_of_this_process() -> set[str]:
    """Return the segments that this process writes at present."""
    return {segment for run in _open_here() if (segment := run.journal.segment) is not None}


def note_failure(error: str) -> None:
    """Remember why the process is ending: runs that are open then, and log no more, end as failed."""
    if _owner == os.getpid():
        exit_status.note(error)


def forget(run: RunCore) -> None:
    """Note that a run is finished."""
    global current
    _open[:] = [each for each in _open if each is not run]
    if not _open:
        _termination.leave()
    if current is run:
        current = None
        active_run.use_run(None)
        _show()


def _show() -> None:
    """Drop what a script assigned to ``wandb.config`` and the like: the run's stands there, as in wandb."""
    ours: Any = public_package.package
    for module in (ours, sys.modules.get("wandb")):
        if module is ours or getattr(module, "_tracker", None) is ours:
            for name in ("run", "config", "summary"):
                vars(module).pop(name, None)


def _watch_exit() -> None:
    exit_status.at_end(_end_all)


def _steps() -> object:
    return [(run, run.step) for run in _open]


def _end_all() -> None:
    if _owner != os.getpid():
        return  # a forked child never ends its parent's runs
    error = exit_status.why()
    for run in list(_open):
        if error is not None:
            run.fail(error)
        else:
            run.finish()


def _open_here() -> list[Run]:
    return list(_open) if _owner == os.getpid() else []


_termination = Termination(_open_here)


def _leave_to_parent() -> None:
    _termination.leave()
    for run in (*_inherited, *_open):
        run.leave_to_parent()


def nudge() -> None:
    """See ``Termination.nudge``."""
    _termination.nudge()


def _before_fork() -> None:
    _termination.pause_listening()
    for run in _open_here():
        run.share_steps()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_termination.resume_listening,
    after_in_child=_leave_to_parent,
)
