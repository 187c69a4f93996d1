"""What the write path costs, beside a floor measured in the same run.

    python benchmarks/first_light.py [--json FILE]

Prints a table and writes JSON. The floor of ``log`` is a loop that encodes the row with orjson (or, where
that is not installed, msgspec) and ``os.write``s it. Absolute times drift with the machine: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
ROWS = 20_000
REPEATS = 5


def python_ms(code: str) -> float:
    """Return the median wall time of a new interpreter that runs ``code``, in milliseconds."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def quantiles(times: list[int]) -> tuple[float, float]:
    """Return p50 and p99 in microseconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2] / 1000, ordered[len(ordered) * 99 // 100] / 1000


def time_calls(call, rows: list[dict[str, float]]) -> list[int]:
    """Return the time of each call in nanoseconds."""
    times = []
    for row in rows:
        start = time.perf_counter_ns()
        call(row)
        times.append(time.perf_counter_ns() - start)
    return times


def floor_times(rows: list[dict[str, float]], folder: Path) -> list[int]:
    """Time the floor."""
    try:
        from orjson import dumps as encode
    except ImportError:
        from msgspec.json import encode
    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        return time_calls(lambda row: os.write(descriptor, encode(row)), rows)
    finally:
        os.close(descriptor)


def log_times(rows: list[dict[str, float]], folder: Path) -> list[int]:
    """Time ``run.log`` in its default configuration, recorder and step metric as under Lightning."""
    import tracker

    run = tracker.init(project="benchmark", dir=folder, settings={"silent": True}, reinit="create_new")
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    times = time_calls(run.log, rows)
    run.finish()
    found = tracker.Api({"dir": str(folder)}).run(run.path)
    assert len(found.history(pandas=False)) == len(rows)  # what was measured is what is stored
    return times


def make_rows(count: int, keys: int) -> list[dict[str, float]]:
    """Return rows of random-walk floats."""
    values = [0.0] * keys
    rows = []
    for _ in range(count):
        values = [value + random.gauss(0, 1) for value in values]
        rows.append({f"metric/{at}": value for at, value in enumerate(values)})
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "first_light.json")
    options = parser.parse_args()
    random.seed(0)
    results: dict[str, dict[str, float]] = {}
    bare, imported = python_ms("pass"), python_ms("import tracker")
    started = python_ms("import tracker.sdk.init")
    results["import"] = {
        "bare interpreter ms": bare,
        "import tracker, ms over it": imported - bare,
        "with all that init needs, ms over it": started - bare,
    }
    for keys, count in ((10, ROWS), (1000, 200)):
        rows = make_rows(count, keys)
        pairs = []
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append(
                    (quantiles(floor_times(rows, Path(folder))), quantiles(log_times(rows, Path(folder))))
                )
        results[f"log of {keys} floats"] = {
            "floor p50 us": statistics.median(floor[0] for floor, _ in pairs),
            "log p50 us": statistics.median(log[0] for _, log in pairs),
            "ratio of p50": statistics.median(log[0] / floor[0] for floor, log in pairs),
            "ratio of p99": statistics.median(log[1] / floor[1] for floor, log in pairs),
        }
    for title, figures in results.items():
        for name, value in figures.items():
            print(f"{title:22} {name:38} {value:10.2f}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
