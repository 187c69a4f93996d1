"""Waiting at the end of a run until the recorder has sent it: the end of a job may erase the node's disk."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from tracker.ground.processes import host_name
from tracker.ground.terminal import printable, say
from tracker.recorder.failure_file import read_failures
from tracker.recorder.outbox import remote_of
from tracker.store.catalog.locks import is_held
from tracker.store.objects.layout import Layout

# Stop waiting if the server has accepted no bytes for this long: it is busy, or the connection is lost.
STALLED_SECONDS = 10.0
# Print a line if the wait takes longer than this.
_REPORT_AFTER_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# Signals for which scripts and launchers install handlers.
_HANDLED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]


def wait_until_sent(
    layout: Layout, segment: str, run_id: str, *, longest_seconds: float, silent: bool
) -> bool:
    """Wait until the server or store has all of one segment, as long as it accepts bytes of the outbox.

    If the server refuses the segment, for example because the user's role does not allow it, do not wait.

    Args:
        layout: The outbox or spool in which the run was written. For a store, return True immediately.
        segment: The segment that this process wrote.
        run_id: The run's id, for the message.
        longest_seconds: Longest total wait; 0 does not wait.
        silent: Print nothing.

    Returns:
        Whether the segment was sent completely. If not, one line with the remaining bytes is printed.
    """
    remote = remote_of(layout)
    if remote is None:
        return True
    verb, command = "sent", "tracker sync"
    if remote.folder is not None:
        verb, command = "moved", f"tracker sync {layout.root}"
    began = moved = time.monotonic()
    stamp, reported = _stamp(layout), False
    recorder = layout.recorder_lock(host_name())
    while left := _left(layout, segment):
        now = time.monotonic()
        if (found := _stamp(layout)) != stamp:
            stamp, moved = found, now
        failures = read_failures(layout)
        failure = failures.reasons.get(segment, "")
        if segment in failures.refused:
            say(
                f"run {run_id} was not {verb} ({printable(failure)}). Its {left:,} bytes are in "
                f"{layout.root}. Keep this folder until the recorder or `{command}` has {verb} them",
                silent=silent,
            )
            return False
        if (
            now - began >= longest_seconds
            or now - moved > STALLED_SECONDS
            or layout.server_away.exists()
            or (now - moved > _REPORT_AFTER_SECONDS and not is_held(recorder))
        ):
            say(
                f"{left:,} bytes of run {run_id} were not {verb} to {remote.url} yet"
                f"{f' ({printable(failure)})' if failure else ''}. They are in {layout.root}. Keep this "
                f"folder until the recorder or `{command}` has {verb} them",
                silent=silent,
            )
            return False
        if not reported and now - began > _REPORT_AFTER_SECONDS:
            reported = True
            sending = "sending" if remote.folder is None else "moving"
            say(f"{sending} run {run_id} to {remote.url}: {left:,} bytes left", silent=silent)
        time.sleep(_LOOK_SECONDS)
    return True


def is_in_signal_handler() -> bool:
    """Return whether the calling code runs inside a signal handler of Python."""
    codes = {getattr(signal.getsignal(number), "__code__", None) for number in _HANDLED} - {None}
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False


def _left(layout: Layout, segment: str) -> int:
    """Return the size of a segment's journals in the outbox. They are deleted when all bytes were sent."""
    total = 0
    for journal in layout.list_journals(host_name()):
        if journal.segment == segment:
            try:
                total += os.stat(journal.path).st_size
            except FileNotFoundError:
                continue
    return total


def _stamp(layout: Layout) -> int:
    try:
        return layout.sending_progress.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
