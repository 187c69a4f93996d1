"""Waiting, when a run ends, until the recorder has sent it: a job's end may take the node's disk away."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from tracker.ground.processes import host_name
from tracker.ground.terminal import say
from tracker.recorder.outbox import remote_of
from tracker.store.catalog.locks import is_held
from tracker.store.objects.layout import Layout

# Nothing was taken for so long: the server is busy with others, or the line is gone.
STALLED_SECONDS = 10.0
# Who waits longer than this is told what for.
_SAID_AFTER_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# Signals that scripts and launchers have handlers for.
_HANDLED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]


def wait_until_sent(
    layout: Layout, segment: str, run_id: str, *, longest_seconds: float, silent: bool
) -> bool:
    """Wait while the server takes bytes of an outbox, until it has all of one segment.

    Args:
        layout: Where the run was written. A store is not waited for.
        segment: The segment that this process wrote.
        run_id: The run's id, for the message.
        longest_seconds: How long in all; 0 waits for nothing.
        silent: Say nothing.

    Returns:
        Whether nothing is left. If something is, one line says how much, and where.
    """
    remote = remote_of(layout)
    if remote is None:
        return True
    began = moved = time.monotonic()
    stamp, said = _stamp(layout), False
    recorder = layout.recorder_lock(host_name())
    while left := _left(layout, segment):
        now = time.monotonic()
        if (found := _stamp(layout)) != stamp:
            stamp, moved = found, now
        if (
            now - began >= longest_seconds
            or now - moved > STALLED_SECONDS
            or layout.server_away.exists()
            or (now - moved > _SAID_AFTER_SECONDS and not is_held(recorder))
        ):
            say(
                f"{left:,} bytes of run {run_id} were not sent to {remote.url} yet. They are in "
                f"{layout.root}: the recorder continues, and `tracker sync` sends them; "
                "keep this folder until then",
                silent=silent,
            )
            return False
        if not said and now - began > _SAID_AFTER_SECONDS:
            said = True
            say(f"sending run {run_id} to {remote.url}: {left:,} bytes are left", silent=silent)
        time.sleep(_LOOK_SECONDS)
    return True


def is_in_signal_handler() -> bool:
    """Return whether the calling code runs in a handler that Python was told of for a signal."""
    codes = {getattr(signal.getsignal(number), "__code__", None) for number in _HANDLED} - {None}
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False


def _left(layout: Layout, segment: str) -> int:
    """Return the bytes of a segment's journals that are still in the outbox: they go when all were sent."""
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
