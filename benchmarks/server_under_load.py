"""Readers of a server while many runs are sent to it: figure ``server-load``.

Readers request pages and single runs, first without writers and then while writers send rows. As a script
this module is a process with several of the writers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from benchmarks.measuring import Options, ScriptError, environment, ours, wait_for, workplace
from benchmarks.report import Result, Row, row
from benchmarks.serving import RUNS, Server, serving
from tracker.recorder.open_store import open_store

READERS = 50
RUNS_OF_PROCESS = 8
ROWS_PER_SECOND = 50
LONGEST_DELAY = 2.0


def measure(options: Options) -> Result:
    """Measure the answers without writers and with them, and how late rows arrive."""
    with workplace(options) as folder:
        root = folder / "server" / "tracker-store"
        root.parent.mkdir()
        open_store(root).close()
        with serving(root) as server, ExitStack() as stack:
            names = [f"w{at}" for at in range(options.writers)]
            writers = [
                stack.enter_context(_writers(folder, server, names[at : at + RUNS_OF_PROCESS]))
                for at in range(0, len(names), RUNS_OF_PROCESS)
            ]
            for writer in writers:
                read_line(writer)
            wait_for(lambda: json.loads(server.get(RUNS, limit=0))["total"] == len(names), "all runs")
            quiet = _read(server, options.load_seconds)
            tell(writers)
            begun = time.monotonic()
            stop = Event()
            delays: list[float] = []
            watching = Thread(target=_watch, args=(server.again(), names, stop, delays))
            watching.start()
            busy = _read(server, options.load_seconds)
            stop.set()
            watching.join()
            tell(writers)
            rate = sum(int(read_line(writer)) for writer in writers) / (time.monotonic() - begun) / len(names)
    p99 = [statistics.quantiles(times, n=100)[98] * 1000 for times in (quiet, busy)]
    latest = max(delays)
    rows = [
        row(f"{READERS} readers, {options.writers} writers: p99", "ms", p99[1], "without writers", p99[0],
            most=5, target="<= 5x"),
        Row("delay of a row until a reader sees it, longest", "s", latest, target=f"<= {LONGEST_DELAY:g} s",
            met=latest <= LONGEST_DELAY),
        Row("rows per second of a writer", "1/s", rate, note=f"asked for: {ROWS_PER_SECOND}"),
    ]  # fmt: skip
    return Result(rows, {"quiet": len(quiet), "busy": len(busy), "delays": delays})


def _read(server: Server, seconds: float) -> list[float]:
    """Return the durations of the answers to all readers, in seconds."""
    times: list[float] = []
    end = time.monotonic() + seconds

    def one(number: int) -> None:
        client = server.again()
        while time.monotonic() < end:
            times.append(client.seconds(RUNS, limit=50))
            times.append(client.seconds(f"{RUNS}/w0"))
            time.sleep(0.5)  # a person looks at the answer

    threads = [Thread(target=one, args=(at,)) for at in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _watch(server: Server, names: list[str], stop: Event, delays: list[float]) -> None:
    """Measure how old the newest visible row of a run is, until stopped. A run without rows waits for one."""
    at, begun = 0, time.time()
    while not stop.wait(0.2):
        summary = json.loads(server.get(f"{RUNS}/{names[at % len(names)]}"))["summary"]
        delays.append(time.time() - summary.get("logged_at", begun))
        at += 1


def _writers(folder: Path, server: Server, names: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ours("server_under_load", *names),
        cwd=folder,
        env=environment(TRACKER_BASE_URL=server.url, TRACKER_SILENT="true"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process with writers.

    Raises:
        ScriptError: It has ended.
    """
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise ScriptError("A writer failed.")
    return line


def tell(processes: list[subprocess.Popen[str]]) -> None:
    """Tell processes with writers to begin, or to end."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def _main(*names: str) -> None:
    import tracker

    runs = [tracker.init(project="benchmark", id=name, reinit="create_new") for name in names]
    print("ready", flush=True)
    sys.stdin.readline()
    stop = Event()
    Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    rows, begun = 0, time.monotonic()
    while not stop.wait(max(0.0, begun + rows / ROWS_PER_SECOND - time.monotonic())):
        for run in runs:
            run.log({"loss": 1 / (rows + 1), "logged_at": time.time()})
        rows += 1
    print(rows * len(runs), flush=True)
    for run in runs:
        run.finish()


if __name__ == "__main__":
    _main(*sys.argv[1:])
