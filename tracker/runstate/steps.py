"""Which history row a ``log`` call belongs to: wandb's step rules, but nothing is dropped."""

from __future__ import annotations

from typing import Any

from tracker.errors import UsageError
from tracker.ground.records import ASIDE, COMMIT

# Records and catalogs hold 64-bit steps; half of that leaves room for steps that rise by themselves.
LARGEST_STEP = 2**62


# Where one call's keys go: row number, step, flags of the ``Row`` record. No class: one is made per call.
RowPosition = tuple[int, int, int]


class StepCounter:
    """Numbers the rows of one segment.

    Without ``step`` a call adds to the open row and commits it; the step then rises by one. With a
    larger ``step`` the open row is committed and the new one stays open; an equal one adds to it.
    Where wandb drops a smaller step, we make it a row of its own and leave the open row open. Only the
    very first call decides where the segment begins: a run that is resumed from a checkpoint goes on
    from that checkpoint's step, not from the last one that was logged.

    Args:
        start: The first step.
    """

    # Whether the first row may stand before the first step.
    may_go_back = True
    # Where processes that log to one run take its steps; see ``tracker.sdk.process.shared_steps``.
    file: Any = None

    def __init__(self, start: int = 0) -> None:
        # Next step, next row and the open row. One tuple, exchanged in one assignment: whoever could not
        # log what was placed sets the one before back.
        self.state: tuple[int, int, int | None] = (start, 0, None)

    @property
    def step(self) -> int:
        """The step that a call without ``step`` goes to."""
        return self.state[0]

    @property
    def next_step(self) -> int:
        """The step of a row that is begun now."""
        step, _, row = self.state
        return step if row is None else step + 1

    def of_child(self) -> StepCounter:
        """Return how a child counts that is forked now."""
        return StepCounter(self.next_step)

    def go_on_at(self, step: int) -> None:
        """Have the next row stand at a step, behind rows that were taken over."""
        self.state = (step, self.state[1], None)

    def place(self, step: int | None = None, commit: bool | None = None) -> RowPosition:
        """Return the place of a call ``log(..., step=step, commit=commit)``.

        Raises:
            UsageError: The step is beyond what a record can hold; nothing has changed.
        """
        current, next_row, row = self.state
        if step is not None:
            if not -LARGEST_STEP <= step <= LARGEST_STEP:
                raise UsageError(f"step {step} is too large: steps have 64 bits, at most {LARGEST_STEP}")
            if step < current and next_row == 0 and step >= 0 and self.may_go_back:
                current = step
            if step < current:
                self.state = (current, next_row + 1, row)
                return next_row, step, COMMIT | ASIDE
            if step > current:
                current, row = step, None  # a record with another row number commits the open row
        if row is None:
            row, next_row = next_row, next_row + 1
        if commit if commit is not None else step is None:
            self.state = (current + 1, next_row, None)
            return row, current, COMMIT
        self.state = (current, next_row, row)
        return row, current, 0
