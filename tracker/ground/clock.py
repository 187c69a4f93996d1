"""The clock for times of records: it starts at the wall clock's time and then counts elapsed time.

The difference between the times of two records of a run is the time that passed, even if NTP or a person sets
the wall clock in between. Time during which the machine sleeps counts.
"""

from __future__ import annotations

import time

_passed = time.clock_gettime
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
_offset = time.time() - _passed(_CLOCK)


def now() -> float:
    """Return the time in unix seconds. Changes of the wall clock have no effect."""
    return _passed(_CLOCK) + _offset


def set_by_wall_clock() -> None:
    """Set this clock to the wall clock's time. Do not call it while a run is open: its times would jump."""
    global _offset
    _offset = time.time() - _passed(_CLOCK)
