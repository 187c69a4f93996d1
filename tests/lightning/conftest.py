"""Tests in ``page`` run in two processes, one for each way to import tracker; see ``test_doors.py``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# `DOOR=1 python -m pytest tests/lightning/page` runs them directly.
collect_ignore = [] if "DOOR" in os.environ else ["page"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import PyTorch Lightning when its suite is left out: each worker would take seconds for it."""
    left_out = "not lightning" in (config.option.markexpr or "")
    return True if left_out and collection_path.name == "test_logger.py" else None
