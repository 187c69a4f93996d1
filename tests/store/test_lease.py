"""One host holds the catalog of a store. Another host takes over the catalog when the first host is silent.

Each "host" is a process of this machine with its own boot id, for which the folder is not on a local disk.
`tests/two_hosts` tests the same on two mounts that do not share locks.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import scripts
from builders import ENTITY, PROJECT, Writer, apply_all, read_history, seal_all

from server import keys
from tracker.cli.store_checks import examine
from tracker.errors import HeldElsewhereError, UsageError
from tracker.ground.settings import load_settings
from tracker.recorder.open_store import open_store
from tracker.store.blobs.trash import Trash
from tracker.store.catalog import lease
from tracker.store.catalog.lease import catalog_of, read_lease
from tracker.store.catalog.locks import is_held
from tracker.store.catalog.models import Clock
from tracker.store.gc.collect import collect
from tracker.store.objects.layout import Layout
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.store import Store

# A process of another host. It opens the store, prints a line, and executes the commands from its stdin.
OTHER = """
import os, sys
from tracker.errors import Error
from tracker.store.catalog import lease
from tracker.store.catalog.models import Clock
from tracker.recorder.open_store import open_store

name, root = sys.argv[1:]
lease.boot_id = lambda: name
lease.host_name = lambda: name
lease.LOCAL_TYPES = frozenset()
try:
    store = open_store(root)
except Error as error:
    print(type(error).__name__, error, flush=True)
    sys.exit(3)
print("open", store.catalog, flush=True)

def tick(pause):
    with store.writing() as session:
        session.get_one(Clock, 1).revision += 1
        session.flush()
        if pause:
            print("begun", flush=True)
            sys.stdin.readline()

for line in sys.stdin:
    try:
        if line == "close\\n":
            store.close()
        elif line == "exit\\n":
            sys.exit()
        elif line == "fork\\n":
            if (child := os.fork()) == 0:
                sys.exit()
            os.waitpid(child, 0)
        else:
            tick(line == "pause\\n")
        print("done", flush=True)
    except Error as error:
        print(type(error).__name__, error, flush=True)
"""


class Host:
    """A process of another host that has opened the store, or has failed to."""

    def __init__(self, name: str, root: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, name, str(root)],
            env=scripts.environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Return the next line that the process prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, what: str) -> None:
        """Send a command to the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Kill the process and return its output on stderr."""
        self.process.kill()
        return self.process.communicate()[1]


@contextmanager
def host(name: str, root: Path, **variables: str) -> Iterator[Host]:
    """Run a process of another host during the ``with`` block."""
    started = Host(name, root, **variables)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a host as silent after a second, and all file systems as network file systems."""
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", "1")
    monkeypatch.setattr(lease, "LOCAL_TYPES", frozenset())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of a closed store with a sealed run and an API key."""
    store = open_store(tmp_path / "tracker-store")
    writer = Writer(store.layout, "a" * 32)
    writer.log({"x": 1})
    writer.finish()
    apply_all(store, final=True)
    seal_all(store)
    keys.make_key(store)
    store.close()
    return store.root


def key_count(store: Store) -> int:
    """Return the number of API keys."""
    with sqlite3.connect(store.catalog) as catalog:
        return int(catalog.execute("SELECT count(*) FROM api_keys").fetchone()[0])


def revision(catalog: Path) -> int:
    """Return the revision counter in a catalog."""
    with sqlite3.connect(catalog) as connection:
        return int(connection.execute("SELECT revision FROM clock").fetchone()[0])


def catalogs(root: Path) -> set[str]:
    """Return the names of the catalogs in a store."""
    return {path.name for path in root.glob("catalog*.db")}


def test_a_store_without_leases_can_be_opened(root: Path) -> None:
    for path in (root / "leases").iterdir():
        path.unlink()
    (root / "leases").rmdir()
    assert catalog_of(Layout(root)) == root / "catalog.db"
    with open_store(root).reading() as session:
        assert session.get_one(Clock, 1).revision > 0
    assert catalogs(root) == {"catalog.db"}


def test_another_host_is_rejected_while_the_holder_is_alive(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with host("login1", root) as holder:
        assert holder.says() == f"open {root}/catalog.db"
        before = read_lease(Layout(root))
        with pytest.raises(HeldElsewhereError, match=rf"login1 \(process \d+\) holds the catalog of {root}"):
            open_store(root)
        assert capsys.readouterr().err.count("\n") == 1
        with pytest.raises(HeldElsewhereError, match="login1"):
            open_store(root, takes_over=False)
        with pytest.raises(HeldElsewhereError, match="login1"), hold_exclusively(Layout(root)):
            raise AssertionError
        assert capsys.readouterr().err.count("login1 holds the catalog") <= 1
        assert read_lease(Layout(root)) == before
        holder.ask("write")
        assert holder.says() == "done"


@pytest.mark.parametrize("ending", ["close", "exit"])
def test_after_a_clean_end_another_host_opens_the_same_catalog_immediately(
    root: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        holder.ask("write")
        assert holder.says() == "done"
        holder.ask(ending)
        if ending == "exit":
            holder.process.wait()
        else:
            assert holder.says() == "done"
        store = open_store(root)
        assert store.catalog == root / "catalog.db"
        assert len(read_history(store)) == 1
        store.close()
    assert capsys.readouterr().err == ""
    assert len(list((root / "leases").glob("*.json"))) == 1


def test_a_forked_child_does_not_free_the_lease_at_its_end(root: Path) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        holder.ask("fork")
        assert holder.says() == "done"
        assert read_lease(Layout(root)).state == "held"
        holder.ask("write")
        assert holder.says() == "done"


@pytest.mark.slow
def test_after_a_kill_the_same_host_opens_the_catalog_immediately(root: Path) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        before = read_lease(Layout(root))
    with host("login1", root, TRACKER_LEASE_SECONDS="100") as again:
        assert again.says() == f"open {root}/catalog.db"
        assert read_lease(Layout(root)) == before
        assert again.end() == ""


def test_a_store_on_a_local_disk_opens_immediately_after_a_reboot(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    lease._is_local.cache_clear()
    if not lease._is_local(str(root)):
        pytest.skip("the folder for temporary files is on no local disk")
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", "100")
    script = (
        "import os, sys; from tracker.recorder.open_store import open_store; "
        "from tracker.store.catalog import lease; lease.boot_id = lambda: 'the boot before'; "
        "store = open_store(sys.argv[1]); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(root)], env=scripts.environment(), check=True)
    assert read_lease(Layout(root)).state == "held"
    store = open_store(root)
    assert store.catalog == root / "catalog.db"
    store.close()
    assert capsys.readouterr().err == ""


def test_a_holder_that_wakes_up_after_a_takeover_does_no_harm(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        holder.ask("write")
        assert holder.says() == "done"
        holder.process.send_signal(signal.SIGSTOP)
        store = open_store(root)
        assert "login1 holds the catalog" in capsys.readouterr().err
        assert store.catalog.name.startswith("catalog-")
        assert key_count(store) == 1
        assert len(read_history(store)) == 1
        before = revision(store.catalog)
        assert before == revision(root / "catalog.db")
        holder.process.send_signal(signal.SIGCONT)
        holder.ask("write")
        assert holder.says().startswith(
            f"HeldElsewhereError {os.uname().nodename} has taken over the catalog"
        )
        assert revision(root / "catalog.db") == before
        with store.writing() as session:
            session.get_one(Clock, 1).revision += 1
    store.close()  # this process is the last one, because the "hosts" of this test share file locks
    # The next opening after a clean end removes the unused catalog.
    store = open_store(root)
    assert catalogs(root) == {store.catalog.name}
    assert revision(store.catalog) == before + 1
    store.close()


def test_a_transaction_during_a_takeover_fails_at_its_end(root: Path) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        before = revision(root / "catalog.db")
        holder.ask("pause")
        assert holder.says() == "begun"
        holder.process.send_signal(signal.SIGSTOP)
        store = open_store(root)
        holder.process.send_signal(signal.SIGCONT)
        holder.ask("continue")
        assert holder.says().startswith("HeldElsewhereError")
        assert revision(store.catalog) == before
        store.close()


def test_nothing_is_published_or_deleted_after_a_takeover(root: Path) -> None:
    store = open_store(root)
    writer = Writer(store.layout, "b" * 32, "run2")
    writer.log({"x": 5})
    writer.finish()
    apply_all(store, final=True)
    Writer(store.layout, "c" * 32, "run3").finish()
    _freeze(store)
    with host("login1", root) as taker:
        assert taker.says().startswith("open")
        published = store.layout.run_file(ENTITY, PROJECT, "run2").read_bytes()
        for harm in (lambda: seal_all(store), lambda: apply_all(store)):
            with pytest.raises(HeldElsewhereError, match="login1 has taken over"):
                harm()
        assert len(store.layout.list_journals()) == 2
        assert store.layout.run_file(ENTITY, PROJECT, "run2").read_bytes() == published
    store.close()


def _freeze(store: Store) -> None:
    """Stop the beat of this process, like SIGSTOP."""
    store._hold._ended.set()


@pytest.mark.slow
def test_only_one_of_two_simultaneous_takeovers_succeeds(root: Path) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        holder.process.send_signal(signal.SIGSTOP)
        with host("login2", root) as one, host("login3", root) as two:
            said = sorted([one.says(), two.says()])
            assert said[0].startswith("HeldElsewhereError login")
            assert said[1] == f"open {catalog_of(Layout(root))}"
            assert catalogs(root) == {"catalog.db", catalog_of(Layout(root)).name}


def test_a_takeover_of_a_damaged_catalog_rebuilds_it_and_keeps_the_keys(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
    data = bytearray((root / "catalog.db").read_bytes())
    (page,) = _root_page(root / "catalog.db", "runs")
    data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    (root / "catalog.db").write_bytes(data)
    store = open_store(root)
    assert "is damaged" in capsys.readouterr().err
    assert len(read_history(store)) == 1
    assert key_count(store) == 1
    store.close()


def _root_page(catalog: Path, table: str) -> tuple[int]:
    with sqlite3.connect(catalog) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found: tuple[int] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    return found


def test_a_catalog_on_a_local_disk(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    with host("login1", root, TRACKER_CATALOG=str(disk)) as holder:
        assert holder.says().startswith(f"open {disk}/")
        holder.ask("write")
        assert holder.says() == "done"
        holder.ask("exit")
        holder.process.wait()
    (catalog,) = disk.glob("*.db")
    store = open_store(root)  # the catalog stays there without TRACKER_CATALOG
    assert store.catalog == catalog
    assert key_count(store) == 1
    store.close()
    assert catalogs(root) == set()
    catalog.rename(tmp_path / "elsewhere.db")  # another host does not see the local disk
    store = open_store(root)
    assert store.catalog.parent == root
    assert len(read_history(store)) == 1
    assert key_count(store) == 1  # from people.json
    store.close()
    monkeypatch.setenv("TRACKER_CATALOG", str(disk))
    store = open_store(root)
    assert store.catalog.parent == disk
    store.close()
    monkeypatch.setenv("TRACKER_CATALOG", str(root))
    store = open_store(root)
    assert store.catalog.parent == root
    assert len(read_history(store)) == 1
    store.close()


def test_an_empty_lease_after_a_power_loss_is_free(root: Path) -> None:
    (path,) = (root / "leases").glob("*.json")
    path.write_bytes(b"")
    store = open_store(root)
    assert store.catalog == root / "catalog.db"
    store.close()


def test_an_invalid_lease_time_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", "soon")
    with pytest.raises(UsageError, match="TRACKER_LEASE_SECONDS is 'soon'"):
        open_store(root)


def test_doctor_names_the_holder(root: Path) -> None:
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        (found,) = [each for each in examine(load_settings(store=root)) if each.name == "catalog"]
        assert found.good
        assert found.text.startswith(f"login1 (process {holder.process.pid}) holds it since")


def test_init_only_writes_journals_while_another_host_holds_the_catalog(root: Path) -> None:
    script = (
        "import tracker; from tracker.store.catalog import lease; lease.LOCAL_TYPES = frozenset(); "
        "run = tracker.init(project='p'); run.log({'x': 1}); "
        "run.finish(); print(len(tracker.Api().runs('local/p')))"
    )
    with host("login1", root) as holder:
        assert holder.says().startswith("open")
        done = scripts.run(script, root.parent, check=False)
        lines = [line for line in done.stderr.splitlines() if "holds the catalog" in line]
        assert len(lines) == 1  # a warning of init; Api reads the journal
        assert done.stdout == "1\n"
        assert len(Layout(root).list_journals()) == 1
        assert Layout(root).recorder_locks() == []
    store = open_store(root)
    apply_all(store)
    store.close()


def test_garbage_collection_deletes_nothing_after_a_takeover(root: Path) -> None:
    store = open_store(root)
    blob = store.blobs.add_bytes(b"a version of the new holder may reference it").sha256
    judged = store.layout.blob(blob).stat()
    _freeze(store)
    with host("login1", root) as taker:
        assert taker.says().startswith("open")
        trash = Trash(store.layout, time.time_ns() + 10**9, store.check_lease)
        with pytest.raises(HeldElsewhereError):
            trash.take(store.blobs.path(blob), judged)
        assert b"".join(store.blobs.chunks(blob, 0, judged.st_size)).startswith(b"a version")
        with pytest.raises(HeldElsewhereError):
            collect(store, grace=0)
    store.close()


def test_a_recorder_ends_after_a_takeover_and_is_not_replaced(root: Path) -> None:
    script = (
        "import sys, tracker; run = tracker.init(project='p', id='live'); run.log({'x': 0}); "
        "print('ready', flush=True); sys.stdin.readline(); run.log({'x': 1}); run.finish()"
    )
    training = scripts.start(script, root.parent)
    assert training.stdout is not None
    assert training.stdout.readline() == "ready\n"
    scripts.wait_for(lambda: read_lease(Layout(root)).state == "held", "a recorder with the lease")
    held = read_lease(Layout(root)).holder
    assert held is not None
    recorder = held.pid
    os.kill(recorder, signal.SIGSTOP)
    try:
        with host("login1", root) as taker:
            assert taker.says().startswith("open")
            os.kill(recorder, signal.SIGCONT)
            scripts.wait_for(lambda: not Path(f"/proc/{recorder}").exists(), "the recorder to end")
            training.communicate("\n", timeout=60)
            assert training.returncode == 0
            assert not any(is_held(path) for path in Layout(root).recorder_locks())
            assert len(Layout(root).list_journals()) == 1
    finally:
        if Path(f"/proc/{recorder}").exists():
            os.kill(recorder, signal.SIGKILL)
    store = open_store(root)
    apply_all(store)
    assert [row["x"] for row in read_history(store, "live")] == [0, 1]
    store.close()
