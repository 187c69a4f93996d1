"""What git knows of the program's folder. It may not ask, nor wait long, nor run what a repository names."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import NamedTuple

from tracker.capture.secrets import hide_in_address

PATIENCE_SECONDS = 10.0
# A difference is kept up to this many bytes.
LARGEST_DIFFERENCE = 10 * 1024 * 1024
# No question at the terminal, no lock that a commit would wait for, no program that a config names.
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.pager=cat", "--no-pager")


class Repository(NamedTuple):
    """A working tree.

    Attributes:
        root: Its folder.
        commit: What is checked out; None before the first commit.
        remote: Address of ``origin``, without passwords.
        email: Of who commits here.
    """

    root: str
    commit: str | None
    remote: str | None
    email: str | None


def find_repository(folder: str) -> Repository | None:
    """Return the repository that a folder lies in; None without one, without git, or where git refuses."""
    root = _ask(folder, "rev-parse", "--show-toplevel")
    if root is None:
        return None
    remote = _ask(folder, "config", "--get", "remote.origin.url")
    return Repository(
        root,
        _ask(folder, "rev-parse", "--verify", "HEAD"),
        hide_in_address(remote) if remote else None,
        _ask(folder, "config", "--get", "user.email"),
    )


def difference(repository: Repository) -> bytes | None:
    """Return how tracked files differ from the commit, staged or not; None when they do not, or git fails.

    What is beyond ``LARGEST_DIFFERENCE`` is cut off, and a last line says so.
    """
    against = repository.commit or "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the tree that has nothing
    command = ["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", against]
    with suppress(OSError):
        with _start(repository.root, *command) as process:
            assert process.stdout is not None
            killer = _Killer(process)
            data = process.stdout.read(LARGEST_DIFFERENCE + 1)
            killer.stop()
            if len(data) > LARGEST_DIFFERENCE:
                process.kill()
                kept = data[:LARGEST_DIFFERENCE]
                return kept + f"\n# cut off here: more than {LARGEST_DIFFERENCE} bytes differ\n".encode()
            process.wait()
            return data if data and process.returncode == 0 else None
    return None


class _Killer:
    """Ends a process that takes too long."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import threading

        self._timer = threading.Timer(PATIENCE_SECONDS, process.kill)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """It was quick enough."""
        self._timer.cancel()


def _start(folder: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", *_OPTIONS, *command],
        cwd=folder,
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ask(folder: str, *command: str) -> str | None:
    try:
        process = _start(folder, *command)
    except OSError:  # no git
        return None
    try:
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    text = out.decode("utf-8", "replace").strip()
    return text if process.returncode == 0 and text else None
