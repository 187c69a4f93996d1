"""Two mounts of one folder that do not share file locks, like two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import mounts


@contextmanager
def two_mounts(folder: Path, second_user: str = "root") -> Iterator[tuple[Path, Path]]:
    """Yield two mount points of ``folder/shared``; skip the test if this is not possible.

    Args:
        folder: See ``benchmarks.mounts.two_mounts``.
        second_user: See ``benchmarks.mounts.two_mounts``.
    """
    if why := mounts.missing():
        pytest.skip(why)
    with mounts.two_mounts(folder, second_user) as found:
        yield found
