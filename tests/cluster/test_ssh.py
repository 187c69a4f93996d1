"""The job script for hosts without Slurm, as written: two processes over ssh, which one folder connects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import HERE, ROOT, wait_for

import tracker
from benchmarks import mounts

from .conftest import EXAMPLES

pytestmark = pytest.mark.cluster
DOCUMENT = (ROOT / "docs" / "cluster.md").read_text()
# Two names of this host.
HOSTS = ["127.0.0.1", "localhost"]


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Copy the job script, and start an ssh server; yield the environment in which the script reaches it."""
    if os.getuid() or not (shutil.which("ssh") and os.path.exists(mounts.SSHD)):
        pytest.skip("needs root, ssh and sshd")
    shutil.copytree(EXAMPLES, tmp_path / "jobs")
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o711)
    # The shell of ssh has another environment than this process.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={HERE.path} exec {HERE.python} "$@"\n')
    python.chmod(0o755)
    with mounts.sshd(keys) as port:
        options = f"-p {port} -i {keys / 'user'} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        yield {
            **os.environ,
            "SSH": f"ssh {options} -o LogLevel=ERROR",
            "PYTHON": str(python),
            "MASTER_PORT": str(port + 1 if port < 65535 else port - 1),
            "TRACKER_RUN_ID": "job",
        }


def begin(folder: Path, variables: dict[str, str], epochs: int) -> subprocess.Popen[str]:
    """Run the command of the document, with names of this host, and with another number of epochs."""
    (documented,) = re.findall(r"^\./ssh\.sh node1 node2 .*--epochs \d+", DOCUMENT, re.MULTILINE)
    command = documented.replace("node1 node2", " ".join(HOSTS)).split()
    return subprocess.Popen(
        [*command, "--epochs", str(epochs), "--pause", "0.05"],
        cwd=folder / "jobs",
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_ranks_write_one_run_that_a_signal_preempts_and_that_continues(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    store = tmp_path / "jobs" / "tracker-store"

    def run() -> tracker.api.run.Run:
        return tracker.Api({"store": store}).run("cluster/job")

    def reached(step: int) -> bool:
        try:
            return (run().lastHistoryStep or 0) >= step and len(run().segments) == 2
        except (tracker.errors.Error, ValueError):  # it does not exist yet
            return False

    script = begin(tmp_path, variables, 100_000)
    wait_for(lambda: reached(3) or script.poll() is not None, "rows")
    script.terminate()
    output, _ = script.communicate(timeout=60)
    assert script.returncode != 0, output
    assert run().state == "preempted", output
    # Rank 1 may notice that rank 0 is gone before it gets the signal itself.
    assert {each.rank: each.state for each in run().segments}[1] in ("preempted", "failed")
    reached_step = run().lastHistoryStep

    script = begin(tmp_path, variables, reached_step + 10)
    output, _ = script.communicate(timeout=90)
    assert script.returncode == 0, output
    assert run().state == "finished"
    assert sorted((each.rank, each.attempt) for each in run().segments) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    rows = run().history(keys=["loss"], samples=10_000, pandas=False)
    assert [row["_step"] for row in rows] == list(range(reached_step + 10))
    assert not list((tmp_path / "jobs").glob("*.pid"))
