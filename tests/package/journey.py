"""The first steps of a new user with an installed package: log, read, run a wandb script, serve.

``test_package.py`` runs this script with each Python in an empty folder. It needs only
``airgap-tracker[server]``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import tracker

COMMAND = [str(Path(sys.executable).with_name("tracker"))]
WANDB_SCRIPT = """
import wandb
from tracker import Tracker
assert Tracker.of == "the repository"
with wandb.init(project="door", id="second", config={"lr": 0.1}) as run:
    run.log({"loss": 0.5})
    run.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])})
"""


def command(*arguments: str) -> str:
    """Run a command of tracker, which must succeed; return its output."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def log() -> None:
    """Log rows, an artifact with an alias, and a run of a worker process that fails."""
    run = tracker.init(project="smoke", id="first", config={"lr": 0.01, "net": {"depth": 3}})
    run.define_metric("loss", summary="min")
    for step in range(20):
        run.log({"loss": 1 / (step + 1), "nested": {"step": step}})
    artifact = tracker.Artifact("model", type="model", metadata={"kind": "smoke"})
    with artifact.new_file("weights.txt") as file:
        file.write("0.5")
    run.log_artifact(artifact, aliases=["best"])
    run.finish()
    failed = subprocess.run(
        [sys.executable, "-c", "import tracker; tracker.init(project='smoke', id='bad'); 1 / 0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert failed.returncode == 1 and "ZeroDivisionError" in failed.stderr, failed.stderr


def read() -> None:
    """Read everything back with ``Api``."""
    api = tracker.Api()
    run = api.run("smoke/first")
    rows = run.history(pandas=False)
    assert [row["loss"] for row in rows] == [1 / (step + 1) for step in range(20)]
    assert run.config == {"lr": 0.01, "net": {"depth": 3}}
    assert run.summary["loss"] == {"min": 0.05}, run.summary["loss"]
    assert (run.state, api.run("smoke/bad").state) == ("finished", "failed")
    folder = Path(api.artifact("smoke/model:best").download())
    assert (folder / "weights.txt").read_text() == "0.5"


def add_another_tracker() -> None:
    """Put a repository with its own modules tracker and server first on PYTHONPATH."""
    repository = Path("repository").absolute()
    repository.mkdir()
    (repository / "tracker.py").write_text("class Tracker:\n    of = 'the repository'\n")
    (repository / "server.py").write_text("")
    os.environ["PYTHONPATH"] = str(repository)


def run_wandb_script() -> None:
    """Run with ``tracker run`` a script that imports wandb and the repository's tracker."""
    Path("train.py").write_text(WANDB_SCRIPT)
    command("run", sys.executable, "train.py")
    run = tracker.Api().run("door/second")
    assert (run.state, run.summary["loss"]) == ("finished", 0.5)


def serve() -> None:
    """Start a server on a free port, request the runs and the page, and stop the server."""
    server = subprocess.Popen([*COMMAND, "server", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        url = next(word for line in lines for word in line.split() if word.startswith("http://"))
        runs = tracker.Api({"base_url": url, "entity": "local"}).runs("smoke")  # with the key of the owner
        assert {run.id for run in runs} == {"first", "bad"}
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"<script" in page.read()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) in (0, -signal.SIGTERM)


def main() -> None:
    """Run all steps."""
    log()
    read()
    add_another_tracker()
    run_wandb_script()
    serve()
    command("verify")
    command("doctor")
    print("everything works on", sys.version.split()[0])


if __name__ == "__main__":
    main()
