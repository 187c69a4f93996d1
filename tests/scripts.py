"""Helpers that run a script in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from forking import template
from started import sitecustomize

from tracker.store.catalog.locks import is_held

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
# Whether the recorders of scripts are forked; tests/conftest.py sets it for each test.
recorders_are_forked = False


class Installation(NamedTuple):
    """A Python interpreter and the tracker that it imports.

    Attributes:
        python: Path of the interpreter.
        path: Source tree from which tracker is imported; None for the interpreter's own packages.
    """

    python: str
    path: Path | None = None

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of this process, changed so that it imports this installation's tracker."""
        # pytest-xdist sets COLUMNS, which has priority over the size of a terminal.
        dropped = ("PYTHONPATH", "COLUMNS", "LINES")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {**kept, **({} if self.path is None else {"PYTHONPATH": str(self.path)}), **variables}


HERE = Installation(sys.executable, ROOT)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a script that imports tracker from the source tree."""
    if not recorders_are_forked:
        return HERE.environment(**variables)
    return HERE.environment(
        **{
            "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(sitecustomize.__file__).parent}",
            sitecustomize.VARIABLE: f"{template().path}:{sitecustomize.namespaces()}",
            **variables,
        }
    )


def start(code: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a Python process that runs ``code`` in ``folder``."""
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
    """Run ``code`` in a Python process in ``folder``, and wait for its end."""
    with start(code, folder, **variables) as process:
        try:
            out, err = process.communicate(timeout=100)  # less than the limit of a test
        except BaseException:
            process.kill()  # a script that runs on would slow down the tests after this one
            raise
    if check and process.returncode != 0:
        raise AssertionError(f"the script failed with {process.returncode}:\n{out}\n{err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition: Callable[[], T], what: str, seconds: float = 90.0) -> T:
    """Call ``condition`` until it returns a true value; return the value. Fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"timeout after {seconds} s: no {what}")
        time.sleep(0.05)
    return answer


def recorders(root: Path) -> list[int]:
    """Return the process ids of the recorders of the stores at or in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"tracker.recorder.startup" in words and any(
                    Path(os.fsdecode(word)).is_relative_to(root) for word in words
                ):
                    found.append(int(entry.name))
    return found


def wait_for_recorders(root: Path) -> None:
    """Wait until the recorders of the stores at or in a folder have ended, forked ones too."""

    def have_ended() -> bool:
        locks = (Path(at, name) for at, _, names in os.walk(root) if at.endswith("/locks") for name in names)
        return not recorders(root) and not any(is_held(at) for at in locks if at.name.startswith("recorder-"))

    wait_for(have_ended, f"end of the recorders in {root}")
