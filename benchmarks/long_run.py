"""The chart of a very long run with evicted files, compared with the chart of a short run: figure ``chart``.

One store contains both runs and a third one. The runs are measured while their writers live (unsealed),
then sealed. Each repetition has a new server, which has answered only for the third run: neither the page
cache nor SQLite's own cache contains data of the two runs. Each answer comes after an eviction; the order
alternates.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cold import evict
from benchmarks.measuring import Options, ScriptError, environment, ours, wait_for, workplace
from benchmarks.product import count_segments, folder_bytes, store_of, wait_sealed
from benchmarks.report import Result, Row
from benchmarks.serving import RUNS, Server, serving

POINTS = 1000
MOST = 1.5
# Ten million rows are logged in a minute or two, but one process applies them on a busy machine.
PATIENCE = 3 * 3600.0
SETTLED = 5.0
REPEATS = 7
WARM_REPEATS = 50
# A new server answers for this run first, so that its code is loaded: once from a rung, then from rows.
WARM, WARMING_POINTS = "warm", (100, POINTS)


def measure(options: Options) -> Result:
    """Measure live runs, then the same runs sealed."""
    steps = {"long": options.long_steps, "short": options.short_steps, WARM: options.short_steps}
    details: dict[str, Any] = {"steps": steps, "points": POINTS}
    scale: dict[str, Any] = {"steps": options.long_steps}
    rows = []
    with workplace(options) as folder:
        store = store_of(folder)
        start = time.perf_counter()
        with _writing(folder, steps) as told:
            details["writers"] = told
            wait_for(lambda: _all_applied(store, len(steps)), "the recorder", PATIENCE)
            scale["seconds until applied"] = time.perf_counter() - start
            _settle(store)
            rows.append(_state(store, "unsealed", steps, details, scale))
        start = time.perf_counter()
        wait_sealed(store, len(steps), PATIENCE)
        scale["seconds until sealed"] = time.perf_counter() - start
        _settle(store)
        rows.append(_state(store, "sealed", steps, details, scale))
        scale["store_mb"] = sum(folder_bytes(store).values()) / 2**20
    return Result(rows, {**details, "scale": scale})


@contextmanager
def _writing(folder: Path, steps: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Log the runs in sequence. Their writers live while the block runs."""
    writers, told = [], {}
    try:
        for name, count in steps.items():
            writer = subprocess.Popen(
                ours("product", "log-series", folder, name, count, "wait"),
                cwd=folder,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            writers.append(writer)
            assert writer.stdout is not None
            line = writer.stdout.readline()
            if not line:
                raise ScriptError(f"The writer of the run {name!r} ended early.")
            told[name] = json.loads(line)
        yield told
    finally:
        for writer in writers:
            writer.communicate("")


def _all_applied(store: Path, runs: int) -> bool:
    """Return whether the catalog contains all records of all journals."""
    if count_segments(store, "run_id IS NOT NULL") < runs:
        return False
    with closing(sqlite3.connect(f"file:{store / 'catalog.db'}?mode=ro", uri=True, timeout=60)) as connection:
        found = connection.execute("SELECT segment, journal_index, journal_offset FROM segments").fetchall()
    applied = {segment: (index, offset) for segment, index, offset in found}
    for path in store.glob("journals/*/*.journal"):
        segment, index = path.stem[:32], int(path.stem[33:])
        if applied.get(segment, (-1, 0)) < (index, path.stat().st_size):
            return False
    return True


def _settle(store: Path) -> None:
    """Wait until no file of the store has changed for some time: then merging in the background has ended."""
    seen: tuple[float, dict[str, int]] = (time.monotonic(), {})

    def quiet() -> bool:
        nonlocal seen
        now = folder_bytes(store)
        if now != seen[1]:
            seen = (time.monotonic(), now)
        return time.monotonic() - seen[0] > SETTLED

    wait_for(quiet, "the store to settle", PATIENCE)


def _state(
    store: Path, state: str, steps: dict[str, int], details: dict[str, Any], scale: dict[str, Any]
) -> Row:
    """Measure the runs in one state, with a new server."""
    compared = [name for name in steps if name != WARM]
    cold: dict[str, list[float]] = {name: [] for name in compared}
    read: dict[str, list[int]] = {name: [] for name in compared}
    left = []
    for at in range(REPEATS):
        with serving(store) as server:
            for points in WARMING_POINTS:
                server.get(f"{RUNS}/{WARM}/chart", key="loss", points=points)
            for name in compared if at % 2 else compared[::-1]:
                left.append(evict(store))
                before_read = server.bytes_read()
                cold[name].append(server.seconds(f"{RUNS}/{name}/chart", key="loss", points=POINTS))
                read[name].append(server.bytes_read() - before_read)
    if not all(map(min, read.values())):
        raise ScriptError(f"An answer was not read from the disk: {read}.")
    middle = {name: statistics.median(times) * 1000 for name, times in cold.items()}
    with serving(store) as server:
        before = server.memory_mb()
        for name in steps:
            _check(server, name, steps[name])
        warm = {
            name: server.p50_ms(WARM_REPEATS, f"{RUNS}/{name}/chart", key="loss", points=POINTS)
            for name in compared
        }
        scale[state] = {
            "chart p50 ms, evicted": middle["long"],
            "chart p50 ms": warm["long"],
            "zoomed chart p50 ms": server.p50_ms(
                WARM_REPEATS, f"{RUNS}/long/chart", key="loss", points=POINTS, **_middle(steps["long"])
            ),
            "listing p50 ms": server.p50_ms(WARM_REPEATS, RUNS),
            "run p50 ms": server.p50_ms(WARM_REPEATS, f"{RUNS}/long"),
            "server memory_mb before": before,
            "server memory_mb": server.memory_mb(),
        }
    details[state] = {
        "evicted ms": {name: [seconds * 1000 for seconds in times] for name, times in cold.items()},
        "warm p50 ms": warm,
        "bytes that the server read from the disk for an answer": read,
        "pages that came back before the question": left,
    }
    return Row(
        f"chart of {steps['long']:,} steps, evicted, {state}",
        "ms",
        middle["long"],
        f"{steps['short']:,} steps",
        middle["short"],
        f"< {MOST}x",
        middle["long"] < MOST * middle["short"],
    )


def _middle(steps: int) -> dict[str, int]:
    """Return a window of a hundredth of the steps, in the middle."""
    return {"min": steps // 2, "max": steps // 2 + steps // 100}


def _check(server: Server, name: str, steps: int) -> None:
    """Check that the chart counts every logged step."""
    body = server.get(f"{RUNS}/{name}/chart", key="loss", points=POINTS)
    (length,) = struct.unpack_from("<I", body)
    (series,) = json.loads(body[4 : 4 + length])["series"]
    if series["kind"] == "points":
        counted = series["length"]
    else:
        at = 4 + length + series["offsets"]["count"]
        counted = int(sum(struct.unpack_from(f"<{series['length']}d", body, at)))
    if counted != steps:
        raise ScriptError(f"The chart of {name} counts {counted} of {steps} steps.")
