"""Export of a long run as Parquet through a server: figure ``export``.

The lower bound copies the same rows with pyarrow: it reads the row groups of the parts and writes them to one
file, with the same compression and encoding. Both write a file; they alternate. The store has a run with all
rows and a run with a tenth of them. A new server exports one of them, and the peak of its memory is compared.

As a script (``python -m benchmarks.export_rows COMMAND ...``) this module makes the runs, or is the lower
bound.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.data import SEED
from benchmarks.measuring import Options, ScriptError, ours, print_answer, run_script, workplace
from benchmarks.product import PROJECT, begin, store_of, wait_sealed
from benchmarks.report import Result, Row
from benchmarks.serving import RUNS, Server, serving

MOST = 2.0
KEYS = 10
# Rows of a part: the recorder merges parts up to this size.
PART_ROWS = 4_000_000
# The lower bound writes as fast as pyarrow can with this compression: numbers without dictionaries.
OPTIONS: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}


def measure(options: Options) -> Result:
    """Measure the time of an export, and the memory of a server that exports."""
    sizes = {"short": max(1, options.export_rows // 10), "long": options.export_rows}
    times: dict[str, list[float]] = {"export": [], "pyarrow": []}
    with workplace(options) as folder:
        run_script(ours("export_rows", "make", folder, *sizes.values()), folder)
        target, floor = folder / "export.parquet", folder / "copy.parquet"
        with serving(store_of(folder)) as server:
            _export(server, "short", target)
            for _ in range(options.repeats):
                times["export"].append(_export(server, "long", target))
                copied = run_script(ours("export_rows", "copy", store_of(folder), "long", floor), folder)
                times["pyarrow"].append(copied["seconds"])
        _compare(target, floor, sizes["long"])
        bytes_ = {"export": target.stat().st_size, "pyarrow": floor.stat().st_size}
        memory = {}
        for name in sizes:
            with serving(store_of(folder)) as server:
                before = server.peak_mb()
                seconds = _export(server, name, target)
                memory[name] = {"before": before, "peak": server.peak_mb(), "seconds": seconds}
    seconds, least = (statistics.median(times[name]) for name in ("export", "pyarrow"))
    figure = f"export of {sizes['long']:,} rows as Parquet"
    peaks = {name: found["peak"] for name, found in memory.items()}
    return Result(
        [
            Row(figure, "s", seconds, "copy with pyarrow", least, f"<= {MOST:g}x", seconds <= MOST * least),
            Row(
                f"server's peak memory, {figure}",
                "MiB",
                peaks["long"],
                f"{sizes['short']:,} rows",
                peaks["short"],
                "<= 1.1x",
                peaks["long"] <= 1.1 * peaks["short"],
                f"idle before: {memory['long']['before']:.0f} MiB",
            ),
        ],
        {"rows": sizes, "keys": KEYS, "seconds": times, "bytes": bytes_, "memory MiB": memory},
    )


def _export(server: Server, run_id: str, target: Path) -> float:
    """Export a run into a file; return the seconds."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=600)
    connection.request("GET", f"{RUNS}/{run_id}/history/export?format=parquet")
    answer = connection.getresponse()
    if answer.status != 200:
        raise ScriptError(f"The export was refused: {answer.status} {answer.read()[:500]!r}")
    with target.open("wb") as file:
        shutil.copyfileobj(answer, file, 1024 * 1024)
    connection.close()
    return time.perf_counter() - start


def _compare(target: Path, floor: Path, rows: int) -> None:
    """Check that both files have the same rows, column by column."""
    import pyarrow.parquet as pq

    names = [pq.read_schema(path).names for path in (target, floor)]
    if names[0] != names[1]:
        raise ScriptError(f"The columns differ: {names}.")
    for name in names[0]:
        found, copied = (pq.read_table(path, columns=[name]).column(0) for path in (target, floor))
        if len(found) != rows or not found.equals(copied):
            raise ScriptError(f"The column {name!r} of the export differs from the parts.")


def make_runs(folder: str, short: str, long: str) -> None:
    """Log two runs with one row, then add parts with the other rows to the store directly."""
    import numpy as np
    import pyarrow as pa
    from sqlalchemy import select

    from tracker.recorder.open_store import open_store
    from tracker.store.catalog.models import Run, Segment
    from tracker.store.history.columns import FIXED, make_table
    from tracker.store.history.parquet import write_table
    from tracker.store.history.parts import add_part, publish_part

    names = [f"metric/{at}" for at in range(KEYS)]
    for run_id in ("short", "long"):
        run = begin(run_id)
        run.log(dict.fromkeys(names, 0.0))
        run.finish()
    wait_sealed(store_of(Path(folder)), 2)
    chance = np.random.default_rng(SEED)
    store = open_store(store_of(Path(folder)))
    for run_id, count in (("short", int(short)), ("long", int(long))):
        with store.reading() as session:
            segment = session.scalars(select(Segment).join(Run).where(Run.run_id == run_id)).one()
        history = store.layout.run("local", PROJECT, run_id) / "history"
        for first in range(1, count, PART_ROWS):
            rows = np.arange(first, min(first + PART_ROWS, count))
            fixed = [pa.array(values, kind) for values, kind in zip(
                (rows, rows, rows * 0.1, rows * 0.1 + 1.7e9), FIXED.values(), strict=True
            )]  # fmt: skip
            walks = {
                name: ("double", pa.array(np.cumsum(chance.normal(size=len(rows)))), None) for name in names
            }
            table = make_table(fixed, walks)
            part = publish_part(
                store,
                history,
                segment.segment,
                (first, int(rows[-1]), len(rows)),
                lambda path, table=table: write_table(path, table),
            )
            with store.writing() as session:
                add_part(store, session, segment.id, part)
    store.close()


def copy(store: str, run_id: str, target: str) -> None:
    """Copy the rows of a run from its parts to one file, with pyarrow alone (the lower bound)."""
    import pyarrow.parquet as pq

    parts = sorted(Path(store).glob(f"runs/*/*/{run_id}/history/*.parquet"))

    start = time.perf_counter()
    writer: Any = None
    for part in parts:
        with pq.ParquetFile(part) as file:
            columns = [name for name in file.schema_arrow.names if name != "_row"]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=columns)
                writer = writer or pq.ParquetWriter(target, table.schema, **OPTIONS)
                writer.write_table(table)
    writer.close()
    print_answer({"seconds": time.perf_counter() - start, "parts": len(parts)})


COMMANDS = {"make": make_runs, "copy": copy}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
