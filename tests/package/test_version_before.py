"""Tests of this version together with the previous one: clients, servers, ``Api`` and stores of both."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scripts
from scripts import HERE, Installation
from sending import sent
from serving import Server, serving
from wheels import VERSION_BEFORE, build_wheel, checkout, install

from tracker.store.catalog.locks import is_held
from tracker.store.objects.layout import Layout

pytestmark = pytest.mark.package

EXCHANGE = Path(__file__).with_name("exchange.py")
LOGGED = {
    "state": "finished",
    "config": "{'lr': 0.1, 'net': {'depth': 3}, 'odd': nan}",
    "summary": f"{{'loss': {{'min': 0.0002}}, 'note': 'at the end', 'text': 'grüße ✓', 'big': {2**70}}}",
    "rows": 5002,
    "losses": True,
    "odd": "[1.0, nan, inf, -inf]",
    "text": [f"{2**70}grüße ✓"],
    "image": ["pixels", 4, True],
    "table": [2, ["a", "b"], [[1, "x"], [math.inf, None]]],
    "aliases": {"v0": ["best", "latest"]},
    "artifact": ["v0", {"kind": "exchanged"}, True, True],
    "console": ["printed by the script", "an error line"],
    "used": [],
    "edited": [[], None],
    "runs": ["exchanged"],
}
RESUMED = {
    **LOGGED,
    "summary": LOGGED["summary"].replace("0.0002", "0.0"),  # type: ignore[attr-defined]
    "rows": 5003,
    "aliases": {"v1": ["best", "latest"], "v0": ["first"]},
    "artifact": ["v1", {}, True, False],
    "used": ["model:v0"],
    "edited": [["edited"], "edited"],
}
# In the previous version a definition applied only to its own attempt (decision 30).
RESUMED_THERE = {**RESUMED, "summary": RESUMED["summary"].replace("{'min': 0.0}", "0.0")}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel of the previous version in its own environment."""
    folder = tmp_path_factory.mktemp("before")
    checkout(VERSION_BEFORE, folder / "source")
    return install(build_wheel(folder / "source", folder), folder / "venv")


def run(
    installation: Installation, *arguments: str | Path, folder: Path, server: Server | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python of an installation in a folder; runs go to ``server`` if one is given."""
    folder.mkdir(exist_ok=True)
    variables = {} if server is None else {"TRACKER_BASE_URL": server.url}
    if server is not None and server.key is not None:
        variables["TRACKER_API_KEY"] = server.key
    return subprocess.run(
        [installation.python, *arguments],
        cwd=folder,
        env=installation.environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def exchange(what: str, installation: Installation, folder: Path, server: Server | None = None) -> Any:
    """Run one part of ``exchange.py``, and send everything to the server; return the values that it read."""
    done = run(installation, EXCHANGE, what, folder=folder, server=server)
    assert done.returncode == 0, f"{what} with {installation.python}:\n{done.stdout}\n{done.stderr}"
    if what == "read":
        return json.loads(done.stdout)
    return sent(folder) if server is not None else None


def command(installation: Installation, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(installation, "-m", "tracker.cli.main", *arguments, folder=folder)


def test_wheel_is_of_the_previous_version(before: Installation, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec; import server, tracker; "
        "print(find_spec('tracker.ground'), tracker.__file__)"
    )
    found = run(before, "-c", code, folder=tmp_path)
    assert found.stdout.startswith(f"None {Path(before.python).parents[1]}"), found.stdout + found.stderr


@pytest.mark.parametrize("which", ["the new server", "the previous server"])
def test_both_clients_log_to_both_servers(which: str, before: Installation, tmp_path: Path) -> None:
    """The client of the other version logs, the one of the server's version resumes; both read over HTTP."""
    own, other = (HERE, before) if which == "the new server" else (before, HERE)
    with serving(tmp_path / "store", key=True, installation=own) as server:
        assert (server.key is not None) == (own is HERE)
        exchange("log", other, tmp_path / "other", server)
        for reader in (other, own):
            assert exchange("read", reader, tmp_path / "reads", server) == LOGGED
        exchange("resume", own, tmp_path / "own", server)
        for reader in (other, own):
            found = exchange("read", reader, tmp_path / "reads", server)
            assert found == (RESUMED if own is HERE else RESUMED_THERE)
    assert server.errors == []


def test_store_of_the_previous_version_is_continued(before: Installation, tmp_path: Path) -> None:
    """This version reads, continues and rebuilds the store. Then the previous version refuses it."""
    exchange("log", before, tmp_path)
    assert command(before, "sync", folder=tmp_path).returncode == 0  # everything is sealed
    # A recorder of the previous version would continue, by the rules of its version.
    locks = Layout(tmp_path / "tracker-store").recorder_locks()
    scripts.wait_for(lambda: not any(map(is_held, locks)), "the recorders of the previous version to end")
    assert exchange("read", HERE, tmp_path) == LOGGED
    assert_verified(tmp_path, old_parts=True)
    exchange("resume", HERE, tmp_path)
    assert exchange("read", HERE, tmp_path) == RESUMED
    assert command(HERE, "sync", folder=tmp_path).returncode == 0
    assert_verified(tmp_path, old_parts=True)
    scripts.wait_for(lambda: command(HERE, "rebuild", folder=tmp_path).returncode == 0, "the store")
    assert exchange("read", HERE, tmp_path) == RESUMED
    assert_refused(run(before, EXCHANGE, "resume", folder=tmp_path))
    assert exchange("read", HERE, tmp_path) == RESUMED


def assert_verified(folder: Path, *, old_parts: bool) -> None:
    """Check that every file is intact, and that parts of the previous version are counted as unchecked."""
    found = command(HERE, "verify", "--all", folder=folder)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 missing or damaged" in found.stdout
    assert bool(re.search(r"\d+ parts.* of an older tracker have no checksums", found.stdout)) == old_parts


@pytest.mark.parametrize("what", ["catalog", "format"])
def test_previous_version_refuses_a_store_of_this_one(
    what: str, before: Installation, tmp_path: Path
) -> None:
    """The error, caused by the format or by the revision, is one line that asks for an upgrade."""
    exchange("log", HERE, tmp_path)
    store = tmp_path / "tracker-store"
    assert command(HERE, "sync", folder=tmp_path).returncode == 0
    code = "import tracker; tracker.Api().run('local/demo/exchanged')"
    if what == "catalog":
        described = json.loads((store / "store.json").read_text())
        (store / "store.json").write_text(json.dumps({**described, "format": 1}))
        code = "import tracker; tracker.Api().runs('local/demo')[0]"
    assert_refused(run(before, "-c", code, folder=tmp_path))
    assert_refused(command(before, "gc", "--grace", "0s", folder=tmp_path))
    assert exchange("read", HERE, tmp_path) == LOGGED


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "upgrade airgap-tracker to open it. Nothing was changed." in last


def test_missing_commit_of_the_previous_version_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"is not in this clone.*git fetch --unshallow"):
        checkout("0" * 40, tmp_path / "source")
