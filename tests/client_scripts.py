"""A runner of scripts with unmodified client libraries, through ``tracker run``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import scripts

# Time limit of a script, in seconds.
SECONDS = 300


class Client:
    """A runner of scripts in a folder, with the Python that has the client libraries.

    A script passes results of its library to the test in the file ``reported.json``.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.folder = folder

    def run(self, code: str, *arguments: str, program: str = "train.py", **variables: str) -> Any:
        """Run ``code`` with ``tracker run python train.py``; return the content of ``reported.json``."""
        (self.folder / program).write_text(code)
        environment = scripts.environment(
            HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", KERAS_BACKEND="torch", **variables
        )
        environment["PATH"] = f"{self.python.parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            [self.python, "-m", "tracker.cli.main", "run", "python", program, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.out, self.err = done.stdout, done.stderr
        if done.returncode != 0:
            raise AssertionError(f"{program} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        reported = self.folder / "reported.json"
        return json.loads(reported.read_text()) if reported.is_file() else None
