"""The peer tensorboard: torch's SummaryWriter, read with EventAccumulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def begin(folder: Path, run: str) -> tuple[Callable[[dict[str, float], int], Any], Callable[[], Any]]:
    """Import the writer and start a run. A row is one ``add_scalar`` per key, as in user code."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / run))

    def log(row: dict[str, float], step: int) -> None:
        for key, value in row.items():
            writer.add_scalar(key, value, step)

    return log, writer.close


def read(folder: Path, run: str, key: str) -> int:
    """Read a complete metric without sampling; return the number of values."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder / run), size_guidance={SCALARS: 0})
    events.Reload()
    return len(events.Scalars(key))
