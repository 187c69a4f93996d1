"""A peer in its own process and environment: ``script.py PEER COMMAND FOLDER ...``.

Each peer's module has a function ``begin(folder, run)``. It imports the peer, starts a run, and returns a
function that logs one row and a function that ends the run. A peer that can be read also has a function
``read(folder, run, key)``.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.data import make_rows, walk
from benchmarks.measuring import print_answer


def start(peer: Any, folder: Path, run: str) -> None:
    """Time only import and init."""
    start = time.perf_counter()
    _log, end = peer.begin(folder, run)
    print_answer({"started": time.perf_counter() - start})
    end()


def log_rows(peer: Any, folder: Path, run: str, count: str, keys: str) -> None:
    """Log rows as fast as possible."""
    rows = make_rows(int(count), int(keys))
    start = time.perf_counter()
    log, end = peer.begin(folder, run)
    begun = time.perf_counter()
    times = []
    for step, row in enumerate(rows):
        before = time.perf_counter_ns()
        log(row, step)
        times.append(time.perf_counter_ns() - before)
    logged = time.perf_counter()
    end()
    times.sort()
    print_answer(
        {
            "rows": len(rows),
            "init": begun - start,
            "loop": logged - begun,
            "finish": time.perf_counter() - logged,
            "p50_us": times[len(times) // 2] / 1000,
            "p99_us": times[len(times) * 99 // 100] / 1000,
        }
    )


def log_series(peer: Any, folder: Path, run: str, steps: str) -> None:
    """Log one metric."""
    if hasattr(peer, "log_series"):
        peer.log_series(folder, run, int(steps))
        return
    log, end = peer.begin(folder, run)
    for step, value in enumerate(walk(int(steps))):
        log({"loss": value}, step)
    end()


def read_series(peer: Any, folder: Path, run: str, steps: str, repeats: str) -> None:
    """Time reading one complete metric; the first, cold time is not counted."""
    times = []
    for _ in range(int(repeats) + 1):
        gc.collect()
        start = time.perf_counter()
        count = peer.read(folder, run, "loss")
        times.append(time.perf_counter() - start)
        if count != int(steps):
            raise SystemExit(f"{steps} values were logged, but {count} were read.")
    print_answer({"seconds": times[1:]})


COMMANDS = {"start": start, "log-rows": log_rows, "log-series": log_series, "read-series": read_series}

if __name__ == "__main__":
    _module = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}_peer")
    COMMANDS[sys.argv[2]](_module, Path(sys.argv[3]), *sys.argv[4:])
