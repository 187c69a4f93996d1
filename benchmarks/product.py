"""The product as a script uses it with Lightning, and its store as seen from outside.

As a script (``python -m benchmarks.product COMMAND ...``) this module is the training process of a figure.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import SEED, make_rows, walk
from benchmarks.measuring import ScriptError, print_answer, wait_for

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

STEP = "trainer/global_step"
PROJECT = "benchmark"


def begin(run_id: str) -> Run:
    """Start a run in the default configuration, with Lightning's step metric, in the working folder."""
    import tracker

    run = tracker.init(project=PROJECT, id=run_id, reinit="create_new")
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run


def store_of(folder: Path) -> Path:
    """Return the store of the runs that a process with the working folder ``folder`` logs."""
    return folder / "tracker-store"


def read_back(folder: Path, run_id: str, rows: Iterable[dict[str, float]]) -> None:
    """Read a complete run through ``Api`` and compare it with the logged values.

    Raises:
        ScriptError: The values differ.
    """
    import tracker

    found = tracker.Api({"store": store_of(folder)}).run(f"{PROJECT}/{run_id}").history(pandas=False)
    expected = list(rows)
    if len(found) != len(expected):
        raise ScriptError(f"{len(expected)} rows were logged, but {len(found)} were read back.")
    for step, (logged, read) in enumerate(zip(expected, found, strict=True)):
        if read["_step"] != step or any(not _same(read.get(key), value) for key, value in logged.items()):
            raise ScriptError(f"Row {step} was logged as {logged} and read back as {read}.")


def _same(read: Any, logged: float) -> bool:
    return bool(read == logged) or (isinstance(read, float) and math.isnan(read) and math.isnan(logged))


def count_segments(store: Path, where: str = "sealed") -> int:
    """Return the number of segments of a store in a state, from its catalog with plain SQLite."""
    catalog = store / "catalog.db"
    if not catalog.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True, timeout=60)) as connection:
        try:
            found = connection.execute(f"SELECT count(*) FROM segments WHERE {where}").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # the catalog is being created
                return 0
            raise
    return int(found[0])


def wait_sealed(store: Path, segments: int, seconds: float = 600.0) -> None:
    """Wait until at least ``segments`` segments are sealed and no journal is left."""
    wait_for(
        lambda: count_segments(store) >= segments and not list(store.glob("journals/*/*.journal")),
        f"{segments} sealed segments in {store}",
        seconds,
    )


def folder_bytes(folder: Path) -> dict[str, int]:
    """Return the size of every file in a folder, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                found[str(path.relative_to(folder))] = path.stat().st_size
        except FileNotFoundError:
            continue
    return found


def log_rows(folder: str, run_id: str, count: str, keys: str, seed: str = str(SEED)) -> None:
    """Log rows as fast as possible, and finish (a training process)."""
    rows = make_rows(int(count), int(keys), int(seed))
    start = time.perf_counter()
    run = begin(run_id)
    begun = time.perf_counter()
    for row in rows:
        run.log(row)
    logged = time.perf_counter()
    run.finish()
    print_answer({"init": begun - start, "loop": logged - begun, "finish": time.perf_counter() - logged})


def make_only(count: str, keys: str) -> None:
    """Only make the rows, as the training process does without tracker."""
    print_answer({"rows": len(make_rows(int(count), int(keys)))})


def log_series(folder: str, run_id: str, steps: str, wait: str) -> None:
    """Log one metric for many steps (a training process). With ``wait`` it lives until its input ends."""
    run = begin(run_id)
    start = time.perf_counter()
    for value in walk(int(steps)):
        run.log({"loss": value})
    print_answer({"loop": time.perf_counter() - start})
    if wait == "wait":
        sys.stdin.read()
    run.finish()


def log_names(folder: str, run_id: str, names: str, rows: str) -> None:
    """Log rows with many distinct names (a training process)."""
    run = begin(run_id)
    start = time.perf_counter()
    for row in make_rows(int(rows), int(names)):
        run.log(row)
    print_answer({"loop": time.perf_counter() - start})
    run.finish()


def log_live(folder: str, project: str, run_id: str, keys: str, rows_a_second: str) -> None:
    """Log rows at a rate until the input ends (a training process). One key is the time of ``log()``."""
    import tracker

    run = tracker.init(project=project, id=run_id)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    due = time.time()
    for value in walk(10**9):
        others = {f"{project}/metric{at:02}": value + at for at in range(1, int(keys))}
        run.log({f"{project}/clock": time.time(), **others})
        due += 1 / int(rows_a_second)
        if ended.wait(max(0.0, due - time.time())):
            break
    run.finish()


COMMANDS = {
    "log-live": log_live,
    "log-rows": log_rows,
    "make-only": make_only,
    "log-series": log_series,
    "log-names": log_names,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
