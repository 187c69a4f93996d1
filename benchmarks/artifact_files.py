"""One large file as an artifact: figure ``artifact``, on this disk and on an XFS that shares blocks.

As a script this module is the training process: it logs the file and reports the times.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.measuring import Options, ScriptError, ours, print_answer, run_script, workplace
from benchmarks.report import Result, Row

MOST_MS = 10.0
MOST = 1.2
SLACK = 2.0  # the XFS image must contain the source, the stored copy, the download, and the log of the XFS
MB = 2**20


def measure(options: Options) -> Result:
    """Log, log again and download a file of ``artifact_mb`` on each file system."""
    rows: list[Row] = []
    details: dict[str, Any] = {"mb": options.artifact_mb}
    with workplace(options) as folder:
        rows += _on(folder, options, "copy", "mutable", details)
        rows += _on(folder, options, "link", "immutable", details)
        rows += _bytes(folder, options, shared=False)
        with _xfs(folder, options.artifact_mb) as mounted:
            if mounted is None:
                details["xfs"] = "absent: needs root, xfsprogs and loop devices"
            else:
                # Measure the space first: XFS frees deleted blocks later, in the background.
                rows += _bytes(mounted, options, shared=True)
                rows += _on(mounted, options, "reflink", "mutable", details)
    return Result(rows, details)


def _on(folder: Path, options: Options, how: str, policy: str, details: dict[str, Any]) -> list[Row]:
    """Measure one way to store a file, each repetition together with its lower bounds."""
    pairs = []
    for at in range(options.repeats):
        with _place(folder) as place:
            source = _make(place / "source", options.artifact_mb)
            found = run_script(ours("artifact_files", "log", place, source, policy), place)
            found["md5"] = _seconds(["openssl", "dgst", "-md5", str(source)])
            found["sha256"] = _seconds(["openssl", "dgst", "-sha256", str(source)])
            found["cp"] = _seconds(["cp", "--reflink=never", str(source), str(place / "copy")])
            started = time.perf_counter()
            _sync(place / "copy")
            found["fsync"] = time.perf_counter() - started
            pairs.append(found)
            details[f"{how} {at}"] = found

    def middle(name: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(name(pair) for pair in pairs)

    size = f"{options.artifact_mb / 1024:g} GiB"
    figure = f"add_file + log_artifact of {size}, {how}"
    thread, stored = middle(lambda pair: pair["thread"]), middle(lambda pair: pair["stored"])
    slowest = middle(lambda pair: max(pair["md5"], pair["sha256"]))
    rows = []
    if how == "copy":
        cp = middle(lambda pair: pair["cp"])
        ratio = middle(lambda pair: pair["thread"] / pair["cp"])
        rows.append(Row(f"{figure}, caller's thread", "s", thread, "cp", cp, f"<= {MOST}x", ratio <= MOST))
        floor = middle(lambda pair: pair["cp"] + pair["fsync"] + max(pair["md5"], pair["sha256"]))
        ratio = middle(
            lambda pair: pair["stored"] / (pair["cp"] + pair["fsync"] + max(pair["md5"], pair["sha256"]))
        )
        against = "cp + fsync + slowest digest"
    else:
        ms = thread * 1000
        rows.append(Row(f"{figure}, caller's thread", "ms", ms, target=f"< {MOST_MS:g} ms", met=ms < MOST_MS))
        floor, against = slowest, "slowest digest, OpenSSL"
        ratio = middle(lambda pair: pair["stored"] / max(pair["md5"], pair["sha256"]))
    rows.append(Row(f"{figure}, stored", "s", stored, against, floor, f"<= {MOST}x", ratio <= MOST))
    return rows


def _bytes(folder: Path, options: Options, *, shared: bool) -> list[Row]:
    """Measure the space on the file system that a file takes if it is logged twice and downloaded."""
    with _place(folder) as place:
        used = _used if shared else _used_by_files
        before = used(place)
        source = _make(place / "source", options.artifact_mb)
        run_script(ours("artifact_files", "keep", place, source), place)
        lost = (used(place) - before) / (options.artifact_mb * MB)
    allowed, how = (1.0, "blocks shared") if shared else (3.0, "copies")
    figure = f"file logged twice and downloaded, {how}: space it takes"
    # The catalog, the run and the manifest are less than a hundredth.
    return [Row(figure, "files", lost, target=f"{allowed:g} (original included)", met=lost < allowed + 0.01)]


def log(folder: str, source: str, policy: str) -> None:
    """Log a file; report how long the caller's thread waited, and when everything was stored."""
    import tracker

    run = tracker.init(project="benchmark")
    warm = tracker.Artifact("warm", "model")
    with warm.new_file("w") as file:
        file.write("everything that is loaded once")
    run.log_artifact(warm).wait()
    artifact = tracker.Artifact("model", "model")
    start = time.perf_counter()
    artifact.add_file(source, name="model.ckpt", policy=policy)  # type: ignore[arg-type]
    run.log_artifact(artifact)
    thread = time.perf_counter() - start
    artifact.wait()
    stored = time.perf_counter() - start
    run.finish()
    print_answer({"thread": thread, "stored": stored, "version": artifact.version})


def keep(folder: str, source: str) -> None:
    """Log a file twice and download it."""
    import tracker

    run = tracker.init(project="benchmark")
    for _ in range(2):
        artifact = tracker.Artifact("model", "model")
        artifact.add_file(source, name="model.ckpt")
        run.log_artifact(artifact).wait()
    if artifact.version != "v0":
        raise ScriptError("The second logging of the same file made a second version.")
    artifact.download(os.path.join(folder, "downloaded"))
    run.finish()
    print_answer({})


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    place = folder / "place"
    place.mkdir()
    try:
        yield place
    finally:
        wait_for_recorder_end(place)
        shutil.rmtree(place)


def wait_for_recorder_end(place: Path) -> None:
    """Wait until the recorder has ended, because it would write into the folder to delete."""
    import fcntl

    for lock in place.rglob("locks/recorder-*.lock"):
        with suppress(FileNotFoundError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)


def _make(path: Path, megabytes: int) -> Path:
    """Make a file of random bytes that is both on the disk and in the page cache."""
    piece = os.urandom(MB)
    with path.open("wb") as file:
        for at in range(megabytes):
            file.write(at.to_bytes(8, "little") + piece[8:])
        file.flush()
        os.fsync(file.fileno())
    return path


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _used_by_files(folder: Path) -> int:
    """Return the bytes of all files, each counted once: other programs use the free space of the disk too."""
    os.sync()
    found = {info.st_ino: info.st_blocks for path in folder.rglob("*") if (info := path.lstat())}
    return 512 * sum(found.values())


def _used(folder: Path) -> int:
    """Return the used bytes of a file system that no other program uses. Shared blocks count once."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@contextmanager
def _xfs(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """Mount an XFS with shared blocks from a file; yield None if that is not possible."""
    image, mounted = folder / "xfs.img", folder / "xfs"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(int((3 * megabytes + 1024) * SLACK) * MB)
    try:
        for command in (
            ["mkfs.xfs", "-q", "-m", "reflink=1", image],
            ["mount", "-o", "loop", image, mounted],
        ):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


if __name__ == "__main__":
    {"log": log, "keep": keep}[sys.argv[1]](*sys.argv[2:])
