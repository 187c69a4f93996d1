"""A short run, from its first import until another process has read its last row: figure ``startup``.

tracker's figure is import, ``init``, 20 rows and ``finish`` inside one process, plus a complete second
process, including its interpreter, that reads every row through ``Api``. wandb's figure is only import and
``init``. As a script this module starts those processes, or is a run that stays alive.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import (
    Options,
    environment,
    metered,
    ours,
    print_answer,
    run_script,
    wait_for,
    workplace,
)
from benchmarks.peers.venvs import peer_metered, present
from benchmarks.report import Result, Row, absent

ROWS = 20
REFERENCE = "wandb"
# Separate scripts: imports of a benchmarks module would reduce the import time of these scripts.
WRITER = f"""
import time
start = time.perf_counter()
import tracker
imported = time.perf_counter()
import sys
step = "trainer/global_step"
run = tracker.init(project="benchmark", id=sys.argv[2])
run.define_metric(step)
run.define_metric("*", step_metric=step, step_sync=True)
begun = time.perf_counter()
for at in range({ROWS}):
    run.log({{f"metric/{{key}}": at + key / 8 for key in range(10)}})
logged = time.perf_counter()
run.finish()
end = time.perf_counter()
import json
print(json.dumps({{
    "import": imported - start,
    "init": begun - imported,
    "rows": logged - begun,
    "finish": end - logged,
    "writing": end - start,
}}))
"""
READER = """
import sys
import tracker
rows = tracker.Api().run(f"benchmark/{sys.argv[2]}").history(pandas=False)
for at, row in enumerate(rows):
    if any(row[f"metric/{key}"] != at + key / 8 for key in range(10)):
        raise SystemExit(f"row {at} was read as {row}")
print(f'{{"rows": {len(rows)}}}')
"""
CASES = {
    "new store, no recorder": (1.0, "<= wandb's import + init"),
    "store in use, no recorder": (1.0, "<= wandb's import + init"),
    "recorder running": (0.25, "<= 0.25x wandb's import + init"),
}


def measure(options: Options) -> Result:
    """Measure all cases in turns, together with wandb."""
    details: dict[str, Any] = {case: [] for case in CASES}
    peers = present(options)
    started: dict[str, list[float]] = {name: [] for name in peers}
    with workplace(options) as used, workplace(options) as live, _live_run(live):
        metered(ours("start_up", "both", used, "first"), used)
        for name in peers:  # warms the page cache, as the first run of tracker does
            _peer(options, name)
        for repeat in range(options.repeats):
            with workplace(options) as new:
                details["new store, no recorder"].append(_short_run(new, f"r{repeat}", leave=True))
            details["store in use, no recorder"].append(_short_run(used, f"r{repeat}", leave=True))
            details["recorder running"].append(_short_run(live, f"r{repeat}", leave=False))
            for name in peers:
                if name == REFERENCE or repeat == 0:
                    started[name].append(_peer(options, name))
    rows = []
    for case, (most, target) in CASES.items():
        figure = f"import + init + {ROWS} rows + finish, read: {case}"
        seconds = statistics.median(each["total"] for each in details[case])
        if REFERENCE not in peers:
            rows.append(absent(figure, "s", seconds, REFERENCE, target))
            continue
        other = statistics.median(started[REFERENCE])
        rows.append(Row(figure, "s", seconds, "wandb import + init", other, target, seconds <= most * other))
    return Result(rows, {**details, "import and init of peers": started, "versions": peers})


def _short_run(folder: Path, run_id: str, *, leave: bool) -> dict[str, float]:
    """Log and read one run. With ``leave``, wait outside the measurement until the recorder has ended."""
    if not leave:
        return _write_and_read(folder, run_id)
    # One meter covers both processes: the reader must start when the writer ends, not when the recorder ends.
    used = metered(ours("start_up", "both", folder, run_id), folder)
    return {name: float(value) for name, value in used.answer.items()}


def _write_and_read(folder: Path, run_id: str) -> dict[str, float]:
    logged = run_script([sys.executable, "-c", WRITER, str(folder), run_id], folder)
    start = time.perf_counter()
    read = run_script([sys.executable, "-c", READER, str(folder), run_id], folder)
    reading = time.perf_counter() - start
    if read["rows"] != ROWS:
        raise SystemExit(f"{ROWS} rows were logged, but {read['rows']} were read.")
    return {**logged, "reading process": reading, "total": logged["writing"] + reading}


def _peer(options: Options, name: str) -> float:
    with workplace(options) as folder:
        return float(peer_metered(options, name, "start", folder, "started").answer["started"])


@contextmanager
def _live_run(folder: Path) -> Iterator[None]:
    """Keep a run alive, and with it a recorder."""
    with ExitStack() as stack:
        run = stack.enter_context(
            subprocess.Popen(
                ours("start_up", "stay", folder),
                cwd=folder,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        assert run.stdout is not None
        run.stdout.readline()
        from benchmarks.product import count_segments, store_of

        wait_for(lambda: count_segments(store_of(folder), "1"), "the recorder", 60)
        yield
        run.communicate("")


def _main(command: str, folder: str, *arguments: str) -> None:
    if command == "both":
        print_answer(_write_and_read(Path(folder), *arguments))
    else:
        import tracker

        run = tracker.init(project="benchmark", id="live")
        run.log({"a": 1})
        print("live", flush=True)
        sys.stdin.read()
        run.finish()


if __name__ == "__main__":
    _main(*sys.argv[1:])
