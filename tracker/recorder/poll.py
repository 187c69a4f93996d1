"""What one round of a recorder found."""

from __future__ import annotations

from typing import NamedTuple


class PollResult(NamedTuple):
    """What one round over the journals found.

    Attributes:
        applied: Records applied.
        live: Segments whose writer may still write.
        waiting: Segments that nobody writes now and that are not sealed yet.
    """

    applied: int
    live: int
    waiting: int
