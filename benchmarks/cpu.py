"""CPU seconds of a whole run, counted until it is sealed and the last process of tracker has ended."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.data import make_rows
from benchmarks.measuring import Options, Used, metered, ours, workplace
from benchmarks.peers.venvs import peer_metered, present
from benchmarks.product import read_back, store_of, wait_sealed
from benchmarks.report import Result, Row, absent, row

KEYS = 10
REFERENCE = "wandb"
# mlflow takes 25 ms for a row. It logs this many times fewer rows, and the figure is multiplied and marked.
SCALED = {"mlflow": 10}
TARGET = "< 0.5x wandb offline"


def measure(options: Options) -> Result:
    """Measure a run of rows with 10 scalars, in tracker and in each peer."""
    details: dict[str, Any] = {"rows": options.rows, "ours": [], "rows alone": [], "peers": {}}
    peers = present(options)
    for _ in range(options.repeats):
        with workplace(options) as folder:
            used = metered(ours("product", "log-rows", folder, "counted", options.rows, KEYS), folder)
            wait_sealed(
                store_of(folder), 1, 10
            )  # all processes have ended, so the run is sealed now or never
            read_back(folder, "counted", make_rows(options.rows, KEYS))
            details["ours"].append(_described(used))
        with workplace(options) as folder:
            used = metered(ours("product", "make-only", options.rows, KEYS), folder)
            details["rows alone"].append(used.cpu)
        if REFERENCE in peers:
            _peer(options, REFERENCE, details)
    for name in peers:
        if name != REFERENCE:
            _peer(options, name, details)
    cpu = statistics.median(each["cpu"] for each in details["ours"])
    figure = f"CPU of {options.rows:,} rows of 10"
    rows = [_row(figure, options.rows, cpu, name, details) for name in peers]
    if REFERENCE not in peers:
        rows.insert(0, absent(figure, "s", cpu, REFERENCE, TARGET))
    return Result(rows, {**details, "versions": peers})


def _peer(options: Options, name: str, details: dict[str, Any]) -> None:
    scale = SCALED.get(name, 1)
    with workplace(options) as folder:
        used = peer_metered(options, name, "log-rows", folder, "counted", options.rows // scale, KEYS)
    details["peers"].setdefault(name, []).append({**_described(used), "scale": scale})


def _row(figure: str, rows: int, cpu: float, name: str, details: dict[str, Any]) -> Row:
    found = details["peers"][name]
    scale = found[0]["scale"]
    other = statistics.median(each["cpu"] for each in found) * scale
    note = f"{name}: measured with {rows // scale:,} rows, scaled" if scale > 1 else ""
    if name == REFERENCE:
        return Row(figure, "s", cpu, "wandb offline", other, TARGET, cpu < 0.5 * other, note)
    return row(figure, "s", cpu, name, other, note=note)


def _described(used: Used) -> dict[str, Any]:
    return {
        "cpu": used.cpu,
        "cpu of the training process": used.cpu_of_main,
        "wall": used.wall,
        "largest_mb": used.largest_mb,
        **used.answer,
    }
