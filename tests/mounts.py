"""Mounts for tests: see ``benchmarks.mounts``."""

from __future__ import annotations

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
