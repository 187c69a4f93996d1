"""Scripts of the figure ``wandb`` that use the real wandb client. They need only its Python.

python wandb_client.py COMMAND ...
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
from typing import Any

import wandb

PROJECT = "benchmark"


def log(run_id: str, count: str, keys: str) -> dict[str, Any]:
    """Log rows as fast as possible; return the seconds until ``finish()`` returns."""
    chance = random.Random(4)
    rows = [{f"metric/{at}": chance.gauss(0, 1) for at in range(int(keys))} for _ in range(int(count))]
    run = _begin(run_id)
    start = time.perf_counter()
    for row in rows:
        run.log(row)
    logged = time.perf_counter()
    run.finish()
    return {"seconds": time.perf_counter() - start, "loop": logged - start}


def live(rows_a_second: str, *names: str) -> None:
    """Log runs at a rate, as ``server_under_load`` does with ``tracker``."""
    runs = [_begin(name) for name in names]
    print("ready", flush=True)
    sys.stdin.readline()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    rows, begun = 0, time.monotonic()
    while not stop.wait(max(0.0, begun + rows / int(rows_a_second) - time.monotonic())):
        for run in runs:
            run.log({"loss": 1 / (rows + 1), "logged_at": time.time()})
        rows += 1
    print(rows * len(runs), flush=True)
    for run in runs:
        run.finish()


def upload(run_id: str, path: str) -> dict[str, Any]:
    """Log a file as an artifact, without the client's cache; return the seconds until it is committed."""
    run = _begin(run_id)
    start = time.perf_counter()
    artifact = wandb.Artifact("file", "dataset")
    artifact.add_file(path, name="content", policy="immutable", skip_cache=True)
    run.log_artifact(artifact).wait()
    seconds = time.perf_counter() - start
    run.finish()
    return {"seconds": seconds}


def download(name: str) -> dict[str, Any]:
    """Download this artifact, without the client's cache, into a new folder: a file that exists is kept."""
    folder = tempfile.mkdtemp(prefix=name, dir=".")
    artifact = wandb.Api().artifact(f"{PROJECT}/file:latest")
    start = time.perf_counter()
    artifact.download(folder, skip_cache=True)
    seconds = time.perf_counter() - start
    with open(f"{folder}/content", "rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    shutil.rmtree(folder)
    return {"seconds": seconds, "md5": md5}


def scan(path: str, count: str) -> dict[str, Any]:
    """Read all rows of a run."""
    run = wandb.Api(timeout=300).run(path)
    start = time.perf_counter()
    found = sum(1 for _ in run.scan_history())
    assert found == int(count), f"{found} rows of {count} were read"
    return {"seconds": time.perf_counter() - start, "cpu": _cpu()}


def runs(path: str, count: str) -> dict[str, Any]:
    """List all runs of a project, with config and summary."""
    start = time.perf_counter()
    listed = wandb.Api(timeout=300).runs(path, lazy=False)
    found = sum(1 for run in listed if dict(run.config) and run.summary is not None)
    assert found == int(count), f"{found} runs of {count} were read"
    return {"seconds": time.perf_counter() - start, "cpu": _cpu()}


def _begin(run_id: str) -> Any:
    settings = wandb.Settings(console="off", x_disable_stats=True, silent=True)
    return wandb.init(project=PROJECT, id=run_id, reinit="create_new", settings=settings)


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


COMMANDS = {
    "log": log,
    "live": live,
    "upload": upload,
    "download": download,
    "scan": scan,
    "runs": runs,
}

if __name__ == "__main__":
    answer = COMMANDS[sys.argv[1]](*sys.argv[2:])
    if answer is not None:
        print("\n" + json.dumps(answer), flush=True)
