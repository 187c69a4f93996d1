"""A fake driver library of NVIDIA, and the setting that turns on the facts of a run's start."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def with_facts(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture everything that is captured by default."""
    monkeypatch.delenv("TRACKER_X_DISABLE_META")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a real shared library ``libnvidia-ml.so.1``, for ``LD_LIBRARY_PATH``."""
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("fake_nvml.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(target), str(source)], check=True)
    return folder
