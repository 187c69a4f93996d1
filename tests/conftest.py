"""What all tests share: a folder of their own, no settings from outside, runs that end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.sdk import active
from tracker.store.store import Store


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Work in an empty folder, without TRACKER_* and WANDB_* variables; end the runs a test leaves open."""
    for name in list(os.environ):
        if name.startswith(("TRACKER_", "WANDB_")):
            monkeypatch.delenv(name)
    # Files of facts would be among those that tests count; tests/capture has them.
    monkeypatch.setenv("TRACKER_X_DISABLE_META", "true")
    # What commands note in a home folder, and what a person has there.
    monkeypatch.setenv("TRACKER_CONFIG_DIR", str(tmp_path / ".config"))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.chdir(tmp_path)
    yield
    for run in list(active._open):
        run.finish()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    opened = Store(tmp_path / "tracker-store")
    yield opened
    opened.close()
