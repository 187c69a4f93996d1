"""Memory and start of a server with 10,000 runs: figure ``server``.

The lower bounds are processes that only import the libraries of a server. Memory is the proportional set
size. The server starts and answers in turns with the lower bounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from benchmarks.measuring import Options, environment, times_of, workplace
from benchmarks.report import Result, row, spread
from benchmarks.runs_query import ENTITY, PROJECT, RUNS, fill
from benchmarks.serving import Server, serving
from tracker.recorder.open_store import open_store

PAGE = f"/api/v1/projects/{ENTITY}/{PROJECT}/runs"
CLIENTS = 8
START_FLOOR = "import fastapi, sqlalchemy"
MEMORY_FLOOR = "import fastapi, uvicorn, sqlalchemy"
WAIT = "; print('ready', flush=True); sys.stdin.read()"
PAGES = [{}, {"order": "-summary.loss"}, {"offset": RUNS // 2}, {"filters": '{"config.lr": {"$lt": 0.5}}'}]


def measure(options: Options) -> Result:
    """Start servers and lower bounds in turns, and then send many requests to one server."""
    started: list[float] = []
    floors: list[float] = []
    idle: list[float] = []
    bare: list[float] = []
    with workplace(options) as folder:
        root = folder / "tracker-store"
        store = open_store(root)
        fill(store, RUNS)
        store.close()
        for _ in range(options.repeats):
            floors += times_of(lambda: _run(START_FLOOR, folder), 1)
            begun = time.perf_counter()
            with serving(root) as server:
                started.append(time.perf_counter() - begun)
                server.get("/api/v1/health")
                idle.append(server.shared_memory_mb())
            bare.append(_memory_of(MEMORY_FLOOR, folder))
        with serving(root) as server:
            _browse(server, min(2000, options.requests // 10))  # caches and all lazy imports
            before = server.shared_memory_mb()
            _browse(server, options.requests)
            after = server.shared_memory_mb()
    median = statistics.median
    rows = [
        row("start on a store of 10,000 runs", "s", median(started), START_FLOOR, median(floors),
            most=2, target="<= 2x"),
        row("memory of an idle server", "MB", median(idle), MEMORY_FLOOR, median(bare),
            most=1.3, target="<= 1.3x"),
        row(f"memory after {options.requests:,} requests", "MB", after, "before them", before,
            most=1.1, target="< 1.1x"),
    ]  # fmt: skip
    details = {
        "start": spread(started),
        START_FLOOR: spread(floors),
        "idle": spread(idle),
        MEMORY_FLOOR: spread(bare),
    }
    return Result(rows, details)


def _run(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), check=True)


def _memory_of(code: str, folder: Path) -> float:
    command = [sys.executable, "-c", f"import sys; {code}{WAIT}"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = Server(process, 0).shared_memory_mb()
        process.communicate(b"")
    return found


def _browse(server: Server, requests: int) -> None:
    """Request pages of runs and single runs from several clients at once."""

    def one() -> None:
        client = server.again()
        for at in range(requests // CLIENTS):
            if at % 2:
                client.get(f"{PAGE}/run{at % RUNS:06}")
            else:
                client.get(PAGE, limit=50, **PAGES[at // 2 % len(PAGES)])

    threads = [Thread(target=one) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
