"""A runner of scripts with unmodified client libraries: through ``tracker run``, or with the real wandb."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import scripts
from serving import Server

# Time limit of a script, in seconds.
SECONDS = 300


class Client:
    """A runner of scripts in a folder, with the Python that has the client libraries.

    A script passes results of its library to the test in the file ``reported.json``.

    Args:
        python: The interpreter.
        folder: The folder.
        server: Server to which the real wandb logs. Without one, scripts run through ``tracker run``.
        wandb: Folder with the real wandb. Required with ``server``.
    """

    def __init__(
        self, python: Path, folder: Path, server: Server | None = None, wandb: Path | None = None
    ) -> None:
        self.python = python
        self.folder = folder
        self.server = server
        self.wandb = wandb

    def run(self, code: str, *arguments: str, program: str = "train.py", **variables: str) -> Any:
        """Run ``code`` as ``train.py`` through the door; return the content of ``reported.json``."""
        (self.folder / program).write_text(code)
        door = [self.python, "-m", "tracker.cli.main", "run", "python"]
        if self.server is not None:
            door = [self.python]
            variables |= {
                "PYTHONPATH": str(self.wandb),
                "HOME": str(self.folder / "home"),
                "WANDB_BASE_URL": self.server.url,
                "WANDB_API_KEY": self.server.key or "",
            }
        environment = scripts.environment(
            HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", KERAS_BACKEND="torch", **variables
        )
        environment["PATH"] = f"{self.python.parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            [*door, program, *arguments],
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
