"""Charts of many runs: figures ``run-lines`` and ``grouped-curve``.

``run-lines`` compares the lines of many keys of many runs with reading the same Parquet columns with pyarrow
alone. ``grouped-curve`` compares a warm grouped curve with NumPy over one matrix of the same values. Both
measure the query in the process and over HTTP; the server's route without work is listed next to it.

All calls of a figure alternate, so the load of the machine is the same for all. ``large_stores`` writes the
runs. The answers are compared with the values.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.large_stores import SealedRun, write_runs
from benchmarks.measuring import Options, ScriptError, workplace
from benchmarks.report import Result, Row, row
from benchmarks.serving import Server, serving
from tracker.ground.curves import RunLine
from tracker.ground.records import Process, RunFinished, RunStarted
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.queries.chart_format import unpack_columns
from tracker.store.store import Store

ENTITY, PROJECT = "local", "curves"
STEPS, POINTS = 10_000, 1_000
MOST = 3
REPEATS = 11
CPU = ", CPU"
Times = dict[str, list[float]]
Calls = dict[str, Callable[[], object]]


def measure_lines(options: Options) -> Result:
    """Measure the lines of all keys of all runs in one request."""
    runs, keys = options.chart_runs, [f"metric/{at}" for at in range(options.chart_keys)]
    ids = [f"run{at}" for at in range(runs)]
    body = {"runs": ids, "keys": keys, "points": POINTS, "x": "_step"}
    with workplace(options) as folder:
        store = open_store(folder / "tracker-store")
        values = fill(store, runs, len(keys))
        files = sorted(store.root.rglob("*.parquet"))
        with closing(LocalReader(store)) as reader, _asking(folder, "chart", body) as asked:

            def ask() -> list[RunLine]:
                return reader.run_lines(ENTITY, PROJECT, ids, keys, x="_step", points=POINTS)

            times = _interleaved(
                {
                    "ours": ask,
                    "pyarrow": lambda: _read(files, keys, threads=False),
                    "pyarrow, threads": lambda: _read(files, keys, threads=True),
                },
                asked,
            )
            _check_lines(ask(), values)
            _check_lines(unpack_columns(asked.answer, RunLine), values)
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
                body = {"groups": {"all": ids}, "keys": ["metric/0"], "points": points}

                def ask(points: int = points) -> Any:
                    groups = {"all": ids}
                    return reader.grouped_curves(ENTITY, PROJECT, groups, ["metric/0"], points=points)

                start = time.perf_counter()
                columns = ask()[0].columns
                cold = time.perf_counter() - start
                for name, expected in floor(matrix).items():
                    if not np.allclose(columns[name], expected, rtol=1e-9, atol=1e-9):
                        raise ScriptError(f"{name} of the curve differs from NumPy.")
                with _asking(folder, "curves", body) as asked:
                    times = _interleaved({"ours": ask, "NumPy": lambda floor=floor: floor(matrix)}, asked)
                times["first request"] = [cold]
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


@dataclass(frozen=True)
class Asked:
    """A server with one client.

    Attributes:
        calls: A question to the server's route, and one to its route without work.
        answer: The answer to the first question.
        server: The server.
    """

    calls: Calls
    answer: bytes
    server: Server


@contextmanager
def _asking(folder: Path, route: str, body: dict[str, Any]) -> Iterator[Asked]:
    """Serve a store while the block runs."""
    sent, buffer = json.dumps(body), bytearray(2**20)
    with serving(folder / "tracker-store") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=600)) as connection:

            def send(method: str, path: str, body: str | None) -> http.client.HTTPResponse:
                connection.request(method, f"/api/v1/{path}", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                if answer.status != 200:
                    raise ScriptError(f"{path}: status {answer.status}")
                return answer

            asked = ("POST", f"projects/{ENTITY}/{PROJECT}/{route}", sent)

            def ask() -> None:
                connection.close()  # the server closes a connection that is idle during the other calls
                answer = send(*asked)
                while answer.readinto(buffer):
                    pass

            calls: Calls = {"over HTTP": ask, "no-op route": lambda: send("GET", "health", None).read()}
            yield Asked(calls, send(*asked).read(), server)


def _interleaved(calls: Calls, asked: Asked) -> Times:
    """Return the times and the CPU times of each call in milliseconds, with those of the server.

    The calls alternate, so the load is the same for all. CPU times are of the server and of this process.
    """
    calls = {**calls, **asked.calls}
    times: Times = {f"{name}{kind}": [] for name in calls for kind in ("", CPU)}
    for call in calls.values():
        call()
    for _ in range(REPEATS):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time() + asked.server.cpu_seconds()
            call()
            used = time.process_time() + asked.server.cpu_seconds() - cpu
            times[name].append((time.perf_counter() - start) * 1000)
            times[name + CPU].append(used * 1000)
    return {**times, "MiB over HTTP": [len(asked.answer) / 2**20]}


def _result(figure: str, times: Times, against: str, floor: str) -> Result:
    """Return the rows of one figure: in the process against the floor, and over HTTP."""
    median = {name: statistics.median(each) for name, each in times.items()}
    other = median[floor + CPU]
    cpu = {}
    for name in ("ours", "over HTTP"):
        used = median[name + CPU]
        cpu[name] = f"CPU {used:.0f} ms against {other:.0f} ms, ratio {used / other:.2f}"
    note = (
        f"no-op route {median['no-op route']:.1f} ms; {median['MiB over HTTP']:.1f} MiB; {cpu['over HTTP']}"
    )
    target = f"<= {MOST}x"
    rows = [
        row(figure, "ms", median["ours"], against, median[floor], most=MOST, target=target, note=cpu["ours"]),
        row(f"{figure}, over HTTP", "ms", median["over HTTP"], against, median[floor], note=note),
    ]
    return Result(rows, {"ms": times, "floor": floor})
