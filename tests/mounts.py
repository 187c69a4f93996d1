"""Mounts for tests: see ``benchmarks.mounts``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import mounts


def skip_without_sshfs() -> None:
    """Skip the test if this machine cannot mount with sshfs."""
    if why := mounts.missing():
        pytest.skip(why)


@contextmanager
def two_mounts(folder: Path, second_user: str = "root") -> Iterator[tuple[Path, Path]]:
    """Yield two mount points of ``folder/shared``; skip the test if this is not possible.

    Args:
        folder: See ``benchmarks.mounts.two_mounts``.
        second_user: See ``benchmarks.mounts.two_mounts``.
    """
    skip_without_sshfs()
    with mounts.two_mounts(folder, second_user) as found:
        yield found


def sshfs_of(mount: Path) -> int:
    """Return the id of the sshfs process of a mount."""
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words[0].endswith(b"sshfs") and os.fsencode(mount) in words:
                return int(each.name)
    raise AssertionError(f"{mount} has no sshfs")
