"""The history row of a ``log`` call: wandb's rules for steps, except that no row is dropped."""

from __future__ import annotations

from typing import Any

from tracker.errors import UsageError
from tracker.ground.records import ASIDE, COMMIT

# Records and the catalog have 64-bit steps. This limit leaves room for the steps of later rows.
LARGEST_STEP = 2**62


# Row number, step, and flags of the ``Row`` record. A plain tuple for speed: each call of ``log`` makes one.
RowPosition = tuple[int, int, int]


class StepCounter:
    """Counter of the steps and rows of one segment.

    * A call without ``step`` adds to the open row and commits it. The step then increases by one.
    * A call with a larger ``step`` commits the open row and opens a new one.
    * A call with the same ``step`` adds to the open row.
    * A call with a smaller ``step`` makes a separate row; the open row stays open. wandb drops such a row.
    * The first call may have a step below ``start``: the segment then starts there. A run that is resumed
      from a checkpoint therefore continues at the checkpoint's step, not at the last logged step.

    Args:
        start: The first step.
    """

    # Whether the first row may have a step below the first step.
    may_go_back = True
    # File from which the processes of a run take steps; see ``tracker.sdk.process.shared_steps``.
    file: Any = None

    def __init__(self, start: int = 0) -> None:
        # Next step, next row and the open row, in one tuple that is replaced in one assignment. If a record
        # cannot be written, the caller restores the tuple from before ``place``.
        self.state: tuple[int, int, int | None] = (start, 0, None)

    @property
    def step(self) -> int:
        """The step of a call without ``step``."""
        return self.state[0]

    @property
    def next_step(self) -> int:
        """The step of a new row."""
        step, _, row = self.state
        return step if row is None else step + 1

    def for_child(self) -> StepCounter:
        """Return the counter for a child that is forked now."""
        return StepCounter(self.next_step)

    def continue_at(self, step: int) -> None:
        """Give the next row this step. It follows rows that were copied from another run."""
        self.state = (step, self.state[1], None)

    def place(self, step: int | None = None, commit: bool | None = None) -> RowPosition:
        """Return the row of a call ``log(..., step=step, commit=commit)``, and count it.

        Raises:
            UsageError: The step is too large; the counter is unchanged.
        """
        current, next_row, row = self.state
        if step is not None:
            if not -LARGEST_STEP <= step <= LARGEST_STEP:
                raise UsageError(f"Invalid step {step}. Use a step from -{LARGEST_STEP} to {LARGEST_STEP}.")
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
