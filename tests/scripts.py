"""Running a script in a process of its own, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


class Installation(NamedTuple):
    """An interpreter and the tracker that it imports.

    Attributes:
        python: The interpreter.
        path: A source tree to import from; None for the packages of the interpreter alone.
    """

    python: str
    path: Path | None = None

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of this process, with this installation's tracker importable."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, **({} if self.path is None else {"PYTHONPATH": str(self.path)}), **variables}


HERE = Installation(sys.executable, ROOT)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a script: this one, with the source tree importable."""
    return HERE.environment(**variables)


def start(code: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Start Python on ``code`` in ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, folder: Path, *, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python on ``code`` in ``folder`` to its end."""
    process = start(code, folder, **variables)
    out, err = process.communicate(timeout=120)
    if check and process.returncode != 0:
        raise AssertionError(f"the script failed with {process.returncode}:\n{out}\n{err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Return the first true answer of ``condition``; fail when there is none for ``seconds``."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)
    return answer
