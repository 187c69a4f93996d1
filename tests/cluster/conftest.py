"""A real Slurm for the tests of this folder. Their jobs run at the same time, because they mostly wait."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import scripts
import slurm

import tracker
from tracker.api.run import Run

EXAMPLES = scripts.ROOT / "examples" / "cluster"


class Jobs(NamedTuple):
    """A Slurm and a folder with the job scripts, in which jobs are submitted.

    Attributes:
        variables: Environment of the commands.
    """

    folder: Path
    variables: dict[str, str]

    @property
    def store(self) -> Path:
        return self.folder / "tracker-store"

    def command(self, *command: str, check: bool = True) -> str:
        """Run a command in the folder, and return its output."""
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0 or not check, (command, done.stderr)
        return done.stdout.strip()

    def submit(self, *arguments: str) -> str:
        """Submit a job, and return its number."""
        return self.command("sbatch", "--parsable", *arguments)

    def run(self, path: str) -> Run | None:
        """Return a run, or None if it does not exist yet."""
        try:
            return tracker.Api({"store": self.store}).run(path)
        except (tracker.errors.Error, ValueError):
            return None

    def output(self, job: str) -> str:
        return "\n".join(file.read_text() for file in self.folder.glob(f"slurm-{job}*.out"))


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    if (reason := slurm.missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("jobs")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as variables:
        environment = scripts.HERE.environment(**variables, TRACKER_STORE=str(folder / "tracker-store"))
        environment.pop("TRACKER_X_DISABLE_META", None)  # commands find runs by their job
        environment["PATH"] = f"{Path(scripts.HERE.python).parent}{os.pathsep}{environment['PATH']}"
        yield Jobs(folder, environment)
