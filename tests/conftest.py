"""What all tests share: a folder of their own, no settings from outside, runs that end."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tracker.ground import launch
from tracker.recorder.open_store import open_store
from tracker.sdk.process import active_runs
from tracker.store.store import Store

# Seconds after which a test of these suites hangs; pyproject.toml has the limit of all others.
LIMITS = {
    "slow": 900,
    "lightning": 1500,
    "clients": 400,
    "differential": 600,
    "package": 900,
    "mounts": 300,
    "containers": 1200,
}

# Other programs may have the machine: how long an example takes says nothing.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of suites that take long more time; order the files for several processes.

    Files of few tests come first: their tests are whole scenarios that take long. One that starts last would
    keep a single process busy at the end.
    """
    tests_in_file = Counter(item.path for item in items)
    items.sort(key=lambda item: tests_in_file[item.path])
    for item in items:
        limits = [limit for suite, limit in LIMITS.items() if item.get_closest_marker(suite)]
        if limits:
            item.add_marker(pytest.mark.timeout(max(limits)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how to run one file; after failures, the files that failed."""
    failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
    files = sorted({report.nodeid.partition("::")[0] for report in failed}) or ["tests/test_names.py"]
    terminalreporter.write_sep("-", "to run one file" if not failed else "to run the files that failed")
    for file in files[:10]:
        terminalreporter.write_line(f"python3 dev.py test {file}")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Work in an empty folder, without TRACKER_* and WANDB_* variables; end the runs a test leaves open."""
    for name in list(os.environ):
        if name.startswith(("TRACKER_", "WANDB_")):
            monkeypatch.delenv(name)
    # Files of facts would be among those that tests count; tests/capture has them.
    monkeypatch.setenv("TRACKER_X_DISABLE_META", "true")
    # A recorder of a server that never comes must not stay for a day after its test.
    monkeypatch.setenv("TRACKER_SENDING_SECONDS", "1")
    # What commands note in a home folder, and what a person has there.
    monkeypatch.setenv("TRACKER_CONFIG_DIR", str(tmp_path / ".config"))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "_launched_in", str(tmp_path))
    yield
    for run in list(active_runs._open):
        run.finish()


@pytest.fixture(autouse=True)
def drawn_alike() -> None:
    """Draw the same random numbers in each run of a test: weights of models, rows of arrays, samples."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    opened = open_store(tmp_path / "tracker-store")
    yield opened
    opened.close()
