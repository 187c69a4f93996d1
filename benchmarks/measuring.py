"""Running a benchmark's scripts in processes of their own, and counting what they use."""

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
    """How large the benchmarks are, and where their peers lie.

    Attributes:
        peers: Folder with one virtual environment per peer; None without any.
        work: Folder for stores and files, on the file system that is to be measured.
        rows: Rows of 10 scalars.
        wide_rows: Rows of 1,000 scalars.
        repeats: Measurements that a median is taken of.
        lightning_steps: Training steps under Lightning.
        series_steps: Steps of the metric that is read whole.
        peer_steps: The same for peers; those for which that is hopeless take fewer, see their scripts.
        long_steps: Steps of the long run whose chart is asked for.
        short_steps: Steps of the run that it is held against.
        names: Distinct metric names in one run.
        writers: Concurrent runs on one node.
        artifact_mb: Size of the file that is logged as an artifact.
        files: Small files of one artifact.
        download_mb: MiB of the file that is downloaded.
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


@dataclass(frozen=True)
class Used:
    """What a command and all that came of it used, and what it said.

    Attributes:
        wall: Seconds until the command itself ended.
        cpu: CPU seconds of all processes, until the last one ended.
        cpu_of_main: Of those, the command's own (with the children that it waited for).
        largest_mb: Largest resident size of one process.
        answer: The JSON of its last line of output.
    """

    wall: float
    cpu: float
    cpu_of_main: float
    largest_mb: float
    answer: dict[str, Any]


class ScriptError(Exception):
    """A benchmark's script failed; says what it printed."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a script: this one, the clone importable, nothing said about a tracker.

    Modules keep their bytecode, as those of an installed package do.
    """
    left_out = ("WANDB_", "TRACKER_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def metered(command: list[str], folder: Path, **variables: str) -> Used:
    """Run a command in ``folder`` and count it, with all processes that came of it, to the last one's end.

    Raises:
        ScriptError: It failed.
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
    """Run a script to its end without counting; return its answer.

    Raises:
        ScriptError: It failed.
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
        said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise ScriptError(f"{' '.join(command)} failed with {done.returncode}:\n{said}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found


def say(answer: dict[str, Any]) -> None:
    """Print a script's answer as its last line."""
    print(json.dumps(answer), flush=True)


@contextmanager
def workplace(options: Options) -> Iterator[Path]:
    """Give an empty folder that is deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.work) as folder:
        yield Path(folder)


def wait_for(condition: Callable[[], T], what: str, seconds: float = 600.0) -> T:
    """Return the first true answer of ``condition``.

    Raises:
        ScriptError: There was none for ``seconds``.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise ScriptError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)
    return answer


def times_of(call: Callable[[], object], repeats: int) -> list[float]:
    """Return how long each of ``repeats`` calls took."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
