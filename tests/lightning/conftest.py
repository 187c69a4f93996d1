"""Tests in ``page`` run in a process for each door; see ``test_doors.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

# `DOOR=1 python -m pytest tests/lightning/page` runs them directly.
collect_ignore = [] if "DOOR" in os.environ else ["page"]

# Read at import, because tests run without the variables of the caller.
_SERVER = {name: os.environ.get(name, "") for name in ("WANDB_BASE_URL", "WANDB_API_KEY")}
_entities = count()


@pytest.fixture(autouse=True)
def own_entity(alone: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """For the real wandb, set the server that all tests share, and an entity of this test."""
    if os.environ.get("DOOR") != "3":
        yield
        return
    import wandb

    settings = {**_SERVER, "WANDB_ENTITY": f"test-{next(_entities)}", "WANDB_CACHE_DIR": str(tmp_path / "c")}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield
    wandb.finish()  # of a run that the test leaves open
    wandb.teardown()  # the next test has other settings
