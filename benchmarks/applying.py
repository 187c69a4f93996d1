"""CPU of applying a journal to the store: figure ``apply``.

The lower bound reads the same journal, decodes each record with msgspec, and writes the rows as one Parquet
file with pyarrow: no checksums, no catalog, no summary, no overview for charts. Both alternate in one
process.

As a script this module is one such process.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.data import make_rows
from benchmarks.measuring import Options, ours, print_answer, run_script, workplace
from benchmarks.report import Result, row

MOST = 2.0
KEYS = (1, 10, 100)


def measure(options: Options) -> Result:
    """Measure journals whose rows have 1, 10 and 100 values."""
    rows, details = [], {}
    for keys in KEYS:
        count = max(1, options.apply_values // keys)
        with workplace(options) as folder:
            found = run_script(ours("applying", folder, count, keys, options.repeats), folder)
        mine, least = (statistics.median(found[name]) for name in ("apply", "floor"))
        figure = f"applying {count:,} rows of {keys}"
        rows.append(row(figure, "CPU s", mine, "msgspec + pyarrow", least, most=MOST, target=f"<= {MOST:g}x"))
        details[str(keys)] = {"rows": count, **found}
    return Result(rows, details)


def _measure(folder: Path, count: int, keys: int, repeats: int) -> dict[str, list[float]]:
    from tracker.recorder.open_store import open_store
    from tracker.store.ingest.apply import apply_journal

    used: dict[str, list[float]] = {"apply": [], "floor": []}
    data = make_rows(count, keys)
    for at in range(repeats + 1):
        store = open_store(folder / f"store{at}")
        _write_journal(store.layout, data)
        (journal,) = store.layout.list_journals()

        def apply(store: Any = store, journal: Any = journal) -> None:
            while apply_journal(store, journal, final=True).more:
                pass

        times = (_cpu(apply), _cpu(lambda path=journal.path: _floor(path, folder / "floor.parquet")))
        if at:  # the first turn imports modules
            used["apply"].append(times[0])
            used["floor"].append(times[1])
        store.close()
        shutil.rmtree(store.root)
    return used


def _cpu(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def _write_journal(layout: Any, data: list[dict[str, float]]) -> None:
    from tracker.ground.records import COMMIT, Process, Row, RunFinished, RunStarted, pack
    from tracker.journal.writer import JournalWriter

    start, segment = 1_700_000_000.0, uuid4().hex
    layout.host_journals("node").mkdir(parents=True, exist_ok=True)
    journal = JournalWriter(layout.journal("node", segment, 0), segment)
    journal.append(pack(RunStarted("local", "bench", "run1", start, Process("node", "boot", 1, 1, 1))))
    for at, values in enumerate(data):
        journal.append(pack(Row(at, at, COMMIT, start + at, values)))
    journal.append(pack(RunFinished(start + len(data), "finished", 0, None)))
    journal.close()


def _floor(journal: Path, target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tracker.ground.records import Row, decode
    from tracker.journal.format import FRAME, HEADER

    raw, at, rows = journal.read_bytes(), HEADER.size, []
    while at < len(raw):
        length = FRAME.unpack_from(raw, at)[2]
        at += FRAME.size
        record = decode(raw[at : at + length])
        if type(record) is Row:
            rows.append(record)
        at += length
    columns = {name: [each.data[name] for each in rows] for name in rows[0].data}
    fixed = {"_step": [each.step for each in rows], "_timestamp": [each.time for each in rows]}
    pq.write_table(pa.table({**fixed, **columns}), target, compression="zstd", use_dictionary=False)


if __name__ == "__main__":
    print_answer(_measure(Path(sys.argv[1]), *map(int, sys.argv[2:])))
