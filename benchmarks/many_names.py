"""A run with very many distinct metric names: figure ``names``, without a target."""

from __future__ import annotations

from typing import Any

from benchmarks.data import make_rows
from benchmarks.measuring import Options, metered, ours, workplace
from benchmarks.product import folder_bytes, read_back, store_of, wait_sealed
from benchmarks.report import Result, Row
from benchmarks.serving import RUNS, serving

ROWS = 100
CHARTS = 20
REPEATS = 20


def measure(options: Options) -> Result:
    """Log rows with all names, and request them from a server."""
    names = options.names
    with workplace(options) as folder:
        used = metered(ours("product", "log-names", folder, "names", names, ROWS), folder)
        wait_sealed(store_of(folder), 1, 10)
        read_back(folder, "names", make_rows(ROWS, names))
        with serving(store_of(folder)) as server:
            before = server.memory_mb()
            some = [f"metric/{at * names // CHARTS}" for at in range(min(CHARTS, names))]
            run = f"{RUNS}/names"
            scale: dict[str, Any] = {
                "names": names,
                "rows": ROWS,
                "keys p50 ms": server.p50_ms(REPEATS, run),
                "listing p50 ms": server.p50_ms(REPEATS, RUNS),
                "chart p50 ms": server.p50_ms(REPEATS, f"{run}/chart", key=some[0]),
                f"chart of {len(some)} keys p50 ms": server.p50_ms(REPEATS, f"{run}/chart", key=some),
                "server memory_mb before": before,
                "server memory_mb": server.memory_mb(),
            }
        scale["store_mb"] = sum(folder_bytes(store_of(folder)).values()) / 2**20
    scale["cpu of the whole run"] = used.cpu
    scale["largest process_mb"] = used.largest_mb
    figure = f"{names:,} names in one run"
    rows = [
        Row(f"{figure}: run with its keys, p50", "ms", scale["keys p50 ms"]),
        Row(f"{figure}: listing, p50", "ms", scale["listing p50 ms"]),
        Row(f"{figure}: chart, p50", "ms", scale["chart p50 ms"]),
        Row(f"{figure}: largest server memory", "MB", scale["server memory_mb"]["largest"]),
    ]
    return Result(rows, {"scale": scale})
