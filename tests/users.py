"""Running Python as another user. Only root can do this."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import scripts

# User id and group id, without an entry in /etc/passwd.
User = tuple[int, int]
PACKAGES = os.pathsep.join((str(scripts.ROOT), sysconfig.get_path("purelib")))


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Make a folder that every user can enter: only root can enter the folders of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="tracker-users-"))
    folder.chmod(0o755)
    yield folder
    scripts.wait_for_recorders(folder)  # one that has just started would make its store again
    shutil.rmtree(folder)


def find_python(user: User) -> str:
    """Return an interpreter that another user may run. The current one may be in a private folder of root."""
    for path in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        command = [path, "-c", "import tracker.recorder.follow, tracker.store.store, PIL"]
        try:
            found = subprocess.run(
                command, user=user[0], group=user[1], extra_groups=[], cwd="/", env={"PYTHONPATH": PACKAGES}
            )
        except PermissionError:
            continue
        if found.returncode == 0:
            return path
    pytest.skip("other users cannot run this Python, or read this folder")
