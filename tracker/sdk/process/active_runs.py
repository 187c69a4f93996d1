"""The open runs of this process. The module holds ``tracker.run`` and finishes all runs at exit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from tracker.artifacts import active_run
from tracker.ground import public_package
from tracker.journal.writer import write_held_back
from tracker.sdk.process import exit_status
from tracker.sdk.process.signals import Termination

if TYPE_CHECKING:
    from tracker.sdk.run.core import RunCore
    from tracker.sdk.run.run import Run
    from tracker.sdk.start.rank_capture import Observer

current: Run | None = None
# Adds this process's output and samples to the run of rank 0, while this process has no run of its own.
observer: Observer | None = None
_open: list[Run] = []
# Runs of the processes that this one was forked from. This process and its children may log to them.
_inherited: list[Run] = []
_owner = 0


def add(run: Run, *, make_current: bool) -> None:
    """Add a run that this process writes.

    Args:
        run: The run.
        make_current: Whether it becomes the active run.
    """
    global current, _owner
    if _owner != os.getpid():
        _owner = os.getpid()
        _inherited.extend(_open)
        _open.clear()  # a parent's runs are finished by the parent
        _watch_exit()
    exit_status.watch(_logged_steps)
    _open.append(run)
    _termination.install()
    if make_current:
        current = run
        active_run.use_run(run)
        _delete_assigned_globals()


def current_of_this_process() -> Run | None:
    """Return the active run; None when it belongs to a process that this one was forked from."""
    return current if _owner == os.getpid() else None


def open_runs() -> list[Run]:
    """Return the runs that this process started and has not finished."""
    return _open_here()


def segments_of_this_process() -> set[str]:
    """Return the ids of the segments that this process currently writes."""
    return {segment for run in _open_here() if (segment := run.journal.segment) is not None}


def note_failure(error: str) -> None:
    """Record an error that ends the process. Open runs fail with it, unless something is logged later."""
    if _owner == os.getpid():
        exit_status.note_failure(error)


def remove(run: RunCore) -> None:
    """Remove a run that is finished."""
    global current
    _open[:] = [each for each in _open if each is not run]
    if not _open:
        _termination.uninstall()
    if current is run:
        current = None
        active_run.use_run(None)
        _delete_assigned_globals()


def _delete_assigned_globals() -> None:
    """Delete values that a script assigned to ``wandb.run``, ``wandb.config`` and ``wandb.summary``.

    These names then show the active run again, as in wandb (wandb: ``sdk/lib/module.py``).
    """
    ours: Any = public_package.package
    for module in (ours, sys.modules.get("wandb")):
        if module is ours or getattr(module, "_tracker", None) is ours:
            for name in ("run", "config", "summary"):
                vars(module).pop(name, None)


def _watch_exit() -> None:
    exit_status.call_at_exit(_end_all)


def _logged_steps() -> object:
    return [(run, run.step) for run in _open]


def _end_all() -> None:
    if _owner != os.getpid():
        return  # a forked child never finishes the runs of its parent
    error = exit_status.find_failure()
    for run in list(_open):
        if error is not None:
            run.fail(error)
        else:
            run.finish()


def _open_here() -> list[Run]:
    return list(_open) if _owner == os.getpid() else []


_termination = Termination(_open_here)


def _after_fork_in_child() -> None:
    _termination.uninstall()
    for run in (*_inherited, *_open):
        run.leave_to_parent()


def handle_pending() -> None:
    """See ``Termination.handle_pending``."""
    _termination.handle_pending()


def is_warned() -> bool:
    """See ``Termination.is_warned``."""
    return _termination.is_warned


def _before_fork() -> None:
    _termination.pause_listening()
    write_held_back()  # the child may read the run's journal
    for run in _open_here():
        run.share_steps()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_termination.resume_listening,
    after_in_child=_after_fork_in_child,
)
