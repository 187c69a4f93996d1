"""Fixtures of all tests: an own folder, no settings from outside, and the end of open runs."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripts
from forking import fork_recorder
from hypothesis import HealthCheck, settings

from tracker.ground import launch
from tracker.ground.processes import host_name
from tracker.recorder import election
from tracker.recorder.open_store import open_store
from tracker.sdk.process import active_runs
from tracker.store.store import Store

# Time limits in seconds for tests of these suites; pyproject.toml has the limit of other tests.
LIMITS = {
    "slow": 900,
    "nightly": 1500,
    "lightning": 1500,
    "clients": 400,
    "importers": 400,
    "differential": 600,
    "wandb_client": 400,
    "package": 900,
    "mounts": 300,
    "cluster": 600,
    "containers": 1200,
}

# Folders whose subject is the recorder: its process is started as users start it.
STARTS_RECORDERS = ("recorder", "faults", "soak", "door")

# Files of a suite that import libraries for seconds, which each worker would do to collect them.
IMPORT_MUCH = {"tests/lightning/test_logger.py": "lightning", "tests/integration/test_sklearn.py": "slow"}

# A shell that runs the tests in the background ignores SIGINT, and so would the scripts that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

START_RECORDER = election._start
election._start = lambda layout, lock: fork_recorder(  # type: ignore[assignment]
    str(layout.recorder_failures(host_name())), str(layout.root), lock
)

# No deadline: the time of an example depends on other programs on the machine.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("ours")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the files of ``IMPORT_MUCH`` whose suite is left out."""
    path = collection_path.as_posix()
    left_out = config.option.markexpr or ""
    suites = [suite for name, suite in IMPORT_MUCH.items() if path.endswith(name)]
    return True if any(f"not {suite}" in left_out for suite in suites) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the time limits of slow suites, and order the files for several processes.

    Files with few tests come first, because their tests are long scenarios. If a long test started last, the
    other processes would be idle at the end.
    """
    tests_in_file = Counter(item.path for item in items)
    items.sort(key=lambda item: tests_in_file[item.path])
    for item in items:
        limits = [limit for suite, limit in LIMITS.items() if item.get_closest_marker(suite)]
        if limits:
            item.add_marker(pytest.mark.timeout(max(limits)))


def pytest_collection_finish() -> None:
    """Let no garbage collection look at the imported modules and the collected tests again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let the end of the process free everything: some extension modules report what stays."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the command for one file; after failures, the commands for the files that failed."""
    failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
    files = sorted({report.nodeid.partition("::")[0] for report in failed}) or ["tests/test_names.py"]
    terminalreporter.write_sep("-", "to run one file" if not failed else "to run the files that failed")
    for file in files[:10]:
        terminalreporter.write_line(f"python3 dev.py test {file}")


def use_own_settings(patch: pytest.MonkeyPatch) -> None:
    """Remove the TRACKER_* and WANDB_* variables, and set those of tests."""
    for name in list(os.environ):
        if name.startswith(("TRACKER_", "WANDB_")):
            patch.delenv(name)
    # Without metadata files: many tests count files. tests/capture tests the metadata.
    patch.setenv("TRACKER_X_DISABLE_META", "true")
    # By default, a recorder tries for a day to send to a server that does not exist.
    patch.setenv("TRACKER_SENDING_SECONDS", "1")


@pytest.fixture(autouse=True, scope="session")
def alone_from_the_start() -> Iterator[None]:
    """Use no settings and no working tree of the user in fixtures of modules, which come before ``alone``."""
    with pytest.MonkeyPatch.context() as patch:
        use_own_settings(patch)
        yield


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Use an empty folder and no TRACKER_* or WANDB_* variables; finish runs that a test leaves open."""
    use_own_settings(monkeypatch)
    # Files in the home folder of the user who runs the tests must not be read or changed.
    monkeypatch.setenv("TRACKER_CONFIG_DIR", str(tmp_path / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "_launched_in", str(tmp_path))
    yield
    for run in list(active_runs._open):
        run.finish()


@pytest.fixture(autouse=True)
def seed_random_numbers() -> None:
    """Use the same random numbers in each run of a test."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def started_recorders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the recorders of runs as users do, in the folders that test this. Elsewhere they are forked."""
    if request.path.parent.name in STARTS_RECORDERS:
        monkeypatch.setattr(election, "_start", START_RECORDER)
    else:
        monkeypatch.setattr(scripts, "recorders_are_forked", True)


@pytest.fixture
def without_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no recorder for the runs of this process. ``Api`` applies their journals before it answers.

    A recorder takes 0.7 s of CPU time. The fixture is for tests of what a run logs and where. Scripts that a
    test starts still have recorders.
    """
    monkeypatch.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a new store."""
    opened = open_store(tmp_path / "tracker-store")
    yield opened
    opened.close()
