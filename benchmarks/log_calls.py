"""The cost of one ``log`` call on the caller's thread: figures ``log``, ``log-wide`` and ``log-network``.

The lower bound and tracker alternate in the same process, with the same rows. As a script this module is one
such pair. The figure ``log-network`` compares a store on sshfs with one on a local disk, and with a spool.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import mounts
from benchmarks.data import make_rows
from benchmarks.measuring import Options, ScriptError, metered, ours, print_answer, run_script, workplace
from benchmarks.product import begin, read_back, store_of, wait_sealed
from benchmarks.report import Result, Row

FLOOR = "orjson + os.write"
# On a fast machine the lower bound is close to the resolution of the clock, so the target has an absolute
# part.
SLACK_US = 3.0
# On a network file system: images, and the size of an artifact for each row of the benchmark, in bytes.
IMAGES = 50
ARTIFACT_BYTES_PER_ROW = 5000
# Pause between two calls on a network file system.
PAUSE_SECONDS = 0.002


def measure(options: Options) -> Result:
    """Measure rows of 10 scalars."""
    pairs = _pairs(options, options.rows, 10)
    floor, log = _median(pairs, "floor", "p50"), _median(pairs, "log", "p50")
    floor99, log99 = _median(pairs, "floor", "p99"), _median(pairs, "log", "p99")
    rows = [
        Row(
            "log() of 10 scalars, p50",
            "us",
            log,
            FLOOR,
            floor,
            "<= 3x or +3 us",
            log <= max(3 * floor, floor + SLACK_US),
        ),
        Row("log() of 10 scalars, p99", "us", log99, FLOOR, floor99, "<= 10x", log99 <= 10 * floor99),
    ]
    return Result(rows, {"rows": options.rows, "pairs": pairs})


def measure_wide(options: Options) -> Result:
    """Measure rows of 1,000 scalars."""
    pairs = _pairs(options, options.wide_rows, 1000)
    floor, log = _median(pairs, "floor", "p50"), _median(pairs, "log", "p50")
    row = Row("log() of 1,000 scalars, p50", "us", log, FLOOR, floor, "<= 3x", log <= 3 * floor)
    return Result([row], {"rows": options.wide_rows, "pairs": pairs})


def measure_network(options: Options) -> Result:
    """Measure rows of 10 scalars on a network file system, as many as 500 a second.

    Rows are held back, which is the default there, or written immediately, or written to a spool. They
    alternate with a local disk. Images and an artifact are logged too.
    """
    if why := mounts.missing():
        raise ScriptError(f"The benchmark {why}.")
    places = ("local", "held back", "immediate", "spool")
    size = options.rows * ARTIFACT_BYTES_PER_ROW
    found: dict[str, list[dict[str, float]]] = {place: [] for place in places}
    with workplace(options) as folder, mounts.two_mounts(folder) as (mount, _):
        for number in range(options.repeats):
            for place in places:
                inside = (folder if place == "local" else mount) / f"{place}-{number}"
                inside.mkdir()
                variables = {"TRACKER_JOURNAL_ONLY": "1", "XDG_STATE_HOME": str(folder / "state")}
                if place == "immediate":
                    variables["TRACKER_APPEND_SECONDS"] = "0"
                if place == "spool":
                    variables["TRACKER_SPOOL"] = str(folder)
                command = ours("log_calls", inside, options.rows // 10, 10, PAUSE_SECONDS, size)
                found[place].append(run_script(command, inside, **variables))
    middle = {
        (place, quantile): statistics.median(each[quantile] for each in found[place])
        for place in places
        for quantile in ("p50", "p99", "image", "artifact")
    }
    rows = []
    for quantile, most in (("p50", 1.5), ("p99", 2.0)):
        local, held, immediate, _ = (middle[place, quantile] for place in places)
        figure = f"log() of 10 scalars on sshfs, {quantile}"
        rows += [
            Row(figure, "us", held, "local disk", local, f"<= {most}x", held <= most * local),
            Row(figure, "us", held, "each row written immediately", immediate),
        ]
    for kind, figure, unit in (
        ("p50", "log() of 10 scalars with a spool, p50", "us"),
        ("image", "log() of an image of 256 x 256 pixels with a spool, p50", "ms"),
        ("artifact", f"add_file() and log_artifact() of {size / 1e6:g} MB with a spool", "ms"),
    ):
        local, direct, _, spool = (middle[place, kind] for place in places)
        rows += [
            Row(figure, unit, spool, "local disk", local),
            Row(figure, unit, spool, "sshfs without a spool", direct),
        ]
    return Result(rows, found)


def _pairs(options: Options, rows: int, keys: int) -> list[dict[str, Any]]:
    pairs = []
    for _ in range(options.repeats):
        with workplace(options) as folder:
            # Use the meter to wait for the end of the recorder, which must not disturb the next lower bound.
            used = metered(ours("log_calls", folder, rows, keys), folder)
            wait_sealed(store_of(folder), 1)
            read_back(folder, "timed", make_rows(rows, keys))
            pairs.append(used.answer)
    return pairs


def _median(pairs: list[dict[str, Any]], which: str, quantile: str) -> float:
    return statistics.median(pair[which][quantile] for pair in pairs)


def _pair(folder: Path, count: int, keys: int) -> None:
    """Time the lower bound, then tracker, row by row."""
    rows = make_rows(count, keys)
    floor = _floor(rows, folder)
    run = begin("timed")
    log = _times(run.log, rows)
    run.finish()
    print_answer(
        {"floor": _quantiles(floor), "log": _quantiles(log), "clock": _quantiles(_times(_nothing, rows))}
    )


def _floor(rows: list[dict[str, float]], folder: Path) -> list[int]:
    from orjson import dumps

    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for row in rows[: len(rows) // 10]:  # warm
            os.write(descriptor, dumps(row))
        return _times(lambda row: os.write(descriptor, dumps(row)), rows)
    finally:
        os.close(descriptor)


def _nothing(_row: dict[str, float]) -> None:
    """Do nothing. The time of this call is the cost of the clock, which is in both figures."""


def _times(call: Callable[[dict[str, float]], object], rows: list[dict[str, float]]) -> list[int]:
    times = []
    for row in rows:
        start = time.perf_counter_ns()
        call(row)
        times.append(time.perf_counter_ns() - start)
    return times


def _quantiles(times: list[int]) -> dict[str, float]:
    """Return quantiles of times, in microseconds."""
    ordered = sorted(times)
    return {
        "p50": ordered[len(ordered) // 2] / 1000,
        "p99": ordered[len(ordered) * 99 // 100] / 1000,
        "max": ordered[-1] / 1000,
    }


def _log_slowly(count: int, keys: int, pause_seconds: float, size: int) -> None:
    """Time tracker's calls with a pause between them, as between steps of a training.

    Args:
        count: Number of rows.
        keys: Number of metrics in a row.
        pause_seconds: The pause.
        size: Size of the artifact in bytes.
    """
    import numpy as np

    import tracker

    source = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it lives as long as this process
    source.write(os.urandom(size))
    source.flush()
    run = begin("timed")

    def log(row: dict[str, float]) -> int:
        start = time.perf_counter_ns()
        run.log(row)
        took = time.perf_counter_ns() - start
        time.sleep(pause_seconds)
        return took

    def log_artifact() -> None:
        artifact = tracker.Artifact("timed", "model")
        artifact.add_file(source.name, "content")
        run.log_artifact(artifact)

    times = [log(row) for row in make_rows(count, keys)]
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    images = [_seconds(lambda: run.log({"image": tracker.Image(pixels)})) for _ in range(IMAGES)]
    artifact = _seconds(log_artifact)
    run.finish()
    more = {"image": 1000 * statistics.median(images), "artifact": 1000 * artifact}
    print_answer({**_quantiles(times), **more})


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    if len(sys.argv) > 4:
        _log_slowly(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    else:
        _pair(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
