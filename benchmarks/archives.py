"""Archives of versions over HTTP on loopback: figure ``archive``.

Many small files are compared with ``tar -c`` of the same files, and one large file with a download of that
file from the same server. ``curl`` writes all answers to the same folder, in turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.many_files import BYTES, make_files
from benchmarks.measuring import Options, ours, print_answer, run_script, workplace
from benchmarks.report import Result, Row
from benchmarks.serving import Server, serving

PROJECT = "benchmark"
PIECE = 1024 * 1024
FORMS = ("tar", "zip")
# The server checks the digest of every content of an archive; for the single file it knows the result.
MOST = 3.0


def measure(options: Options) -> Result:
    """Log many small files and one large file, and compare their archives with the lower bounds."""
    ratios: dict[str, list[dict[str, float]]] = {"small": [], "large": []}
    with workplace(options) as folder:
        data = make_files(folder / "data", options.files)
        with (folder / "large.bin").open("wb") as file:
            for _ in range(options.download_mb):
                file.write(os.urandom(PIECE))
        run_script(ours("archives", data), folder)
        with serving(folder / "tracker-store") as server:
            before = server.memory_mb()["rss"]
            for _ in range(options.repeats + 1):  # the first ones warm the page cache and are not counted
                forms = {
                    form: _get(folder, server, f"small/v0/archive?format={form}") for form in ("tar", "zip")
                }
                ratios["small"].append({"floor": _tar(folder, data), **forms})
                forms = {
                    form: _get(folder, server, f"large/v0/archive?format={form}") for form in ("tar", "zip")
                }
                plain = _get(folder, server, "large/v0/files/large.bin")
                ratios["large"].append({"floor": plain, **forms})
            grown = server.memory_mb()["largest"] - before
    rows = []
    for name, figure, against in (
        ("small", f"archive of {options.files:,} files of {BYTES} bytes", "tar -c of the files"),
        ("large", f"archive of a file of {options.download_mb} MiB", "curl of the file"),
    ):
        counted = ratios[name][1:]
        floor = statistics.median(each["floor"] for each in counted)
        for form in FORMS:
            mine = statistics.median(each[form] for each in counted)
            ratio = statistics.median(each[form] / each["floor"] for each in counted)
            target = f"<= {MOST:g}x"
            rows.append(Row(f"{figure}: {form}", "s", mine, against, floor, target, ratio <= MOST))
    rows.append(Row("archives: growth of the server's memory", "MiB", grown))
    return Result(rows, {"seconds": ratios})


def _archives(folder: Path, server: Server, name: str) -> dict[str, float]:
    return {form: _get(folder, server, f"{name}/v0/archive?format={form}") for form in FORMS}


def _get(folder: Path, server: Server, path: str) -> float:
    """Return the seconds of a download into a new file."""
    target = folder / "answer"
    target.unlink(missing_ok=True)
    address = f"{server.url}/api/v1/projects/local/{PROJECT}/artifacts/{path}"
    start = time.perf_counter()
    subprocess.run(["curl", "--silent", "--fail", "--output", str(target), address], check=True)
    return time.perf_counter() - start


def _tar(folder: Path, data: Path) -> float:
    target = folder / "answer"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    subprocess.run(["tar", "-C", data, "-cf", target, "."], check=True)
    return time.perf_counter() - start


def main(data: str) -> None:
    """Log both artifacts."""
    import tracker

    with tracker.init(project=PROJECT, settings={"silent": True}) as run:
        small = tracker.Artifact("small", "dataset")
        small.add_dir(data)
        large = tracker.Artifact("large", "model")
        large.add_file("large.bin")
        for artifact in (small, large):
            run.log_artifact(artifact).wait()
    print_answer({})


if __name__ == "__main__":
    main(*sys.argv[1:])
