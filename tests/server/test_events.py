"""Streams of events: new changes only, nothing missed across restarts of the server, slow clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import ENTITY, PROJECT, Writer, apply_all, seal_all
from serving import Event, Server, read_events, serving
from sqlalchemy import select

from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import Layout
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

WRITERS = """
import os, time, tracker
writer, number = os.environ["WRITER"], 0
while not os.path.exists("enough"):
    run = tracker.init(entity="team", project=f"p{writer}", id=f"r{writer}-{number}")
    for step in range(20):
        run.log({"x": step})
        time.sleep(0.02)
    run.finish()
    number += 1
"""
SLOW_CLIENTS = 200


def follow(server: Server, path: str = "/live/events", **query: Any) -> Iterator[Event]:
    """Yield the events of one connection."""
    with server.client() as api, api.stream("GET", path, params=query) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        yield from read_events(answer)


def fill(store: Store, *ids: str, project: str = PROJECT, segment: str = "a") -> None:
    """Log runs to a store."""
    for at, run_id in enumerate(ids):
        writer = Writer(store.layout, f"{segment}{at:031x}", run_id, project=project)
        writer.log({"x": 1})
        writer.finish()
    apply_all(store)


def ids(names: list[dict[str, str]]) -> list[str]:
    """Return the ids of runs."""
    return [each["id"] for each in names]


def test_a_client_gets_only_what_is_new(store: Store) -> None:
    fill(store, "one", "two")
    fill(store, "far", project="other", segment="b")
    with serving(store.root) as server, server.client() as api:
        events = follow(server)
        _, now, data = next(events)
        assert (data["runs"], data["removed"]) == ([], [])
        kind, _, data = next(follow(server, since=0))
        assert (kind, sorted(ids(data["runs"]))) == ("changes", ["far", "one", "two"])
        own = follow(server, f"/projects/{ENTITY}/{PROJECT}/live/events", since=0)
        assert sorted(ids(next(own)[2]["runs"])) == ["one", "two"]
        other = follow(server, project=f"{ENTITY}/other", since=0)
        assert ids(next(other)[2]["runs"]) == ["far"]
        assert api.get("/live/events", params={"project": "team"}).status_code == 400
        api.patch(f"/projects/{ENTITY}/other/runs/far", json={"notes": "n"})
        assert ids(next(events)[2]["runs"]) == ["far"]
        api.delete(f"/projects/{ENTITY}/{PROJECT}/runs/one")
        found = [next(events), next(own)]  # the change of the other project is not an event
        assert [ids(data["removed"]) for _, _, data in found] == [["one"], ["one"]]
        assert found[0][1] > now
        api.post(f"/projects/{ENTITY}/{PROJECT}/deleted-runs/one/restore")
        assert ids(next(events)[2]["runs"]) == ["one"]
        with api.stream("GET", "/live/events?since=0", headers={"Last-Event-ID": str(now)}) as answer:
            _, _, data = next(read_events(answer))
            assert sorted(ids(data["runs"])) == ["far", "one"]
        kind, revision, data = next(follow(server, since=10**9))
        assert (kind, data["runs"]) == ("reset", [])
        assert revision < 10**9
    assert server.errors == []  # the server ended, although streams were open


def test_a_client_of_a_rebuilt_store_learns_every_run(store: Store) -> None:
    """The new catalog does not know the old revision: no revision that a client has may hide a run."""
    fill(store, *(f"r{at}" for at in range(5)))
    seal_all(store)
    layout = Layout(store.root)
    path = layout.run_file(ENTITY, PROJECT, "r0")
    before = path.read_bytes()
    for at in range(30):
        apply_edit(store, make_edit(ENTITY, PROJECT, "r0", {"notes": str(at)}))
    with serving(store.root) as server:
        _, known, _ = next(follow(server))
    path.write_bytes(before)  # the newest revisions are not in any file
    store.close()
    with hold_exclusively(layout) as hold:
        hold.catalog.unlink()
        rebuild(layout, hold)
    with serving(store.root) as server:
        kind, _, data = next(follow(server, since=known))
        assert (kind, sorted(ids(data["runs"]))) == ("changes", ["r0", "r1", "r2", "r3", "r4"])


@pytest.mark.slow
def test_nothing_is_missed_across_restarts(tmp_path: Path) -> None:
    """Writers log while the server is killed and started again; a client connects again with its last id."""
    root = tmp_path / "tracker-store"
    server = Server(root)
    writers = [scripts.start(WRITERS, tmp_path, WRITER=str(at)) for at in range(2)]
    seen: dict[tuple[str, str], int] = {}
    last = 0
    for _ in range(3):
        # Each connection takes some events, then the server is killed.
        with server.client() as api, api.stream("GET", "/live/events", params={"since": last}) as answer:
            for at, (kind, revision, data) in enumerate(read_events(answer)):
                assert kind == "changes" and (at == 0 or revision > last)
                last = revision
                seen.update({(each["project"], each["id"]): revision for each in data["runs"]})
                if at == 2:
                    break
        server.kill()
        server = server.again()
    (tmp_path / "enough").touch()
    for writer in writers:
        _, said = writer.communicate(timeout=60)
        assert writer.returncode == 0, said

    def final() -> dict[tuple[str, str], int]:
        store = open_store(root, create=False, to_read=True)
        with store.reading() as session:
            found = session.execute(select(Project.name, Run.run_id, Run.revision).join(Project)).all()
        store.close()
        return {(project, run): at for project, run, at in found}

    scripts.wait_for(lambda: not Layout(root).list_journals(), "the end of all runs", 60)
    assert len(final()) > 2
    with server.client() as api, api.stream("GET", "/live/events", params={"since": last}) as answer:
        for _, revision, data in read_events(answer):
            seen.update({(each["project"], each["id"]): revision for each in data["runs"]})
            if all(seen.get(run, 0) >= at for run, at in final().items()):
                break
    server.stop()
    assert server.errors == []


def memory_of(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
def test_slow_clients_block_nobody(store: Store) -> None:
    """Clients that read nothing cost no memory, however much changes. Others get their events."""
    runs, rounds = 100, 4
    fill(store, *(f"run-{at}-{'x' * 100}" for at in range(runs)))
    with serving(store.root) as server, server.client() as api:
        slow = []
        for _ in range(SLOW_CLIENTS):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /api/v1/live/events?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            slow.append(client)
        events = follow(server)
        next(events)

        def change_all(notes: str) -> None:
            """Edit all runs, and read the events of all these changes."""
            body = {"action": "edit", "filters": {}, "values": {"notes": notes}}
            answer = api.post(f"/projects/{ENTITY}/{PROJECT}/runs/change", json=body)
            assert answer.json()["changed"] == runs
            wanted = api.get("/live").json()["revision"]
            while next(events)[1] < wanted:
                pass

        change_all("first")
        before = memory_of(server.process.pid)
        for at in range(rounds):
            change_all(f"round {at}")
        # A queue for each client would need more: 200 bytes for each change.
        assert memory_of(server.process.pid) - before < SLOW_CLIENTS * rounds * runs * 200
        for client in slow:
            client.close()
    assert server.errors == []
