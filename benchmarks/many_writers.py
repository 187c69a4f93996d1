"""Concurrent runs on one node: the memory and CPU of their start, figure ``writers``.

As a script this module is the shell of the node: it starts the writers, adopts their orphans, and counts.
Memory is the proportional set size (shared pages count once in total). The share of a bare interpreter is
subtracted for each writer, but not for the recorder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.measuring import Options, ours, print_answer, run_script, wait_for, workplace
from benchmarks.meter import adopt_orphans
from benchmarks.product import count_segments, store_of
from benchmarks.report import Result, Row

LARGEST_MB, LARGEST_CPU = 500, 5.0
# Both scripts import only sys on their own, so the difference is the cost of the writer.
BARE = "import sys; print('ready', flush=True); sys.stdin.readline(); " + (
    "import resource as r; a, b = r.getrusage(r.RUSAGE_SELF), r.getrusage(r.RUSAGE_CHILDREN); "
    "print(a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime, flush=True); sys.stdin.read()"
)
WRITER = """
import sys
import tracker
run = tracker.init(project="benchmark", id=sys.argv[2])
run.define_metric("trainer/global_step")
run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
run.log({f"metric/{at}": at / 8 for at in range(10)})
"""


def measure(options: Options) -> Result:
    """Start bare interpreters, then the same number of writers, and count both."""
    with workplace(options) as folder:
        bare = run_script(ours("many_writers", "bare", folder, options.writers), folder)
    with workplace(options) as folder:
        found = run_script(ours("many_writers", "writers", folder, options.writers), folder)
        _check(folder, options.writers)
    memory = found["pss_mb"] - bare["pss_mb"]
    cpu = found["cpu"] - bare["cpu"]
    many = f"{options.writers} concurrent runs"
    over = "over bare interpreters"
    rows = [
        _stated(f"{many}: memory {over}", "MB", memory, LARGEST_MB),
        _stated(f"{many}: CPU of start-up {over}", "s", cpu, LARGEST_CPU),
        Row(f"{many}: memory, interpreters included", "MB", found["pss_mb"]),
        Row(f"{many}: CPU of start-up, interpreters included", "s", found["cpu"]),
    ]
    scale = {
        "writers": options.writers,
        "memory_mb over bare interpreters": memory,
        "cpu s over bare interpreters": cpu,
        "memory_mb": found["pss_mb"],
        "cpu s": found["cpu"],
        "memory_mb of the recorder": found["pss_mb of the recorder"],
        "cpu s of the recorder": found["cpu of the recorder"],
    }
    return Result(rows, {"writers": options.writers, "bare": bare, "ours": found, "scale": scale})


def _stated(figure: str, unit: str, value: float, limit: float) -> Row:
    return Row(figure, unit, value, target=f"< {limit:g} {unit}", met=value < limit)


def _check(folder: Path, writers: int) -> None:
    import tracker

    api = tracker.Api({"store": store_of(folder)})
    for at in range(writers):
        (row,) = api.run(f"benchmark/w{at}").history(pandas=False)
        if any(row[f"metric/{key}"] != key / 8 for key in range(10)):
            raise SystemExit(f"Run w{at} has the wrong row {row}.")


def _main(which: str, folder: str, count: str) -> None:
    adopt_orphans()
    code = BARE if which == "bare" else WRITER + BARE.replace("; ", "\n")
    start = time.perf_counter()
    writers = [_start(code, folder, f"w{at}") for at in range(int(count))]
    for writer in writers:
        if _line(writer) != "ready":
            raise SystemExit("A writer did not start.")
    ready = time.perf_counter() - start
    reaped = 0.0
    if which == "writers":
        store = store_of(Path(folder))
        wait_for(lambda: count_segments(store, "run_id IS NOT NULL") == len(writers), "the recorder", 120)
    applied = time.perf_counter() - start
    pids = {writer.pid for writer in writers}
    others = _children() - pids
    # Recorders that lost the election end by themselves. Their CPU time counts too.
    while len(others) > (which == "writers"):
        pid, _status, used = os.wait4(-1, 0)
        if pid in pids:
            raise SystemExit("A writer ended early.")
        reaped += used.ru_utime + used.ru_stime
        others.discard(pid)
    told = []
    for writer in writers:
        _tell(writer, "\n")
        told.append(float(_line(writer)))
    recorder_cpu = sum(_cpu(pid) for pid in others)
    memory = {pid: _pss_mb(pid) for pid in pids | others}
    recorder_mb = sum(memory[pid] for pid in others)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    with suppress(ChildProcessError):
        while True:
            os.wait4(-1, 0)
    print_answer(
        {
            "pss_mb": sum(memory.values()),
            "pss_mb of the recorder": recorder_mb,
            "pss_mb of a writer": (sum(memory.values()) - recorder_mb) / len(writers),
            "cpu": sum(told) + recorder_cpu + reaped,
            "cpu of the recorder": recorder_cpu,
            "cpu of recorders that left": reaped,
            "cpu of a writer": sum(told) / len(writers),
            "recorders": len(others),
            "seconds until all had logged": ready,
            "seconds until all was applied": applied,
        }
    )


def _start(code: str, folder: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, folder, name],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def _children() -> set[int]:
    """Return the children of this process, including adopted orphans."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a living process, with nanosecond resolution."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)


def _pss_mb(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"The kernel does not report the memory of process {pid}.")


if __name__ == "__main__":
    _main(*sys.argv[1:])
