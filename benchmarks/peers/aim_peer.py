"""The peer aim, with a local repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

QUIET: dict[str, Any] = {
    "system_tracking_interval": None,
    "log_system_params": False,
    "capture_terminal_logs": False,
}


def begin(folder: Path, run: str) -> tuple[Callable[[dict[str, float], int], Any], Callable[[], Any]]:
    """Import aim and start a run, without console capture and system metrics."""
    from aim import Run

    begun = Run(repo=str(folder), experiment="benchmark", **QUIET)
    (folder / f"{run}.hash").write_text(begun.hash)

    def log(row: dict[str, float], step: int) -> None:
        for key, value in row.items():
            begun.track(value, name=key, step=step)

    return log, begun.close


def read(folder: Path, run: str, key: str) -> int:
    """Read a metric as NumPy; return the number of values.

    The run is opened for writing, because aim shows a finished run to readers only after its server has
    indexed it.
    """
    from aim import Run
    from aim.storage.context import Context

    found = Run((folder / f"{run}.hash").read_text(), repo=str(folder), **QUIET)
    steps, _values = found.get_metric(key, Context({})).values.sparse_numpy()
    found.close()
    return len(steps)
