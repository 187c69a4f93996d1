"""Which history row a ``log`` call belongs to: wandb's step rules, but nothing is dropped."""

from __future__ import annotations

from typing import NamedTuple

from tracker.errors import UsageError
from tracker.records import ASIDE, COMMIT

# Records and catalogs hold 64-bit steps; half of that leaves room for steps that rise by themselves.
LARGEST_STEP = 2**62


class Place(NamedTuple):
    """Where one call's keys go: row number, step, flags of the ``Row`` record."""

    row: int
    step: int
    flags: int


class StepCounter:
    """Numbers the rows of one segment.

    Without ``step`` a call adds to the open row and commits it; the step then rises by one. With a
    larger ``step`` the open row is committed and the new one stays open; an equal one adds to it.
    Where wandb drops a smaller step, we make it a row of its own and leave the open row open.

    Args:
        start: The first step.
    """

    def __init__(self, start: int = 0) -> None:
        self.step = start
        self._next = 0
        self._open: int | None = None

    @property
    def state(self) -> tuple[int, int, int | None]:
        """All that ``place`` changes; set it back when what was placed could not be logged."""
        return self.step, self._next, self._open

    @state.setter
    def state(self, state: tuple[int, int, int | None]) -> None:
        self.step, self._next, self._open = state

    def place(self, step: int | None = None, commit: bool | None = None) -> Place:
        """Return the place of a call ``log(..., step=step, commit=commit)``.

        Raises:
            UsageError: The step is beyond what a record can hold; nothing has changed.
        """
        if step is not None and not -LARGEST_STEP <= step <= LARGEST_STEP:
            raise UsageError(f"step {step} is too large: steps have 64 bits, at most {LARGEST_STEP}")
        if step is not None and step < self.step:
            return Place(self._new_row(), step, COMMIT | ASIDE)
        if step is not None and step > self.step:
            self._open = None  # a record with another row number commits the open row
            self.step = step
        if self._open is None:
            self._open = self._new_row()
        committed = commit if commit is not None else step is None
        place = Place(self._open, self.step, COMMIT if committed else 0)
        if committed:
            self._open = None
            self.step += 1
        return place

    def _new_row(self) -> int:
        self._next += 1
        return self._next - 1
