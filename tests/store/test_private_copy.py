"""The private copy of a catalog, through which a process reads a read-only store."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import scripts
from builders import ENTITY, PROJECT, START, Writer, answers, apply_all, end_segments, read_history, seal_all
from exact import exact
from sqlalchemy import select

from tracker.errors import NotFoundError, StoreError, StoreVersionError
from tracker.ground.records import ArtifactChanged, SystemSample
from tracker.reading.local import LocalReader
from tracker.recorder import read_only
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.read_only import ReadOnlyStore
from tracker.store.catalog.lease import Lease, create_lease
from tracker.store.catalog.models import ApiKey, BrowserSession, User
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.people import Actor, changing_people, hash_secret
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.queries.captured import system
from tracker.store.queries.people import load_people
from tracker.store.queries.runs import get_run, list_runs
from tracker.store.recovery import published_files
from tracker.store.recovery.private_copy import copy_catalog
from tracker.store.store import Store

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Set the folder of private copies, and check at the end that no copy is left."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def read() -> Iterator[Callable[[Path], ReadOnlyStore]]:
    """Return a function that opens a store for reading. The store is closed at the end."""
    opened: list[ReadOnlyStore] = []

    def read(root: Path) -> ReadOnlyStore:
        opened.append(ReadOnlyStore(root))
        return opened[-1]

    yield read
    for store in opened:
        store.close()


Read = Callable[[Path], ReadOnlyStore]


ARCHIVES = [f"revision-000{number}/store" for number in (1, 2, 3)] + ["format-1/sealed", "format-1/unsealed"]


@pytest.mark.parametrize("fixture", ARCHIVES)
def test_a_read_only_archive_gives_the_same_answers_as_an_opened_copy(
    tmp_path: Path, read: Read, fixture: str
) -> None:
    archive, copy = (Path(shutil.copytree(FIXTURES / fixture, tmp_path / name)) for name in "ab")
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    store = open_store(copy, create=False)
    Follower(store).poll(seal_ended=False)
    assert exact(answers(read(archive))) == exact(answers(store))
    store.close()
    assert {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()} == before


def test_rows_in_parts_and_in_journals_are_one_history(store: Store, read: Read) -> None:
    """The rows are in parts of the store, in its catalog, and in parts of the copy."""
    writer = Writer(store.layout, "a1" * 16)
    count = 0

    def log(rows: int) -> None:
        nonlocal count
        for _ in range(rows):
            writer.log({"x": count})
            count += 1
        writer.put(SystemSample(writer.tick(), {"cpu": float(count)}))

    for _ in range(3):  # a fourth part would merge all of them
        log(4100)
        apply_all(store)
    log(100)
    apply_all(store)
    log(4100)
    files = set(store.root.rglob("*"))
    reader = read(store.root)
    assert set(store.root.rglob("*")) == files
    assert [row["x"] for row in read_history(reader)] == list(range(count))
    with reader.reading() as session:
        (found,) = system(session, get_run(session, "team", PROJECT, "run1"), reader.root)
    assert found.rows
    log(10)
    reader.refresh()
    assert [row["x"] for row in read_history(reader)] == list(range(count))
    writer.finish()
    apply_all(store)
    end_segments(store)
    seal_all(store)  # merges parts that the copy references
    reader.refresh()
    assert read_answer(reader) == list(range(count))


def read_answer(reader: ReadOnlyStore) -> list[int]:
    """Return the values of a run, read like ``Api`` and the server."""
    from tracker.store.queries import history

    def ask(session: object) -> list[int]:
        run = get_run(session, "team", PROJECT, "run1")  # type: ignore[arg-type]
        return [row["x"] for row in history.rows(session, run, reader.root)]  # type: ignore[arg-type]

    return reader.answer(ask)


def test_a_catalog_that_changes_permanently_is_copied_rarely(
    store: Store, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_only, "COPY_SECONDS", 1.0)
    reader = read(store.root)
    first = reader.catalog
    writer = Writer(store.layout, "a1" * 16)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        writer.log({"x": 1})
        apply_all(store)
        reader.refresh()
        assert reader.catalog == first
    writer.finish()
    apply_all(store)
    end_segments(store)
    seal_all(store)

    def is_sealed() -> bool:
        reader.refresh()
        return reader.catalog != first

    scripts.wait_for(is_sealed, "another copy")


def sign_in(store: Store, cookie: str, user: str | None = None, key: str | None = None) -> None:
    """Start a browser session, as the server does."""
    with store.writing_keys() as session:
        row = BrowserSession(sha256=cookie, created_at=1.0, expires_at=2e9, last_used_at=1.0)
        row.how, row.address, row.agent = "key", "", ""
        row.user_id = None if user is None else session.scalar(select(User.id).where(User.name == user))
        if key is not None:
            row.key_id = session.scalar(select(ApiKey.id).where(ApiKey.sha256 == hash_secret(key)))
        session.add(row)


def cookies(store: Store) -> dict[str, str | None]:
    """Return the hash of the key of each browser session, by cookie."""
    with store.reading() as session:
        hashes = {key.id: key.sha256 for key in session.scalars(select(ApiKey))}
        rows = session.scalars(select(BrowserSession))
        return {row.sha256: None if row.key_id is None else hashes[row.key_id] for row in rows}


def test_keys_and_sessions_of_a_copy_are_kept_and_revoked_ones_are_not(store: Store, read: Read) -> None:
    with changing_people(store, Actor("test")) as change:
        for name in ("ann", "bob", "zoe"):
            change.add_user(name, is_admin=name == "ann")
        staying, revoked = (change.add_key("ann", name=name)[1] for name in ("staying", "revoked"))
    sign_in(store, "of the store", "ann")
    reader = read(store.root)
    with changing_people(reader, Actor("test")) as change:
        own = change.add_key(None, name="own")[1]
        change.add_key("zoe")
    for cookie, user, key in (
        *(("owner", None, own), ("ann", "ann", None), ("bob", "bob", None)),
        *(("zoe", "zoe", None), ("staying", "ann", staying), ("revoked", "ann", revoked)),
    ):
        sign_in(reader, cookie, user, key)
    with changing_people(store, Actor("test")) as change:
        (number,) = change.session.scalars(select(ApiKey.id).where(ApiKey.name == "revoked"))
        change.revoke_key(number)
        change.delete_user("zoe")
        new = change.add_key("bob", name="new")[1]  # SQLite gives the same numbers again
        change.add_user("new", is_service=True)
    for _ in range(2):  # two more copies
        with reader.reading() as session:
            before = load_people(session)
        with changing_people(store, Actor("test")) as change:
            change.set_role("bob", "lab", "", "viewer")
        reader._due = 0.0
        reader.refresh()
        with reader.reading() as session:
            after = load_people(session)
        assert after.revision > before.revision
        assert set(after.keys) == {hash_secret(each) for each in (staying, new, own)}
        assert [user.name for user in after.users.values()] == ["ann", "bob", "new"]
        assert cookies(reader) == {
            "of the store": None,
            "ann": None,
            "bob": None,
            "owner": hash_secret(own),
            "staying": hash_secret(staying),
        }


def test_a_copy_of_a_store_with_people_is_not_read_without_its_catalog(store: Store) -> None:
    with changing_people(store, Actor("test")) as change:
        change.add_user("ann")
    store.close()
    store.layout.catalog.unlink()
    with pytest.raises(StoreError, match="is not on this host"):
        ReadOnlyStore(store.root)


WRITE = """
import sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], isolation_level=None)
catalog.execute("PRAGMA wal_autocheckpoint=200")
number = 0
while True:
    number += 1
    catalog.execute("BEGIN IMMEDIATE")
    catalog.execute("UPDATE one SET number=?, filler=randomblob(3000)", (number,))
    values = (number * 7 % 1500, number)
    catalog.execute("INSERT OR REPLACE INTO many VALUES (?, ?, randomblob(8000))", values)
    catalog.execute("UPDATE two SET number=?, filler=randomblob(3000)", (number,))
    catalog.execute("COMMIT")
"""


@pytest.mark.slow
def test_a_copy_of_a_changing_catalog_is_consistent(tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as catalog:
        catalog.execute("PRAGMA journal_mode=WAL")
        catalog.executescript(
            "CREATE TABLE one (number, filler); INSERT INTO one VALUES (0, NULL);"
            "CREATE TABLE many (id INTEGER PRIMARY KEY, number, filler);"
            "CREATE TABLE two (number, filler); INSERT INTO two VALUES (0, NULL);"
        )
        catalog.executemany("INSERT INTO many VALUES (?, 0, randomblob(8000))", [(i,) for i in range(1500)])
        catalog.commit()
        process = subprocess.Popen([sys.executable, "-c", WRITE, str(source)])
        try:
            copied = last = 0
            for turn in range(24):
                if turn % 3 == 2:  # the writer pauses, like any real writer
                    process.send_signal(signal.SIGSTOP)
                target = tmp_path / f"copy-{turn}.db"
                try:
                    copy_catalog(source, target)
                except StoreError as error:
                    assert "changed during each of 5 copies" in error.message
                    continue
                finally:
                    process.send_signal(signal.SIGCONT)
                copied += 1
                with closing(sqlite3.connect(target)) as copy:
                    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    (one,) = copy.execute("SELECT number FROM one").fetchone()
                    assert copy.execute("SELECT number FROM two").fetchone() == (one,)
                    assert copy.execute("SELECT max(number) FROM many").fetchone() == (one,)
                    assert one >= last
                    last = one
            assert copied >= 8
            assert last > 0
        finally:
            process.kill()
            process.wait()


def test_a_store_without_a_catalog_is_read_from_its_files(store: Store) -> None:
    sealed = Writer(store.layout, "a1" * 16, "sealed")
    sealed.log({"x": 1})
    sealed.artifact("model", {"w": b"1"}, ["best"])
    sealed.finish()
    apply_all(store)
    seal_all(store)
    writer = Writer(store.layout, "b2" * 16, "live")
    writer.log({"x": 2})
    apply_all(store)
    catalog = store.catalog
    store.close()
    catalog.unlink()
    before = sorted((path, path.lstat().st_mtime_ns) for path in store.root.rglob("*"))
    copy = ReadOnlyStore(store.root)
    reader = LocalReader(copy)
    assert [row["x"] for row in reader.history(ENTITY, PROJECT, "sealed", ["x"], False)] == [1]
    assert reader.artifact(ENTITY, PROJECT, "model", "best").logged_by == "sealed"
    assert [row["x"] for row in reader.history(ENTITY, PROJECT, "live", ["x"], False)] == [2]
    assert sorted((path, path.lstat().st_mtime_ns) for path in store.root.rglob("*")) == before
    writer.log({"x": 3})
    assert [row["x"] for row in reader.history(ENTITY, PROJECT, "live", ["x"], False)] == [2, 3]
    writer.finish()
    other = open_store(store.root)  # as on the host that holds the catalog
    apply_all(other)
    seal_all(other)
    other.close()
    catalog.unlink()
    copy._due = 0.0
    assert reader.run(ENTITY, PROJECT, "live").state == "finished"
    copy.close()


def test_a_catalog_of_files_follows_other_hosts(store: Store) -> None:
    """The reader builds its catalog again only for changes that are not in journals."""
    writer = Writer(store.layout, "a1" * 16, "live")
    writer.log({"x": 1})
    writer.artifact("model", {"w": b"0"}, ["best"])
    apply_all(store)
    copy = ReadOnlyStore(store.root, from_files=True)
    reader = LocalReader(copy)

    def look() -> tuple[str, list[int]]:
        copy._due = 0.0
        rows = reader.history(ENTITY, PROJECT, "live", ["x"], False)
        return reader.run(ENTITY, PROJECT, "live").state, [row["x"] for row in rows]

    assert look() == ("running", [1])
    writer.log({"x": 2})
    writer.artifact("model", {"w": b"1"}, ["best"])
    Writer(store.layout, "b2" * 16, "new").finish()
    apply_all(store)  # publishes run, version and alias files
    assert look() == ("running", [1, 2])
    assert reader.artifact(ENTITY, PROJECT, "model", "best").version == "v1"
    writer.log({"x": 3})
    assert look() == ("running", [1, 2, 3])
    writer.finish()
    assert look() == ("finished", [1, 2, 3])
    apply_all(store)
    seal_all(store)
    assert look() == ("finished", [1, 2, 3])
    assert copy._count == 1
    change = ArtifactChanged(ENTITY, PROJECT, "model", 0, "", START, aliases_added=["first"])
    for number, edit in enumerate(
        (
            lambda: apply_edit(store, make_edit(ENTITY, PROJECT, "live", {"name": "edited"})),
            lambda: change_artifact(store, change),
            lambda: delete_run(store, ENTITY, PROJECT, "new", delete_artifacts=False),
        )
    ):
        edit()
        look()
        assert copy._count == number + 2
    assert reader.run(ENTITY, PROJECT, "live").name == "edited"
    assert reader.artifact(ENTITY, PROJECT, "model", "first").version == "v0"
    with pytest.raises(NotFoundError):
        reader.run(ENTITY, PROJECT, "new")
    copy.close()


@pytest.mark.parametrize("from_files", [True, False])
def test_files_that_are_packed_after_the_copy_are_read(store: Store, from_files: bool) -> None:
    writer = Writer(store.layout, "a1" * 16, "live")
    writer.file("media/small.txt", b"small")
    writer.file("media/tiny.txt", b"tiny")
    apply_all(store)
    copy = ReadOnlyStore(store.root, from_files=from_files)
    reader = LocalReader(copy)
    copy._due = math.inf  # the copy is not made again
    found = next(each for each in reader.files(ENTITY, PROJECT, "live") if each.size == 5)
    writer.finish()
    apply_all(store)
    seal_all(store)
    assert not store.blobs.path(found.sha256).exists()  # it is in a pack
    assert copy.blobs.read(found.sha256) == b"small"
    with pytest.raises(NotFoundError):
        copy.blobs.read("0" * 64)
    copy.close()


def test_a_run_that_another_host_seals_at_once_is_visible_at_once(store: Store) -> None:
    """The records that the reader has not seen in the journal are read from the published file."""
    writer = Writer(store.layout, "a1" * 16, "live")
    writer.log({"x": 1})
    apply_all(store)
    copy = ReadOnlyStore(store.root, from_files=True)
    reader = LocalReader(copy)
    copy._due = math.inf
    assert reader.run(ENTITY, PROJECT, "live").state == "running"
    writer.log({"x": 2})
    writer.finish()
    apply_all(store)
    seal_all(store)
    assert store.layout.list_journals() == []
    assert [row["x"] for row in reader.history(ENTITY, PROJECT, "live", ["x"], False)] == [1, 2]
    assert reader.run(ENTITY, PROJECT, "live").state == "finished"
    copy.close()


def test_a_run_that_begins_while_the_files_are_read_is_not_reported_as_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = published_files.journals_of

    def list_and_begin(layout: Layout) -> dict[str, list[JournalPath]]:
        found = listing(layout)
        if not found:
            Writer(store.layout, "a1" * 16, "live").log({"x": 1})
            apply_all(store)
        return found

    monkeypatch.setattr(published_files, "journals_of", list_and_begin)
    copy = ReadOnlyStore(store.root, from_files=True)
    reader = LocalReader(copy)
    assert [row["x"] for row in reader.history(ENTITY, PROJECT, "live", ["x"], False)] == [1]
    assert reader.run(ENTITY, PROJECT, "live").state == "running"
    assert capsys.readouterr().err == ""
    copy.close()


def test_a_link_in_the_place_of_a_published_file_is_not_read(store: Store, tmp_path: Path) -> None:
    for name in ("a1", "b2"):
        Writer(store.layout, name * 16, name).finish()
    apply_all(store)
    seal_all(store)
    store.close()
    store.catalog.unlink()
    path = store.layout.run_file(ENTITY, PROJECT, "a1")
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    copy = ReadOnlyStore(store.root)
    with copy.reading() as session:
        assert [run.id for run in list_runs(session, ENTITY, PROJECT).runs] == ["b2"]
    copy.close()


def test_a_newer_catalog_is_refused(store: Store) -> None:
    with closing(sqlite3.connect(store.catalog)) as catalog, catalog:
        catalog.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="newer tracker"):
        ReadOnlyStore(store.root)


def test_a_catalog_of_another_user_elsewhere_is_not_read(store: Store, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can make another user's file")
    store.close()
    other = tmp_path / "other.db"
    other.write_bytes(b"secret")
    os.chown(store.root, 54_001, 54_001)
    assert create_lease(store.layout, Lease("free", 9, str(other), None))
    with pytest.raises(StoreError, match="a catalog of another user"):
        ReadOnlyStore(store.root)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "runs/../../secret"])
def test_a_catalog_names_no_files_outside_of_its_store(store: Store, path: str) -> None:
    writer = Writer(store.layout, "a1" * 16)
    writer.log({"x": 1})
    apply_all(store)
    with closing(sqlite3.connect(store.catalog)) as catalog, catalog:
        catalog.execute(
            "INSERT INTO parts (segment_id, path, rows, first_row, last_row, size) "
            f"SELECT id, '{path}', 1, 0, 0, 1 FROM segments"
        )
    with pytest.raises(StoreError, match="names a file outside of the store"):
        ReadOnlyStore(store.root)


def test_links_and_fifos_in_a_store_are_not_followed(store: Store, tmp_path: Path, read: Read) -> None:
    writer = Writer(store.layout, "a1" * 16)
    writer.log({"x": 1})
    writer.file("file.txt", b"content")
    writer.artifact("model", {"a": b"bytes"})
    writer.finish()
    secret = Writer(Layout(tmp_path / "secret"), "b2" * 16, "secret")
    secret.finish()
    folder = writer.path.parent
    (folder / secret.path.name).symlink_to(secret.path)
    os.mkfifo(folder / f"{'c3' * 16}-000000.journal")
    digest = store.blobs.name(b"content").sha256
    (tmp_path / "elsewhere").write_bytes(b"content")
    store.blobs.path(digest).unlink()
    store.blobs.path(digest).symlink_to(tmp_path / "elsewhere")
    reader = read(store.root)
    assert [run.id for run in answers_runs(reader)] == ["run1"]
    with pytest.raises(NotFoundError):
        reader.blobs.read(digest)


def answers_runs(reader: ReadOnlyStore) -> list[object]:
    from tracker.store.queries.runs import list_runs

    with reader.reading() as session:
        return list_runs(session, "team", PROJECT).runs  # type: ignore[return-value]


def test_the_copy_of_a_killed_reader_is_removed(store: Store, temporary: Path, read: Read) -> None:
    code = f"""
import os, signal, tempfile
tempfile.tempdir = {str(temporary)!r}
from tracker.recorder.read_only import ReadOnlyStore
store = ReadOnlyStore({str(store.root)!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    scripts.run(code, temporary.parent, check=False)
    (left,) = temporary.iterdir()
    living = read(store.root)
    assert left.exists()  # a new copy is kept, because its process may be about to lock it
    for home in temporary.iterdir():
        os.utime(home, (1, 1))
    read(store.root)
    assert not left.exists()
    assert living.catalog.exists()


@pytest.mark.slow
def test_threads_read_consistent_answers_during_a_copy(
    store: Store, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_only, "COPY_SECONDS", 0.0)
    monkeypatch.setattr(read_only, "COPY_SHARE", 0)
    writer = Writer(store.layout, "a1" * 16)
    writer.log({"x": 0})
    apply_all(store)
    reader = read(store.root)
    ended = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        last = 0
        try:
            while not ended.is_set():
                seen = read_answer(reader)
                assert seen == list(range(len(seen)))
                assert len(seen) >= last - 5
                last = len(seen)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 30):
        writer.log({"x": number})
        apply_all(store)
        reader.refresh()
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert read_answer(reader) == list(range(30))
