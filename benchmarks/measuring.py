"""Running the scripts of benchmarks in their own processes, and counting their resources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.report import ROOT

METER = ROOT / "benchmarks" / "meter.py"
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """Sizes of the benchmarks, and folders.

    Attributes:
        peers: Folder with one virtual environment per peer; None for no peers.
        work: Folder for stores and files, on the file system to measure.
        rows: Number of rows with 10 scalars.
        wide_rows: Number of rows with 1,000 scalars.
        repeats: Number of measurements for a median.
        lightning_steps: Training steps with Lightning.
        series_steps: Steps of the metric that is read completely.
        peer_steps: The same for peers. Slow peers use fewer steps, see their scripts.
        long_steps: Steps of the long run with the measured chart.
        short_steps: Steps of the run for comparison.
        names: Distinct metric names in one run.
        writers: Concurrent runs on one node.
        artifact_mb: Size of the file that is logged as an artifact, in MiB.
        files: Number of small files in one artifact.
        download_mb: Size of the downloaded file, in MiB.
        export_rows: Rows of the exported run.
        import_mb: Size of the imported ``.wandb`` file, in MiB.
        import_steps: Steps of the imported TensorBoard log, with 10 scalars each.
        chart_runs: Runs in one request for lines.
        chart_keys: Keys of each of these runs.
        curve_runs: Runs in the group of a curve.
        requests: Requests to one server.
        load_seconds: Seconds for which readers are measured without and with writers.
        dashboard_percent: Sizes of the stores that the dashboard shows, in percent.
        watch_seconds: Seconds for which the dashboard shows a live run.
        idle_journals: Journals of idle writers that a server watches.
        idle_seconds: Seconds for which it is measured.
    """

    peers: Path | None = None
    work: Path | None = None
    rows: int = 20_000
    wide_rows: int = 200
    repeats: int = 5
    lightning_steps: int = 2_000
    series_steps: int = 1_000_000
    peer_steps: int = 1_000_000
    long_steps: int = 10_000_000
    short_steps: int = 100_000
    names: int = 10_000
    writers: int = 64
    artifact_mb: int = 1024
    files: int = 100_000
    download_mb: int = 1024
    export_rows: int = 10_000_000
    apply_values: int = 3_000_000
    import_mb: int = 1024
    import_steps: int = 100_000
    chart_runs: int = 100
    chart_keys: int = 20
    curve_runs: int = 1_000
    requests: int = 100_000
    load_seconds: int = 30
    dashboard_percent: int = 100
    watch_seconds: int = 600
    idle_journals: int = 5_000
    idle_seconds: int = 60


@dataclass(frozen=True)
class Used:
    """The resources of a command with all its descendants, and its answer.

    Attributes:
        wall: Seconds until the command itself ended.
        cpu: CPU seconds of all processes, until the last one ended.
        cpu_of_main: CPU seconds of the command alone (with the children that it waited for).
        largest_mb: Largest resident size of one process.
        answer: The JSON in the last line of its output.
    """

    wall: float
    cpu: float
    cpu_of_main: float
    largest_mb: float
    answer: dict[str, Any]


class ScriptError(Exception):
    """A script of a benchmark failed. The message contains its output."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a script: this one with the clone on PYTHONPATH and without tracker settings.

    Python writes bytecode, as for an installed package.
    """
    left_out = ("WANDB_", "TRACKER_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def metered(command: list[str], folder: Path, **variables: str) -> Used:
    """Run a command in ``folder`` and count it and all its descendants, until the last one ends.

    Raises:
        ScriptError: The command failed.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        done = subprocess.run(
            [sys.executable, str(METER), out.name, *command],
            cwd=folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        answer = _answer(command, done)
        found = json.load(out)
    return Used(found["wall"], found["cpu"], found["cpu_of_main"], found["largest_mb"], answer)


def ours(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a script of the benchmarks with this interpreter."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def run_script(command: list[str], folder: Path, **variables: str) -> dict[str, Any]:
    """Run a script without counting; return its answer.

    Raises:
        ScriptError: The script failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return _answer(command, done)


def _answer(command: list[str], done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if done.returncode:
        output = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise ScriptError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{output}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found


def print_answer(answer: dict[str, Any]) -> None:
    """Print the answer of a script as its last line."""
    print(json.dumps(answer), flush=True)


@contextmanager
def workplace(options: Options) -> Iterator[Path]:
    """Yield an empty folder, which is deleted at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.work) as folder:
        yield Path(folder)


def wait_for(condition: Callable[[], T], what: str, seconds: float = 600.0) -> T:
    """Return the first true result of ``condition``.

    Raises:
        ScriptError: The result was false for ``seconds``.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise ScriptError(f"Waited {seconds:.0f} s without success for {what}.")
        time.sleep(0.02)
    return answer


def times_of(call: Callable[[], object], repeats: int) -> list[float]:
    """Return the duration of each of ``repeats`` calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
