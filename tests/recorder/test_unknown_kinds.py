"""Records of a kind that a reader does not know: they are kept, reported, and applied after an upgrade.

The older reader is this code without ``AlertRaised``. The upgrade restores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import scripts
import serving
from builders import HOST, Writer, end_segments, get_run, read_history, seal_all
from sending import sent, use
from serving import Server, command

import tracker
from tracker.ground import records
from tracker.ground.records import AlertRaised, encode
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.recorder.send import Sender
from tracker.store.objects.layout import Layout
from tracker.store.queries.runs import run_detail
from tracker.store.store import Store

A, B = "a" * 32, "b" * 32
RUN_MAIN = "from tracker.cli.main import main; main()"
# Code that turns a process into the older reader.
FORGET = """
from typing import Union
import msgspec
from tracker.ground import records
known = tuple(kind for kind in records.RECORD_KINDS if kind is not records.AlertRaised)
records._decoder = msgspec.msgpack.Decoder(Union[known], ext_hook=records.read_extension)
del records._NAMES[15]
"""
WAITS = "record kind 15 is not known. A newer tracker wrote it: upgrade airgap-tracker on this machine."


@pytest.fixture
def before() -> Iterator[pytest.MonkeyPatch]:
    """Make this process the older reader; ``undo`` upgrades it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_decoder", records._decoder)
        patch.setattr(records, "_NAMES", dict(records._NAMES))
        exec(FORGET, {})
        yield patch


def write(layout: Layout) -> tuple[Writer, Writer]:
    """Write a run with an alert between its rows, and another run without an alert."""
    newer = Writer(layout, A, "newer")
    newer.log({"x": 1})
    newer.log({"x": 2})
    newer.journal.append(encode(AlertRaised(newer.tick(), "a title", "its text")))
    newer.log({"x": 3})
    newer.finish()
    other = Writer(layout, B, "other")
    other.log({"x": 1})
    other.finish()
    return newer, other


def alerts_of(store: Store) -> list[str]:
    with store.reading() as session:
        return [alert.title for alert in run_detail(session, "team", "demo", "newer").alerts]


def problems_of(store: Store, run_id: str) -> list[str]:
    with store.reading() as session:
        return run_detail(session, "team", "demo", run_id).problems


def test_a_store_keeps_unknown_records_for_an_upgrade(store: Store, before: pytest.MonkeyPatch) -> None:
    newer, other = write(store.layout)
    content = newer.path.read_bytes()
    follower = Follower(store, HOST)
    for _ in range(2):
        follower.poll()
    assert list(follower.faults) == [A]
    assert WAITS in follower.faults[A]
    (problem,) = problems_of(store, "newer")
    assert problem.startswith("records wait to be applied: ")
    assert problem.endswith(WAITS)
    assert [row["x"] for row in read_history(store, "newer")] == [1, 2]
    assert not other.path.exists()  # sealed
    assert [row["x"] for row in read_history(store, "other")] == [1]
    end_segments(store)
    seal_all(store)
    assert newer.path.read_bytes() == content
    before.undo()
    assert Follower(store, HOST).poll().waiting == 0
    assert [row["x"] for row in read_history(store, "newer")] == [1, 2, 3]
    assert alerts_of(store) == ["a title"]
    assert problems_of(store, "newer") == []
    assert get_run(store, "newer").state == "finished"
    assert not newer.path.exists()


@pytest.mark.slow
def test_commands_report_unknown_records(tmp_path: Path, store: Store, before: pytest.MonkeyPatch) -> None:
    newer, _ = write(store.layout)
    Follower(store, HOST).poll()
    store.close()
    before.undo()
    before.setattr(serving, "COMMAND", (serving.COMMAND[0], "-c", f"{FORGET}{RUN_MAIN}"))
    for name in ("sync", "doctor", "rebuild"):
        done = command(name, "--store", str(store.root), folder=tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert WAITS in done.stdout + done.stderr, name
    done = command("gc", "--store", str(store.root), folder=tmp_path)
    assert "no content was deleted" in done.stderr
    assert WAITS in done.stderr
    assert newer.path.exists()
    before.undo()
    assert command("sync", "--store", str(store.root), folder=tmp_path).returncode == 0
    with closing(open_store(store.root)) as upgraded:
        assert [row["x"] for row in read_history(upgraded, "newer")] == [1, 2, 3]
        assert alerts_of(upgraded) == ["a title"]


def values_of(api: httpx.Client, place: str) -> list[int]:
    return [row["x"] for row in api.get(f"{place}/history").json()["rows"]]


@pytest.mark.slow
def test_a_server_keeps_unknown_records_for_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new client sends all records and deletes its copy. The server is upgraded afterwards."""
    runs = "/projects/local/demo/runs"
    with monkeypatch.context() as old:
        old.setattr(serving, "COMMAND", (serving.COMMAND[0], "-c", f"{FORGET}{RUN_MAIN}"))
        first = Server(tmp_path / "store")
    try:
        use(first, monkeypatch)
        with tracker.init(project="demo", id="newer") as run:
            run.log({"x": 1})
            run.log({"x": 2})
            run.alert("a title", "its text")
            run.log({"x": 3})
        with tracker.init(project="demo", id="other") as run:
            run.log({"x": 1})
        sent(tmp_path)
        with first.client() as api:
            scripts.wait_for(lambda: api.get(f"{runs}/newer").json()["problems"], "the problem")
            (problem,) = api.get(f"{runs}/newer").json()["problems"]
            assert problem.endswith(WAITS)
            assert values_of(api, f"{runs}/newer") == [1, 2]
            assert values_of(api, f"{runs}/other") == [1]
            assert api.get(f"{runs}/other").json()["state"] == "finished"
    finally:
        first.kill()
    with serving.serving(tmp_path / "store") as upgraded, upgraded.client() as api:
        scripts.wait_for(lambda: api.get(f"{runs}/newer").json()["state"] == "finished", "the upgrade")
        found = api.get(f"{runs}/newer").json()
        assert found["problems"] == []
        assert [alert["title"] for alert in found["alerts"]] == ["a title"]
        assert values_of(api, f"{runs}/newer") == [1, 2, 3]


def test_an_older_sender_keeps_unknown_records_for_an_upgrade(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    """It sends only earlier records: a record that it cannot read may need files that it would not send."""
    runs = "/projects/team/demo/runs"
    outbox = Layout(tmp_path / "outbox")
    newer, _ = write(outbox)
    content = newer.path.read_bytes()
    with serving.serving(tmp_path / "store") as server, server.client() as api:
        sender = Sender(outbox, Remote(server.url, None))
        sender.poll()
        sender.close()
        assert WAITS in sender.faults[A]
        assert [path.name for path in outbox.journals.rglob("*.journal")] == [newer.path.name]
        assert newer.path.read_bytes() == content
        assert values_of(api, f"{runs}/newer") == [1, 2]
        assert api.get(f"{runs}/other").json()["state"] == "finished"
        before.undo()
        again = Sender(outbox, Remote(server.url, None))
        again.poll(patient=False)
        again.close()
        assert values_of(api, f"{runs}/newer") == [1, 2, 3]
    assert not newer.path.exists()
