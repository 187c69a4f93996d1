"""The time of what a run writes: the wall clock at the beginning, and from there a clock that is never set.

Between two records of one run there is then as much time as passed, whatever is done to the wall clock:
NTP sets it, a person does, or a node starts with an empty battery. The machine's sleep counts.
"""

from __future__ import annotations

import time

_passed = time.clock_gettime
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
_offset = time.time() - _passed(_CLOCK)


def now() -> float:
    """Return the time in unix seconds, as ``time.time()`` does, of a clock that is never set."""
    return _passed(_CLOCK) + _offset


def set_by_wall_clock() -> None:
    """Set the clock by the wall clock. Not while a run is open: its times would jump."""
    global _offset
    _offset = time.time() - _passed(_CLOCK)
