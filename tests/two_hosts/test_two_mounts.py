"""Two hosts with one shared store: two sshfs mounts of one folder, which do not share file locks.

The server keeps the catalog through mount A. Training writes journals through mount B, like a cluster's node.
"""

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import scripts
from mounts import two_mounts
from serving import COMMAND, Server

from tracker.recorder.open_store import open_store
from tracker.store.catalog.lease import catalog_of, read_lease
from tracker.store.objects.layout import Layout

pytestmark = pytest.mark.mounts

RUNS, ROWS = 5, 200
# Seconds without a heartbeat of the lease. Six heartbeats fit in, because a network mount can be slow.
SILENT = 6

TRAINING = f"""
import tracker
for number in range({RUNS}):
    run = tracker.init(project="shared", id=f"run{{number}}", settings={{"quiet": True}})
    for step in range({ROWS}):
        run.log({{"x": step * number}})
    run.finish()
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Two mounts of one folder with a new store, and a short timeout for silent lease holders."""
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", str(SILENT))
    with two_mounts(tmp_path) as found:
        yield found


def command(mount: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the store through a mount."""
    return subprocess.run(
        [*COMMAND, *arguments, "--store", str(mount / "tracker-store")],
        cwd=mount,
        env=scripts.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def rows(store: Path) -> dict[str, int]:
    """Return the number of rows of each run, in a store that no process has open."""
    opened = open_store(store)
    with closing(sqlite3.connect(opened.catalog)) as catalog:
        (found,) = catalog.execute("PRAGMA integrity_check").fetchone()
        assert found == "ok"
        hot = catalog.execute(
            "SELECT r.run_id, count(*) FROM hot_rows h JOIN segments s ON s.id = h.segment_id "
            "JOIN runs r ON r.id = s.run_id GROUP BY r.run_id"
        ).fetchall()
        cold = catalog.execute(
            "SELECT r.run_id, sum(p.rows) FROM parts p JOIN segments s ON s.id = p.segment_id "
            "JOIN runs r ON r.id = s.run_id GROUP BY r.run_id"
        ).fetchall()
        paths = catalog.execute("SELECT path FROM parts").fetchall()
    assert all((store / path).is_file() for (path,) in paths)
    opened.close()
    total: dict[str, Any] = {}
    for run, count in [*hot, *cold]:
        total[run] = total.get(run, 0) + count
    return total


EXPECTED = {f"run{number}": ROWS for number in range(RUNS)}


def test_a_server_that_is_suspended_is_replaced_and_does_no_harm_when_it_wakes_up(
    mounts: tuple[Path, Path],
) -> None:
    here, there = mounts
    server = Server(here / "tracker-store")
    try:
        held = read_lease(Layout(there / "tracker-store"))
        said = scripts.run(TRAINING, there, TRACKER_X_DISABLE_META="true").stderr
        assert said.count("only journals are written here") == RUNS
        refused = command(there, "sync")
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 2
        assert f"(process {server.process.pid}) holds the catalog" in refused.stderr
        for other in ("rebuild", "gc"):
            refused = command(there, other, TRACKER_JOURNAL_ONLY="0")
            assert refused.returncode == 1
            assert "holds the catalog" in refused.stderr
        assert read_lease(Layout(there / "tracker-store")) == held

        server.process.send_signal(signal.SIGSTOP)
        done = command(there, "sync")
        assert done.returncode == 0, done.stderr
        assert read_lease(Layout(there / "tracker-store")).number == held.number + 1
        assert list((there / "tracker-store").glob("catalog*")) == []  # both hosts use local disks

        # Log more rows. A server that does not notice the loss of its lease would apply and delete them.
        scripts.run(TRAINING.replace('f"run', 'f"more'), there, TRACKER_X_DISABLE_META="true")
        waiting = {journal.path.name for journal in Layout(there / "tracker-store").list_journals()}
        assert len(waiting) == RUNS
        server.process.send_signal(signal.SIGCONT)
        assert server.process.wait(timeout=60) == 1
        server._reader.join()
        assert len(server.errors) == 1
        assert "has taken over the catalog" in server.errors[0]
        left = {journal.path.name for journal in Layout(there / "tracker-store").list_journals()}
        assert left == waiting
        done = command(there, "sync")
        assert done.returncode == 0, done.stderr
    finally:
        server.kill()
    assert rows(there / "tracker-store") == EXPECTED | {f"more{number}": ROWS for number in range(RUNS)}
    assert Layout(there / "tracker-store").list_journals() == []


def test_a_server_and_concurrent_syncs_lose_no_run(mounts: tuple[Path, Path]) -> None:
    here, there = mounts
    server = Server(here / "tracker-store")
    try:
        training = scripts.start(TRAINING, there)
        while training.poll() is None:
            command(there, "sync")
        assert training.returncode == 0, training.communicate()
        with server.client() as client:
            scripts.wait_for(
                lambda: (
                    [run["last_step"] for run in client.get("/projects/local/shared/runs").json()["runs"]]
                    == [ROWS - 1] * RUNS
                ),
                "the server to apply all runs",
                90,
            )
    finally:
        server.stop()
    assert rows(there / "tracker-store") == EXPECTED


def test_a_server_that_ends_hands_over_its_catalog_immediately(
    mounts: tuple[Path, Path], tmp_path: Path
) -> None:
    here, there = mounts
    Server(here / "tracker-store").stop()
    scripts.run(TRAINING, there)
    done = command(there, "sync", TRACKER_LEASE_SECONDS="100")
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(there / "tracker-store") == EXPECTED
    assert catalog_of(Layout(there / "tracker-store")).parent == tmp_path / ".state" / "tracker"


def test_a_catalog_on_a_local_disk_is_rebuilt_by_another_host(
    mounts: tuple[Path, Path], tmp_path: Path
) -> None:
    here, there = mounts
    scripts.run(TRAINING, here)
    done = command(here, "sync", TRACKER_CATALOG=str(tmp_path / "disk"))
    assert done.returncode == 0, done.stderr
    (catalog,) = (tmp_path / "disk").glob("*.db")
    assert list((here / "tracker-store").glob("catalog*")) == []
    catalog.unlink()  # another host has another disk
    done = command(there, "sync")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rebuilt from published files") == 1
    assert rows(there / "tracker-store") == EXPECTED


def test_rows_of_a_node_are_watched_without_a_catalog_on_the_shared_folder(
    mounts: tuple[Path, Path], tmp_path: Path
) -> None:
    here, there = mounts
    scripts.run(TRAINING, there)
    root = here / "tracker-store"
    watcher = subprocess.Popen(
        [*COMMAND, "sync", "--watch", str(root)],
        env=scripts.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watcher.stdout is not None
        line = watcher.stdout.readline()
        assert line.startswith(f"{root}: watching (catalog {tmp_path / '.state' / 'tracker'}/")
        scripts.run(TRAINING.replace('f"run', 'f"more'), there)
        scripts.wait_for(lambda: not Layout(there / "tracker-store").list_journals(), "the rows", 90)
        watcher.terminate()
        assert watcher.wait(30) == 0
    finally:
        watcher.kill()
    assert list((tmp_path / "shared").rglob("*.db*")) == []
    assert rows(root) == EXPECTED | {f"more{number}": ROWS for number in range(RUNS)}
