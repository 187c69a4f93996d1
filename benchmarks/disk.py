"""Bytes that a second run adds to a store with one sealed run: figure ``disk``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.data import SEED, make_rows
from benchmarks.measuring import Options, metered, ours, workplace
from benchmarks.peers.venvs import peer_metered, present
from benchmarks.product import folder_bytes, read_back, store_of, wait_sealed
from benchmarks.report import Result, Row, absent

KEYS = 10
# See cpu.py.
SCALED = {"mlflow": 10}
ENCODINGS = ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "DICTIONARY")
AGAINST_PARQUET, AGAINST_PEERS = 1.15, 0.25


def measure(options: Options) -> Result:
    """Measure two runs with the same shape and different values."""
    with workplace(options) as folder:
        before = _log(options, folder, "first", 1, SEED)
        after = _log(options, folder, "second", 2, SEED + 1)
        read_back(folder, "first", make_rows(options.rows, KEYS))
        read_back(folder, "second", make_rows(options.rows, KEYS, SEED + 1))
        floor = _best_parquet(_history(folder, "second"))
    added = sum(after.values()) - sum(before.values())
    figure = f"bytes that a second run adds, {options.rows:,} x {KEYS}"
    rows = [
        Row(
            figure,
            "B",
            added,
            "pyarrow's best, zstd",
            floor["bytes"],
            f"<= {AGAINST_PARQUET}x",
            added <= AGAINST_PARQUET * floor["bytes"],
        )
    ]
    peers = {name: _peer(options, name) for name in present(options)}
    best = min((each["bytes"] for each in peers.values()), default=None)
    for name, found in sorted(peers.items(), key=lambda each: each[1]["bytes"]):
        scale = SCALED.get(name, 1)
        note = f"{name}: measured with {options.rows // scale:,} rows, scaled" if scale > 1 else ""
        is_best = found["bytes"] == best
        target, met = (
            (f"<= {AGAINST_PEERS}x of the best", added <= AGAINST_PEERS * found["bytes"])
            if is_best
            else ("", None)
        )
        rows.append(Row(figure, "B", added, name, found["bytes"], target, met, note))
    if not peers:
        rows.append(absent(figure, "B", added, "any peer", f"<= {AGAINST_PEERS}x of the best"))
    changed = {
        name: after.get(name, 0) - before.get(name, 0)
        for name in sorted({*before, *after})
        if after.get(name, 0) != before.get(name, 0)
    }
    return Result(
        rows, {"rows": options.rows, "added by file": changed, "parquet": floor, "peers": peers, "all": after}
    )


def _log(options: Options, folder: Path, run_id: str, segments: int, seed: int) -> dict[str, int]:
    """Log a run; return the sizes of all files after the run is sealed and all processes have ended."""
    metered(ours("product", "log-rows", folder, run_id, options.rows, KEYS, seed), folder)
    wait_sealed(store_of(folder), segments, 10)
    return folder_bytes(store_of(folder))


def _history(folder: Path, run_id: str) -> dict[str, list[Any]]:
    """Return the logged columns of a run."""
    import tracker

    rows = tracker.Api({"store": store_of(folder)}).run(f"benchmark/{run_id}").history(pandas=False)
    names = ["_step", "_runtime", "_timestamp", *(f"metric/{at}" for at in range(KEYS))]
    return {name: [row[name] for row in rows] for name in names}


def _best_parquet(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the size of the file that pyarrow writes for these columns, each in its best encoding."""
    import pyarrow as pa

    table = pa.table(columns)
    best = {}
    for name in table.column_names:
        sizes = {}
        for encoding in ENCODINGS:
            if encoding == "DELTA_BINARY_PACKED" and not pa.types.is_integer(table[name].type):
                continue
            sizes[encoding] = _write(table.select([name]), {name: encoding})
        best[name] = min(sizes, key=lambda encoding: sizes[encoding])
    return {
        "bytes": _write(table, best),
        "bytes at zstd level 19": _write(table, best, level=19),
        "encodings": best,
    }


def _write(table: Any, encodings: dict[str, str], level: int | None = None) -> int:
    import pyarrow.parquet as pq

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        pq.write_table(
            table,
            file.name,
            compression="zstd",
            compression_level=level,
            use_dictionary=[name for name, encoding in encodings.items() if encoding == "DICTIONARY"],
            column_encoding={
                name: encoding for name, encoding in encodings.items() if encoding != "DICTIONARY"
            },
            write_statistics=False,
            row_group_size=table.num_rows,
        )
        return Path(file.name).stat().st_size


def _peer(options: Options, name: str) -> dict[str, Any]:
    scale = SCALED.get(name, 1)
    with workplace(options) as folder:
        sizes = []
        for run in ("first", "second"):
            peer_metered(options, name, "log-rows", folder, run, options.rows // scale, KEYS)
            sizes.append(sum(folder_bytes(folder).values()))
    return {"bytes": (sizes[1] - sizes[0]) * scale, "after each run": sizes, "scale": scale}
