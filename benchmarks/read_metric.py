"""Reading one complete metric into columns: figure ``read``.

tracker uses ``PublicRun.history_arrow``. The lower bound is pyarrow with one file of the same columns,
zstd, in the encoding that it reads fastest. Both alternate in one warm process. Each peer reads in its own
process, in its fastest way. A slow peer gets fewer steps, and its figure is multiplied and marked.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.data import walk
from benchmarks.measuring import Options, ScriptError, metered, ours, print_answer, times_of, workplace
from benchmarks.peers.venvs import peer_answer, present
from benchmarks.product import store_of, wait_sealed
from benchmarks.report import Result, Row, absent

# The most steps for a peer: mlflow writes a few thousand steps a second, and aim tens of thousands.
LARGEST = {"mlflow": 50_000, "aim": 100_000}
# Only wandb's server can read its offline runs.
UNREADABLE = ("wandb",)
TIMES_PYARROW, TIMES_PEER = 2, 5


def measure(options: Options) -> Result:
    """Measure a sealed run with one metric."""
    steps = options.series_steps
    with workplace(options) as folder:
        metered(ours("product", "log-series", folder, "series", steps, "-"), folder)
        wait_sealed(store_of(folder), 1, 10)
        found = metered(ours("read_metric", folder, steps, options.repeats), folder).answer
    seconds = statistics.median(found["ours"])
    floor = statistics.median(found["pyarrow"])
    figure = f"reading a metric of {steps:,} steps"
    target = f"<= {TIMES_PYARROW}x"
    rows = [Row(figure, "s", seconds, "pyarrow, one file", floor, target, seconds <= TIMES_PYARROW * floor)]
    peers = present(options)
    readings, failed = {}, {}
    for name in peers:
        if name not in UNREADABLE:
            try:
                readings[name] = _peer(options, name)
            except ScriptError as error:  # a peer that loses values cannot be compared
                failed[name] = str(error)[-300:]
    best = min((each["whole"] for each in readings.values()), default=None)
    for name, reading in sorted(readings.items(), key=lambda each: each[1]["whole"]):
        whole = reading["whole"]
        fastest = whole == best
        note = (
            "" if reading["steps"] == steps else f"{name}: measured with {reading['steps']:,} steps, scaled"
        )
        rows.append(
            Row(
                figure,
                "s",
                seconds,
                name,
                whole,
                f"{TIMES_PEER}x faster than the fastest" if fastest else "",
                seconds * TIMES_PEER <= whole if fastest else None,
                note,
            )
        )
    rows += [
        Row(figure, "s", seconds, name, note=f"{name} failed: {why.strip().splitlines()[-1]}")
        for name, why in failed.items()
    ]
    if not readings:
        rows.append(absent(figure, "s", seconds, "any peer", f"{TIMES_PEER}x faster than the fastest"))
    return Result(
        rows,
        {
            "steps": steps,
            "measured": found,
            "peers": readings,
            "failed": failed,
            "without a way to read": [name for name in peers if name in UNREADABLE],
            "versions": peers,
        },
    )


def _peer(options: Options, name: str) -> dict[str, Any]:
    steps = min(options.series_steps, options.peer_steps, LARGEST.get(name, options.peer_steps))
    with workplace(options) as folder:
        peer_answer(options, name, "log-series", folder, "series", steps)
        repeats = min(options.repeats, 3)
        seconds = peer_answer(options, name, "read-series", folder, "series", steps, repeats)["seconds"]
    whole = statistics.median(seconds) * options.series_steps / steps
    return {"steps": steps, "seconds": seconds, "whole": whole}


def _read(folder: Path, steps: int, repeats: int) -> None:
    """Read with both, in turns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import tracker

    run = tracker.Api({"store": folder / "tracker-store"}).run("benchmark/series")
    table = run.history_arrow(["loss"])  # warms up, and is the content of the file for the lower bound
    if table.num_rows != steps or table["loss"].to_pylist() != list(walk(steps)):
        raise ScriptError(f"{steps} values were logged, but {table.num_rows} or other values were read.")
    files = _write_files(folder, pa.table({name: table[name] for name in table.column_names}))
    mine: list[float] = []
    floors: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(max(repeats, 5) * 2):
        for name, path in files.items():
            floors[name] += times_of(lambda path=path: pq.ParquetFile(path).read(), 1)
        mine += times_of(lambda: run.history_arrow(["loss"]), 1)
    best = min(floors, key=lambda name: statistics.median(floors[name]))
    print_answer(
        {
            "ours": mine,
            "pyarrow": floors[best],
            "encoding": best,
            "all encodings": floors,
            "columns": table.column_names,
            "parts": len(list(store_of(folder).glob("runs/**/*.parquet"))),
            "bytes": {name: path.stat().st_size for name, path in files.items()},
        }
    )


def _write_files(folder: Path, table: Any) -> dict[str, Path]:
    """Write a table to one file in each of several encodings."""
    import pyarrow.parquet as pq

    ways: dict[str, dict[str, Any]] = {
        "default": {},
        "plain": {"use_dictionary": False},
        "byte stream split": {
            "use_dictionary": False,
            "column_encoding": dict.fromkeys(table.column_names, "BYTE_STREAM_SPLIT"),
        },
    }
    for name, how in ways.items():
        pq.write_table(table, folder / name, compression="zstd", **how)
    return {name: folder / name for name in ways}


if __name__ == "__main__":
    _read(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
