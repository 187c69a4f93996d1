"""An artifact of very many small files: figure ``many-files``.

As a script this module logs, lists or downloads them, each with its lower bound in the same process.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.artifact_files import wait_for_recorder_end
from benchmarks.measuring import Options, ScriptError, ours, print_answer, run_script, workplace
from benchmarks.product import store_of
from benchmarks.report import Result, Row

BYTES = 1024
FOLDERS = 100
MOST = 2.0
REPEATS = 5


def measure(options: Options) -> Result:
    """Make, log, list and download the files, and compare each step with a minimal loop."""
    count = options.files
    pairs: dict[str, list[dict[str, float]]] = {"log": [], "list": [], "download": []}
    with workplace(options) as folder:
        data = make_files(folder / "data", count)
        subprocess.run(["tar", "-C", folder, "-cf", folder / "data.tar", "data"], check=True)
        for at in range(REPEATS):
            place = folder / f"place{at}"
            place.mkdir()
            pairs["log"].append(run_script(ours("many_files", "log", place, data), place))
            wait_for_recorder_end(place)
            if at < REPEATS - 1:
                shutil.rmtree(place)
        inodes = sum(1 for path in store_of(place).rglob("*"))
        pairs["list"] = run_script(ours("many_files", "list", place), place)["pairs"]
        for _ in range(REPEATS):
            pairs["download"].append(_download(folder, place))
    rows = []
    for name, against in (
        ("log", "read, hash with both digests, append to one file"),
        ("list", "one SQL query for it"),
        ("download", "tar -x"),
    ):
        ours_, floor = (statistics.median(pair[which] for pair in pairs[name]) for which in ("ours", "floor"))
        ratio = statistics.median(pair["ours"] / pair["floor"] for pair in pairs[name])
        figure = f"artifact of {count:,} files of {BYTES} bytes: {name}"
        rows.append(Row(figure, "s", ours_, against, floor, f"<= {MOST:g}x", ratio <= MOST))
    rows.append(Row(f"artifact of {count:,} files: files and folders of the whole store", "", inodes))
    return Result(rows, {"files": count, "pairs": pairs})


def log(folder: str, data: str) -> None:
    """Time the minimal loop, and an artifact from ``add_dir`` to its version."""
    import tracker

    floor = _bare(data, Path(folder) / "floor")
    run = tracker.init(project="benchmark")
    warm = tracker.Artifact("warm", "model")
    with warm.new_file("w") as file:
        file.write("everything that is loaded once")
    run.log_artifact(warm).wait()
    start = time.perf_counter()
    artifact = tracker.Artifact("images", "dataset")
    artifact.add_dir(data)
    added = time.perf_counter() - start
    run.log_artifact(artifact).wait()
    ours_ = time.perf_counter() - start
    run.finish()
    print_answer({"floor": floor, "ours": ours_, "added": added})


def _bare(data: str, target: Path) -> float:
    """Read every file, compute both digests, and append it to one file."""
    start = time.perf_counter()
    with target.open("wb") as out:
        for above, folders, names in os.walk(data):
            folders.sort()
            for name in sorted(names):
                with open(os.path.join(above, name), "rb", buffering=0) as file:
                    content = file.read()
                hashlib.sha256(content).hexdigest()
                base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest())
                out.write(content)
        out.flush()
        os.fsync(out.fileno())
    return time.perf_counter() - start


def list_files(folder: str) -> None:
    """Time ``Api`` up to the list of files, and a query that returns the same rows."""
    import tracker

    api = tracker.Api()
    connection = sqlite3.connect(os.path.join(folder, "rows.db"))
    connection.execute(
        "CREATE TABLE entries (version, path, digest, size, sha256, pack, offset, "
        "PRIMARY KEY (version, path)) WITHOUT ROWID"
    )
    entries = api.artifact("benchmark/images:latest").contents.manifest.entries
    connection.executemany(
        "INSERT INTO entries VALUES (1, ?, ?, ?, ?, ?, ?)",
        [(each.path, each.digest, each.size, each.sha256, each.pack, each.offset) for each in entries],
    )
    connection.commit()
    query = "SELECT path, digest, size, sha256, pack, offset FROM entries WHERE version = 1 ORDER BY path"
    pairs = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = connection.execute(query).fetchall()
        floor = time.perf_counter() - start
        start = time.perf_counter()
        files = api.artifact("benchmark/images:latest").files()
        pairs.append({"floor": floor, "ours": time.perf_counter() - start})
        if [file.path for file in files] != [row[0] for row in found]:
            raise ScriptError("The list and the query differ.")
    print_answer({"pairs": pairs})


def download(folder: str, target: str) -> None:
    """Time ``download`` into a new folder."""
    import tracker

    artifact = tracker.Api().artifact("benchmark/images:latest")
    start = time.perf_counter()
    artifact.download(target)
    print_answer({"ours": time.perf_counter() - start})


def _download(folder: Path, place: Path) -> dict[str, float]:
    for each in ("ours", "tar"):
        shutil.rmtree(folder / each, ignore_errors=True)
    os.sync()
    found: dict[str, Any] = run_script(ours("many_files", "download", place, folder / "ours"), place)
    os.sync()
    (folder / "tar").mkdir()
    start = time.perf_counter()
    subprocess.run(["tar", "-C", folder / "tar", "-xf", folder / "data.tar"], check=True)
    return {**found, "floor": time.perf_counter() - start}


def make_files(folder: Path, count: int) -> Path:
    """Make small files of random bytes in a new folder; return the folder."""
    for at in range(FOLDERS):
        (folder / f"{at:03}").mkdir(parents=True)
    for at in range(count):
        (folder / f"{at % FOLDERS:03}" / f"{at:06}.png").write_bytes(os.urandom(BYTES))
    return folder


if __name__ == "__main__":
    {"log": log, "list": list_files, "download": download}[sys.argv[1]](*sys.argv[2:])
