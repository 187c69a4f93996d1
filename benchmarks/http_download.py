"""``Artifact.download`` over HTTP on loopback, compared with ``curl`` of the same file from the same server.

Both write to the same folder, in turns. Only tracker computes a digest. The download is timed inside a
process that has already loaded the artifact, because curl gets the address of the file. Both delete their
last file immediately before the clock starts: a virtual machine returns memory to its host if it is free
for a while.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import Options, ScriptError, ours, print_answer, run_script, workplace
from benchmarks.report import Result, Row, absent, spread
from benchmarks.serving import serving

PROJECT, NAME, FILE = "benchmark", "big", "big.bin"
PIECE = 1024 * 1024
LEAST = 0.7
TARGET = f"at least {LEAST:.0%} of curl"


def measure(options: Options) -> Result:
    """Log one large file, serve it, and download it in both ways."""
    with workplace(options) as folder:
        _log(folder, options.download_mb)
        times: dict[str, list[float]] = {"download": [], "curl": []}
        with serving(folder / "tracker-store") as server:
            curl = shutil.which("curl")
            # The first download of each warms the page cache and the server, and is not counted.
            for at in range(options.repeats + 1):
                found = {"download": _download(folder, server.url)}
                if curl is not None:
                    found["curl"] = _curl(curl, folder, server.url)
                for name, seconds in found.items():
                    times[name] += [options.download_mb / seconds] if at else []
    figure = f"download of {options.download_mb} MiB over HTTP"
    details = {f"{name}, MiB/s": spread(rates) for name, rates in times.items() if rates}
    mine = statistics.median(times["download"])
    if curl is None:
        return Result([absent(figure, "MiB/s", mine, "curl", TARGET)], details)
    other = statistics.median(times["curl"])
    return Result([Row(figure, "MiB/s", mine, "curl", other, TARGET, mine >= LEAST * other)], details)


def _log(folder: Path, size_mb: int) -> None:
    with (folder / FILE).open("wb") as file:
        for _ in range(size_mb):
            file.write(os.urandom(PIECE))
    run_script(ours("http_download", "log"), folder)


def _download(folder: Path, url: str) -> float:
    """Return the seconds of a download in a new process; compare the file with the logged one."""
    seconds: float = run_script(ours("http_download", "download", url), folder, TRACKER_SILENT="1")["seconds"]
    _check(folder, folder / "down" / FILE)
    return seconds


def _curl(curl: str, folder: Path, url: str) -> float:
    address = f"{url}/api/v1/projects/local/{PROJECT}/artifacts/{NAME}/v0/files/{FILE}"
    target = folder / "curl.bin"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    subprocess.run([curl, "--silent", "--fail", "--output", str(target), address], check=True)
    seconds = time.perf_counter() - start
    _check(folder, target)
    return seconds


def _check(folder: Path, target: Path) -> None:
    if subprocess.run(["cmp", "--silent", str(folder / FILE), str(target)]).returncode:
        raise ScriptError(f"{target.name} differs from the logged file.")


def main(what: str, url: str = "") -> None:
    """Log the file of this folder, or download it and report the time."""
    import tracker

    if what == "log":
        with tracker.init(project=PROJECT, settings={"silent": True}) as run:
            artifact = tracker.Artifact(NAME, "model")
            artifact.add_file(FILE)
            run.log_artifact(artifact).wait()
        print_answer({})
        return
    found = tracker.Api({"base_url": url}).artifact(f"{PROJECT}/{NAME}:v0")
    Path("down", FILE).unlink(missing_ok=True)
    start = time.perf_counter()
    found.download("down")
    print_answer({"seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main(*sys.argv[1:])
