"""Sending an outbox: damaged, refused and foreign journals do not delay other journals."""

from __future__ import annotations

import hashlib
import os
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import START, Writer
from sending import outbox_journals, use, values_of
from serving import Server, command

import tracker
from tracker.ground import config_files, launch
from tracker.ground.http import Client
from tracker.ground.processes import host_name
from tracker.ground.settings import load_settings
from tracker.journal.format import HEADER
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, list_outboxes, outbox_folder, remote_of, write_remote
from tracker.recorder.outgoing_journal import Outgoing
from tracker.recorder.send import Sender
from tracker.store.blobs.content import BlobStore
from tracker.store.gc.collect import DAY, collect
from tracker.store.objects.layout import INGEST, Layout
from tracker.store.objects.store_file import make_folders


def test_records_after_damage_in_a_journal_are_kept(
    shared: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server accepts only complete frames in order. The other frames stay in the outbox."""
    use(shared, monkeypatch, key="wrong")  # nothing is sent yet
    scripts.run(
        "import tracker\nrun = tracker.init(project='damaged')\n"
        "for value in range(20): run.log({'x': value})",
        tmp_path,
    )
    (journal,) = outbox_journals(tmp_path)
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 0xFF
    journal.write_bytes(bytes(data))
    done = command("sync", folder=tmp_path, TRACKER_API_KEY=shared.key or "")
    assert "Traceback" not in done.stderr
    assert outbox_journals(tmp_path) == [journal]
    assert journal.read_bytes() == bytes(data)
    assert done.returncode == 1
    assert "it is damaged there; later records" in done.stderr
    use(shared, monkeypatch)
    (run,) = tracker.Api().runs("damaged")  # reading still works
    rows = [row["x"] for row in run.history(pandas=False)]
    assert rows == list(range(len(rows)))
    assert 0 < len(rows) < 20


def test_a_segment_of_two_files_arrives_completely(shared: Server, tmp_path: Path, project: str) -> None:
    """After a failed write a run continues in a second file. The first file has only the start of the run."""
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", shared.url))
    outbox.make()
    for finished, segment in ((True, "a" * 32), (False, "b" * 32)):
        writer = Writer(outbox, segment, f"two-{finished}", project=project)
        writer.log({"x": 0})
        writer.next_file()
        writer.log({"x": 1})
        writer.log({"x": 2})
        if finished:
            writer.finish()
    (outbox.journals / "node1").rename(outbox.host_journals(host_name()))
    write_remote(outbox, Remote(shared.url, shared.key))
    done = command("sync", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with shared.client() as api:
        for name in ("two-True", "two-False"):
            rows = api.get(f"/projects/team/{project}/runs/{name}/history").json()["rows"]
            assert [row["x"] for row in rows] == [0, 1, 2]
        assert api.get(f"/projects/team/{project}/runs/two-True").json()["state"] == "finished"
    assert not [path for path in outbox_journals(tmp_path) if path.name.startswith("a" * 32)]


def test_an_outbox_written_on_another_host_is_sent_from_this_one(
    shared: Server, tmp_path: Path, project: str
) -> None:
    """A node without access to the server writes its outbox to the shared disk; the login node sends it."""
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", shared.url))
    writer = Writer(outbox, "c" * 32, "elsewhere", project=project)
    writer.log({"x": 0})
    writer.finish()
    write_remote(outbox, Remote(shared.url, shared.key))
    done = command("sync", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outbox_journals(tmp_path) == []
    with shared.client() as api:
        assert api.get(f"/projects/team/{project}/runs/elsewhere").json()["state"] == "finished"


def test_an_unreachable_server_does_not_delay_other_servers(
    shared: Server, own: list[Server], project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    own[0].stop()
    for server, key in ((own[0], None), (shared, "wrong")):
        use(server, monkeypatch, key=key)
        with tracker.init(project=project) as run:
            run.log({"x": 1})
    monkeypatch.delenv("TRACKER_BASE_URL")
    done = command("sync", folder=tmp_path, TRACKER_API_KEY=shared.key or "")
    assert done.returncode == 1
    assert "cannot reach" in done.stderr
    assert len(outbox_journals(tmp_path)) == 1
    use(shared, monkeypatch)
    assert values_of(project, run.id) == [1]


def written(outbox: Layout, server: Server, project: str, *names: str) -> None:
    """Fill an outbox with finished runs of one row. The id of a segment is the run's name 32 times."""
    for name in names:
        writer = Writer(outbox, name * 32, name, project=project)
        writer.log({"x": 0})
        writer.finish()
    write_remote(outbox, Remote(server.url, server.key))


def test_a_refused_journal_does_not_delay_other_journals(
    shared: Server, tmp_path: Path, project: str
) -> None:
    """The server has other bytes of the journal, as if a disk was copied and both copies were continued."""
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", shared.url))
    written(outbox, shared, project, "1", "2")
    foreign = Writer(Layout(tmp_path / "foreign"), "1" * 32, "1", project=project, start=START + 5)
    with shared.client(**{"Content-Type": "application/octet-stream"}) as api:
        place = {"offset": 0, "digest": hashlib.sha256().hexdigest()}
        name = f"/ingest/journals/{'1' * 32}-000000"
        assert api.post(name, params=place, content=foreign.path.read_bytes()).status_code == 200
        for _ in range(2):
            done = command("sync", folder=tmp_path)
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1
            assert "bytes of journal 11111111111111111111111111111111-000000 that differ" in done.stderr
            assert [path.name[0] for path in outbox_journals(tmp_path)] == ["1"]
        assert api.get(f"/projects/team/{project}/runs/2").json()["state"] == "finished"


def test_a_journal_that_the_server_cannot_store_is_sent_later(own: list[Server], tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", own[0].url))
    written(outbox, own[0], "p", "1", "2")
    served = Layout(tmp_path / "served" / "store")
    blocked = served.journal(INGEST, "1" * 32, 0)
    blocked.mkdir(parents=True)  # a folder with the journal's name makes the write fail
    sender = Sender(outbox, Remote(own[0].url, None))
    assert sender.poll().applied > 0
    assert "The server cannot write to its store" in sender.faults["1" * 32]
    assert [path.name[0] for path in outbox_journals(tmp_path)] == ["1"]
    assert sender.poll().applied == 0  # the error is not repeated for a while, but not forgotten
    assert list(sender.faults) == ["1" * 32]
    blocked.rmdir()
    assert sender.poll(patient=False).applied > 0
    assert sender.faults == {}
    assert outbox_journals(tmp_path) == []
    sender.close()


def test_a_writer_that_logs_all_the_time_does_not_delay_the_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "outbox")
    writer = Writer(layout, "1" * 32)
    (journal,) = layout.list_journals()
    outgoing = Outgoing(journal, BlobStore(layout))

    def send_while_rows_arrive() -> int:
        sent = 0
        for data, _, records in islice(outgoing.batches(), 5):
            writer.log({"loss": 0.5})
            outgoing.advance(data)
            sent += records
        return sent

    assert [send_while_rows_arrive() for _ in range(3)] == [1, 1, 1]
    assert outgoing.sent < writer.path.stat().st_size


@pytest.fixture
def by_hand(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_recorder: None
) -> Sender:
    """A sender to the test's own server. No recorder sends."""
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    use(own[0], monkeypatch)
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", own[0].url))
    outbox.make()
    return Sender(outbox, Remote(own[0].url, None))


def log_files(files: dict[str, bytes], base: str | None = None) -> None:
    with tracker.init(project="p") as run:
        if base is not None:
            artifact = run.use_artifact(base).new_draft()
        else:
            artifact = tracker.Artifact("data", "dataset")
        for name, content in files.items():
            with artifact.new_file(name, "wb") as file:
                file.write(content)
        run.log_artifact(artifact)


def delete_on_server(tmp_path: Path, name: str) -> None:
    """Delete a blob on the server, as garbage collection does days after the server reported the blob."""
    Layout(tmp_path / "served" / "store").blob(name).unlink()


def collect_outbox(tmp_path: Path) -> None:
    """Delete sent contents in the outbox, as garbage collection does."""
    for blob in (tmp_path / "tracker-store" / "outbox").glob("*/blobs/**/*"):
        if blob.is_file():
            blob.unlink()


@pytest.mark.parametrize("slow", [True, False])
def test_files_that_were_collected_during_a_send_are_sent_again(
    by_hand: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(20)}
    log_files(small)
    by_hand.poll(patient=False)
    pack = tracker.Api().artifact("p/data:v0").contents.manifest.entries[0].pack
    assert pack is not None
    log_files({**small, "large": os.urandom(500_000)})
    send_file = Client.send_file
    sent: list[str] = []

    def send(self: Client, method: str, *path: str, file: Path, **options: Any) -> None:
        sent.append(path[-1])
        if len(sent) == 1:
            delete_on_server(tmp_path, pack)
        send_file(self, method, *path, file=file, **options)

    monkeypatch.setattr(Client, "send_file", send)
    if slow:
        monkeypatch.setattr("tracker.recorder.server_target.LONGEST_TRUST", 0.0)
    by_hand.poll(patient=False)
    found = tracker.Api().artifact("p/data:v1")
    assert len(found.manifest.entries) == 21
    if slow:
        down = Path(found.download("down"))
        assert {name: (down / name).read_bytes() for name in small} == small
    else:  # the sender does not ask again for an hour, because the server keeps reported contents for a day
        assert pack not in sent
    by_hand.close()


def test_small_files_that_another_outbox_sent_are_not_sent_again(
    by_hand: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(20)}
    log_files(small)
    by_hand.poll(patient=False)
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "another"))
    url = by_hand._remote.url
    outbox = Layout(outbox_folder(tmp_path / "another", url))
    log_files({**small, "one-more": b"more"})
    sender = Sender(outbox, Remote(url, None))
    sender.poll(patient=False)
    found = tracker.Api().artifact("p/data:v1")
    assert sum(entry.pack is not None for entry in found.contents.manifest.entries) == 20
    blobs = [path for path in (tmp_path / "served").rglob("blobs/**/*") if path.is_file()]
    assert sum(path.stat().st_size for path in blobs if path.stat().st_size < 25_000) < 20_000 + 2 * 6_000
    assert Path(found.download("down"), "file7").read_bytes() == small["file7"]
    sender.close()
    by_hand.close()


def test_inherited_files_may_have_been_packed_again_on_the_server(by_hand: Sender, tmp_path: Path) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(5)}
    log_files({**small, "weights": os.urandom(100_000)})
    by_hand.poll(patient=False)
    assert tracker.Api().artifact("p/data:v0").file_count == 6  # applied there
    log_files(small)
    by_hand.poll(patient=False)
    tracker.Api().artifact("p/data:v0").delete()
    log_files({"more": b"more"}, base="data:v1")  # no reads after this line: a read would send the outbox
    collect_outbox(tmp_path)
    store = open_store(tmp_path / "served" / "store")
    report = collect(store, grace=0.0, ahead=2 * DAY)
    store.close()
    assert any(note.startswith("repacked") for note in report.notes)
    by_hand.poll(patient=False)
    found = tracker.Api().artifact("p/data:v2")
    down = Path(found.download("down"))
    assert {path.name: path.read_bytes() for path in down.iterdir()} == {**small, "more": b"more"}
    by_hand.close()


def test_a_draft_with_files_of_a_deleted_version_does_not_become_a_version(
    by_hand: Sender, tmp_path: Path
) -> None:
    log_files({"large": os.urandom(500_000)})
    by_hand.poll(patient=False)
    first = tracker.Api().artifact("p/data:v0")
    log_files({"other": b"other"}, base="data:v0")
    delete_on_server(tmp_path, first.contents.manifest.entries[0].sha256)
    collect_outbox(tmp_path)
    by_hand.poll(patient=False)
    assert outbox_journals(tmp_path) == []
    assert [each.version for each in tracker.Api().artifacts("dataset", "p/data")] == ["v0"]
    by_hand.close()


@pytest.mark.parametrize("broken", [0, 1], ids=["first", "second"])
def test_a_segment_with_a_lost_journal_header_is_kept_completely(
    shared: Server, tmp_path: Path, project: str, broken: int
) -> None:
    """The blocks of the header read as zeros, as on a network file system. The last journal has the end."""
    outbox = Layout(outbox_folder(tmp_path / "tracker-store", shared.url))
    name = f"{broken + 3}"
    writer = Writer(outbox, name * 32, name, project=project)
    writer.log({"x": 0})
    writer.next_file()
    writer.log({"x": 1})
    writer.finish()
    write_remote(outbox, Remote(shared.url, shared.key))
    files = outbox_journals(tmp_path)
    whole = [path.read_bytes() for path in files]
    files[broken].write_bytes(bytes(HEADER.size) + whole[broken][HEADER.size :])
    for path in files:
        os.utime(path, (START, START))  # the last write was long ago
    done = command("sync", folder=tmp_path)
    assert done.returncode == 1
    assert "its header is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert outbox_journals(tmp_path) == files
    files[broken].write_bytes(whole[broken])  # the blocks are back
    done = command("sync", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert outbox_journals(tmp_path) == []
    with shared.client() as api:
        rows = api.get(f"/projects/team/{project}/runs/{name}/history").json()["rows"]
        assert [row["x"] for row in rows] == [0, 1]


def test_remote_settings_of_version_0_1_0(
    shared: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See ``tests/fixtures/make_version_0_1_0.py``."""
    old = shutil.copytree(scripts.ROOT / "tests/fixtures/version-0.1.0", tmp_path / "old")
    monkeypatch.setenv("TRACKER_CONFIG_DIR", str(old / "home/.config/tracker"))
    monkeypatch.setenv("NETRC", str(old / "home/.netrc"))
    monkeypatch.setattr(launch, "_launched_in", str(old / "work"))
    found = load_settings()
    assert (found.base_url, found.mode) == ("http://tracker.example:8080", "offline")
    assert (found.entity, found.project) == ("team", "demo")
    assert config_files.key_of("http://tracker.example:8080") == "local-" + "1" * 34
    assert config_files.key_of("http://localhost:8081") == "local-" + "2" * 34

    (outbox,) = list_outboxes(old / "store")
    assert remote_of(outbox) == Remote("http://127.0.0.1:9", "local-" + "0" * 34)
    remote = Remote(shared.url, shared.key)
    make_folders(outbox)  # git does not store empty folders
    write_remote(outbox, remote)
    Sender(outbox, remote, "node1").poll(patient=False)
    assert not list(outbox.journals.rglob("*.journal"))
    monkeypatch.setenv("TRACKER_MODE", "online")
    use(shared, monkeypatch)
    run = tracker.Api().run("local/demo/waiting")
    assert (run.state, run.summary["loss"]) == ("finished", 0.5)
