"""Temporary files for journals."""

from __future__ import annotations

import os
from pathlib import Path


class Staging:
    """Temporary files, one for each segment. Use it as a context manager, which removes them at the end.

    Args:
        folder: The folder of the files: the ``tmp`` folder of a store, so that garbage collection removes the
            files of a killed process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._token = os.urandom(16).hex()

    def path(self, segment: str) -> Path:
        """Return the path for the journal of a segment."""
        return self.folder / f"{self._token}-{segment}"

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self.folder.glob(f"{self._token}-*"):
            path.unlink(missing_ok=True)
