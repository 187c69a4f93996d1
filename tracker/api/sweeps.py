"""Sweeps as ``Api`` would give them."""

from __future__ import annotations

from typing import NoReturn

from tracker.errors import UnsupportedError


class Sweep:
    """A sweep: there are none here yet."""


def no_sweeps(what: str) -> NoReturn:
    """Raise UnsupportedError."""
    raise UnsupportedError(
        what, "give the runs of a search one group, init(group=...), and ask runs(filters={'group': ...})"
    )
