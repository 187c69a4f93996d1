"""Charts of many runs: figures ``run-lines`` and ``grouped-curve``.

``run-lines`` compares the lines of many keys of many runs with reading the same Parquet columns with pyarrow
alone, in one process. ``grouped-curve`` compares a warm grouped curve with NumPy over one matrix of the same
values. Both also ask a server; its route without work is listed next to it.

``large_stores`` writes the runs. The answers are compared with the values.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.large_stores import SealedRun, write_runs
from benchmarks.measuring import Options, ScriptError, workplace
from benchmarks.report import Result, Row, row
from benchmarks.serving import serving
from tracker.ground.records import Process, RunFinished, RunStarted
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.store import Store

ENTITY, PROJECT = "local", "curves"
STEPS, POINTS = 10_000, 1_000
MOST = 3
REPEATS = 11
CPU = ", CPU"
Times = dict[str, list[float]]


def measure_lines(options: Options) -> Result:
    """Measure the lines of all keys of all runs in one request."""
    runs, keys = options.chart_runs, [f"metric/{at}" for at in range(options.chart_keys)]
    ids = [f"run{at}" for at in range(runs)]
    body = {"runs": ids, "keys": keys, "points": POINTS, "x": "_step"}
    with workplace(options) as folder:
        store = open_store(folder / "tracker-store")
        values = fill(store, runs, len(keys))
        files = sorted(store.root.rglob("*.parquet"))
        with closing(LocalReader(store)) as reader:
            times = _interleaved(
                {
                    "ours": lambda: reader.run_lines(ENTITY, PROJECT, ids, keys, x="_step", points=POINTS),
                    "pyarrow": lambda: _read(files, keys, threads=False),
                    "pyarrow, threads": lambda: _read(files, keys, threads=True),
                }
            )
            _check_lines(reader.run_lines(ENTITY, PROJECT, ids, keys, x="_step", points=POINTS), values)
        times |= _ask(folder, "chart", body)
    figure = f"lines of {runs} runs x {len(keys)} keys, {STEPS:,} rows each, {POINTS:,} px"
    floor = min(("pyarrow", "pyarrow, threads"), key=lambda name: statistics.median(times[name]))
    return _result(figure, times, "same columns, pyarrow alone", floor)


def measure_curve(options: Options) -> Result:
    """Measure a warm curve over one group of runs: with all steps, and reduced to pixels."""
    runs = options.curve_runs
    ids = [f"run{at}" for at in range(runs)]
    with workplace(options) as folder:
        store = open_store(folder / "tracker-store")
        values = fill(store, runs, 1)
        matrix = np.stack([values[run_id, "metric/0"] for run_id in ids])
        details: dict[str, Any] = {}
        rows: list[Row] = []
        with closing(LocalReader(store)) as reader:
            for points, floor in ((STEPS, _all_steps), (POINTS, _pixels)):

                def ask(points: int = points) -> Any:
                    groups = {"all": ids}
                    return reader.grouped_curves(ENTITY, PROJECT, groups, ["metric/0"], points=points)

                start = time.perf_counter()
                columns = ask()[0].columns
                cold = time.perf_counter() - start
                for name, expected in floor(matrix).items():
                    if not np.allclose(columns[name], expected, rtol=1e-9, atol=1e-9):
                        raise ScriptError(f"{name} of the curve differs from NumPy.")
                times = _interleaved({"ours": ask, "NumPy": lambda floor=floor: floor(matrix)})
                times["first request"] = [cold]
                body = {"groups": {"all": ids}, "keys": ["metric/0"], "points": points}
                times |= _ask(folder, "curves", body)
                figure = f"curve of {runs:,} runs x {STEPS:,} steps, {points:,} points, warm"
                found = _result(figure, times, "NumPy, one matrix", "NumPy")
                rows += found.rows
                details[figure] = found.details
        return Result(rows, details)


def fill(store: Store, runs: int, keys: int) -> dict[tuple[str, str], np.ndarray]:
    """Write sealed runs of random walks; return the values by run and key."""
    chance = np.random.default_rng(4)
    times = np.arange(STEPS) * 1.0
    values: dict[tuple[str, str], np.ndarray] = {}
    written = []
    for at in range(runs):
        columns = {f"metric/{key}": np.cumsum(chance.normal(size=STEPS)) for key in range(keys)}
        values |= {(f"run{at}", key): walk for key, walk in columns.items()}
        started = RunStarted(ENTITY, PROJECT, f"run{at}", 0.0, Process("node1", "boot", 1, 42, 7))
        finished = RunFinished(float(STEPS), "finished")
        written.append(SealedRun(f"{at:032x}", started, [finished], times, columns))
    write_runs(store, written)
    return values


def _read(files: list[Path], keys: list[str], threads: bool) -> None:
    for path in files:
        pq.ParquetFile(path).read(columns=["_step", *keys], use_threads=threads)


def _check_lines(lines: list[Any], values: dict[tuple[str, str], np.ndarray]) -> None:
    for line in lines:
        cells = values[line.run, line.key].reshape(POINTS, -1)
        for name, expected in (("min", cells.min(1)), ("max", cells.max(1)), ("mean", cells.mean(1))):
            if not np.allclose(line.columns[name], expected, rtol=1e-9, atol=1e-9):
                raise ScriptError(f"{name} of {line.key} in {line.run} differs from NumPy.")


def _all_steps(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and band of each column. Values that are not finite are not looked for, unlike in ours."""
    return {
        "mean": matrix.mean(axis=0),
        "std": matrix.std(axis=0, ddof=1),
        "min": matrix.min(axis=0),
        "max": matrix.max(axis=0),
    }


def _pixels(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and band of each bucket of steps, where each run counts once."""
    cells = matrix.reshape(len(matrix), POINTS, -1)
    own = cells.mean(axis=2)
    return {
        "mean": own.mean(axis=0),
        "std": own.std(axis=0, ddof=1),
        "min": cells.min(axis=2).min(axis=0),
        "max": cells.max(axis=2).max(axis=0),
    }


def _ask(folder: Path, route: str, body: dict[str, Any]) -> Times:
    """Return the times of a server's answers, and of its route without work."""
    sent = json.dumps(body)
    with serving(folder / "tracker-store") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=600)) as connection:

            def send(method: str, path: str, body: str | None) -> int:
                connection.request(method, f"/api/v1/{path}", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                size = len(answer.read())
                if answer.status != 200:
                    raise ScriptError(f"{path}: status {answer.status}")
                return size

            asked = ("POST", f"projects/{ENTITY}/{PROJECT}/{route}", sent)
            size = send(*asked)
            calls = {"over HTTP": lambda: send(*asked), "no-op route": lambda: send("GET", "health", None)}
            found = _interleaved(calls)
    return {**found, "MiB over HTTP": [size / 2**20]}


def _interleaved(calls: dict[str, Callable[[], object]]) -> Times:
    """Return the times and the CPU times of each call in milliseconds.

    The calls alternate, so the load is the same for all.
    """
    times: Times = {f"{name}{kind}": [] for name in calls for kind in ("", CPU)}
    for call in calls.values():
        call()
    for _ in range(REPEATS):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - start) * 1000)
            times[name + CPU].append((time.process_time() - cpu) * 1000)
    return times


def _result(figure: str, times: Times, against: str, floor: str) -> Result:
    """Return the rows of one figure: in the process against the floor, and over HTTP."""
    median = {name: statistics.median(each) for name, each in times.items()}
    used, other = median["ours" + CPU], median[floor + CPU]
    cpu = f"CPU {used:.0f} ms against {other:.0f} ms, ratio {used / other:.2f}"
    note = f"no-op route {median['no-op route']:.1f} ms; {median['MiB over HTTP']:.0f} MiB"
    target = f"<= {MOST}x"
    rows = [
        row(figure, "ms", median["ours"], against, median[floor], most=MOST, target=target, note=cpu),
        row(f"{figure}, over HTTP", "ms", median["over HTTP"], against, median[floor], note=note),
    ]
    return Result(rows, {"ms": times, "floor": floor})
