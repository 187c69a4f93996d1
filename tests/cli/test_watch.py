"""`tracker sync --watch` and `tracker server --watch` apply journals as they grow, in real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import scripts
from builders import Writer, get_run, read_history
from forking import Forked, fork_command
from serving import command, serving

from tracker.ground import filesystems
from tracker.recorder import follow, silent_journals
from tracker.recorder.open_store import open_store
from tracker.recorder.watch import StoreWatch
from tracker.store.catalog.lease import read_lease
from tracker.store.objects.layout import Layout

TRAINING = """
import sys, tracker
run = tracker.init(project="p", id=sys.argv[1], settings={"journal_only": True, "x_disable_stats": True})
for value in range(20):
    run.log({"x": value})
print("logged", flush=True)
if sys.stdin.readline():
    for value in range(20, 40):
        run.log({"x": value})
    run.finish()
"""
NODE = 'hostname node7 && exec "$0" "$@"'


@contextmanager
def training(folder: Path, run_id: str, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script that logs 20 rows, and 20 more rows after it has read a line."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", TRAINING, run_id],
        cwd=folder,
        env=scripts.environment(TRACKER_STORE=str(folder / "tracker-store")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "logged\n"
            yield process
        finally:
            process.kill()


@contextmanager
def watching(*stores: Path, catalog: Path) -> Iterator[Forked]:
    """Run `tracker sync --watch` until the end of the context."""
    arguments = ["sync", "--watch", *map(str, stores), "--catalog", str(catalog)]
    process = fork_command(arguments, catalog.parent, scripts.environment())
    try:
        assert process.stdout is not None
        for store in stores:
            assert process.stdout.readline().startswith(f"{store}: watching (catalog {catalog}/")
        yield process
    finally:
        process.kill()


def make_store(folder: Path) -> Path:
    folder.mkdir()
    open_store(folder / "tracker-store").close()
    return folder / "tracker-store"


def rows(root: Path, run_id: str) -> list[int]:
    store = open_store(root)
    found = [row["x"] for row in read_history(store, run_id)]
    store.close()
    return found


def test_several_stores_are_watched(tmp_path: Path) -> None:
    one, two = make_store(tmp_path / "one"), make_store(tmp_path / "two")
    disk = tmp_path / "disk"
    with watching(one, two, catalog=disk) as watcher:
        with training(one.parent, "a") as first, training(two.parent, "b") as second:
            assert first.stdin is not None
            first.stdin.write("\n")
            first.stdin.close()
            second.kill()
            for root in (one, two):
                scripts.wait_for(lambda at=root: not Layout(at).list_journals(), f"{root} to be sealed")  # type: ignore[misc]
        assert read_lease(Layout(one)).state == "held"
        watcher.terminate()
        assert watcher.stdout is not None
        lines = watcher.stdout.read().splitlines()
        assert watcher.wait(30) == 0
    applied = {str(root): 0 for root in (one, two)}
    for line in lines:
        root, _, text = line.partition(": ")
        applied[root] += int(text.split()[0])
    assert min(applied.values()) > 20, lines
    assert [read_lease(Layout(root)).state for root in (one, two)] == ["free", "free"]
    assert len(list(disk.glob("*.db"))) == 2
    assert (rows(one, "a"), rows(two, "b")) == (list(range(40)), list(range(20)))


def test_a_server_watches_further_stores(tmp_path: Path) -> None:
    one, two = make_store(tmp_path / "one"), make_store(tmp_path / "two")
    with serving(one, "--watch", str(one), "--watch", str(two)) as server, server.client() as client:
        for root in (one, two):
            with training(root.parent, "a") as writer:
                assert writer.stdin is not None
                writer.stdin.write("\n")
                writer.stdin.close()
                scripts.wait_for(lambda at=root: not Layout(at).list_journals(), f"{root} to be sealed")  # type: ignore[misc]
        assert client.get("/projects/local/p/runs/a").json()["state"] == "finished"
    assert [read_lease(Layout(root)).state for root in (one, two)] == ["free", "free"]
    assert rows(two, "a") == list(range(40))


def test_a_store_that_cannot_be_watched_is_an_error(tmp_path: Path) -> None:
    make_store(tmp_path / "one")
    done = command("sync", "--watch", "--to", "http://127.0.0.1:1", folder=tmp_path / "one")
    assert (done.returncode, done.stderr) == (
        1,
        "tracker: --watch applies journals and --to sends runs. Run two commands.\n",
    )
    done = command("sync", "--watch", str(tmp_path), folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no store at" in done.stderr


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers count as silent after one second, and are sealed after another one."""
    monkeypatch.setattr(follow, "MISSED_SECONDS", 1.0)
    monkeypatch.setattr(silent_journals, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.1)
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", "1")


@pytest.mark.parametrize("ends", ["killed", "suspended"])
@pytest.mark.usefixtures("quick")
def test_a_writer_on_another_host(tmp_path: Path, ends: str) -> None:
    other_host = ["unshare", "--uts", "sh", "-c", NODE]
    if shutil.which("unshare") is None or subprocess.run([*other_host, "true"], check=False).returncode:
        pytest.skip("needs the right to set a host name")
    root = make_store(tmp_path / "one")
    store = open_store(root)
    watch = StoreWatch(store, lambda _: None)
    watch.start()
    with training(root.parent, "a", *other_host) as writer:
        (journal,) = Layout(root).list_journals()
        assert journal.path.parent.name == "node7"
        os.kill(writer.pid, signal.SIGKILL if ends == "killed" else signal.SIGSTOP)
        scripts.wait_for(lambda: not Layout(root).list_journals(), "the silent writer to be sealed")
        run = get_run(store, "a")
        assert (run.state, run.reason) == ("crashed", "host silent")
        assert [row["x"] for row in read_history(store, "a")] == list(range(20))
        if ends == "suspended":
            os.kill(writer.pid, signal.SIGCONT)
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.close()
            scripts.wait_for(lambda: get_run(store, "a").state == "finished", "the end of the run")
    watch.stop()
    assert rows(root, "a") == list(range(40 if ends == "suspended" else 20))


def test_the_folder_for_catalogs_is_local_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filesystems.local_state_folder() == tmp_path / ".state" / "tracker"
    assert (tmp_path / ".state" / "tracker").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(filesystems, "is_network", lambda _: True)
    with pytest.raises(filesystems.UsageError, match="name a folder on one with --catalog"):
        filesystems.local_state_folder()


def test_a_catalog_on_a_network_file_system_moves_to_a_local_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_store(tmp_path / "one")
    writer = Writer(Layout(root), "aa" * 16)
    writer.log({"x": 0})
    assert command("sync", str(root), folder=tmp_path).returncode == 0
    assert (root / "catalog.db").is_file()
    monkeypatch.setattr("tracker.store.catalog.lease_holder.is_network", lambda at: root == at)
    for _ in range(2):
        store = open_store(root)
        assert store.catalog.parent == tmp_path / ".state" / "tracker"
        assert len(read_history(store)) == 1
        store.close()
    assert list(root.glob("catalog*")) == []
    store.catalog.unlink()  # as for a host with another disk
    store = open_store(root)
    assert store.catalog.parent == tmp_path / ".state" / "tracker"
    follow.Follower(store).poll()
    assert len(read_history(store)) == 1
    store.close()
