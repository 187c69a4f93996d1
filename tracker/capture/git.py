"""Facts from git about the program's folder.

Git must not ask questions, wait long, or run programs that a repository configures.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import NamedTuple

from tracker.capture.secrets import hide_in_address

PATIENCE_SECONDS = 10.0
# The largest difference that is stored, in bytes.
LARGEST_DIFFERENCE = 10 * 1024 * 1024
# No prompt at the terminal, and no lock that a commit would wait for.
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.pager=cat", "--no-pager")


class Repository(NamedTuple):
    """A git working tree.

    Attributes:
        root: Its folder.
        commit: The checked-out commit, or None before the first commit.
        remote: The address of ``origin``, without passwords.
        email: The email address of the committer.
    """

    root: str
    commit: str | None
    remote: str | None
    email: str | None


def find_repository(folder: str) -> Repository | None:
    """Return the repository of a folder, or None without a repository or git, or if git refuses."""
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
    """Return the difference of tracked files to the commit, staged or not. None if it is empty or git fails.

    A difference above ``LARGEST_DIFFERENCE`` is cut, and its last line states this.
    """
    against = repository.commit or "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the id of the empty tree
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
                return kept + f"\n# cut off: the difference is above {LARGEST_DIFFERENCE} bytes\n".encode()
            process.wait()
            return data if data and process.returncode == 0 else None
    return None


class _Killer:
    """Kills a process that takes too long."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import threading

        self._timer = threading.Timer(PATIENCE_SECONDS, process.kill)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """Cancel the timer."""
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
    except OSError:  # git is not installed
        return None
    try:
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    text = out.decode("utf-8", "replace").strip()
    return text if process.returncode == 0 and text else None
