"""The result of one round of a recorder."""

from __future__ import annotations

from typing import NamedTuple


class PollResult(NamedTuple):
    """Result of one round over the journals.

    Attributes:
        applied: Number of records that were applied or sent.
        live: Number of segments whose writer may still write.
        waiting: Number of segments that have no live writer and are not sealed yet.
    """

    applied: int
    live: int
    waiting: int
