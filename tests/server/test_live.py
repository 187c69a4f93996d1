"""Tests of the long poll: it returns when something changes, and at the timeout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import Server, serving

import tracker


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Yield a server of an empty store in the folder where runs log."""
    with serving(tmp_path / "tracker-store") as started:
        yield started
    assert started.errors == []


def test_poll_without_since_returns_the_revision_immediately(server: Server) -> None:
    with server.client() as api:
        assert api.get("/live", params={"timeout": 60}).json() == {"revision": 0, "runs": [], "removed": []}


def test_poll_without_a_change_returns_at_the_timeout(server: Server) -> None:
    with server.client() as api:
        now = api.get("/live").json()["revision"]
        same = api.get("/live", params={"since": now, "timeout": 0.3}).json()
        assert same == {"revision": now, "runs": [], "removed": []}
        ahead = api.get("/live", params={"since": now + 10**6, "timeout": 0}).json()
        assert ahead == {"revision": now, "runs": [], "removed": []}


def test_run_wakes_every_waiting_poll(server: Server) -> None:
    """The client's timeout is shorter than the poll's, so only a change can cause an answer."""
    with server.client() as api, ThreadPoolExecutor(4) as pool:
        now = api.get("/live").json()["revision"]
        polls = [
            pool.submit(api.get, "/live", params={"since": now, "timeout": 60}, timeout=30) for _ in range(4)
        ]
        with tracker.init(entity="team", project="demo", id="news", settings={"silent": True}) as run:
            run.log({"x": 1})
            for poll in polls:
                answer = poll.result().json()
                assert answer["revision"] > now
                assert answer["runs"] == [{"entity": "team", "project": "demo", "id": "news"}]
            # No change is missed between one answer and the next, until the run has ended.
            since = answer["revision"]
        while api.get("/projects/team/demo/runs/news").json()["state"] != "finished":
            since = api.get("/live", params={"since": since, "timeout": 60}, timeout=30).json()["revision"]
        behind = api.get("/live", params={"since": 0, "timeout": 60}, timeout=30).json()
        assert [each["id"] for each in behind["runs"]] == ["news"]


def test_poll_names_deleted_and_moved_runs(server: Server) -> None:
    with server.client() as api:
        for name in ("one", "two"):
            tracker.init(entity="team", project="demo", id=name, settings={"silent": True}).finish()
        runs = "/projects/team/demo/runs"
        since = 0

        def poll() -> dict[str, Any]:
            nonlocal since
            found = api.get("/live", params={"since": since, "timeout": 60}, timeout=30).json()
            since = found["revision"]
            return found

        while [each.get("state") for each in api.get(runs).json().get("runs", [])] != ["finished"] * 2:
            poll()
        assert api.delete(f"{runs}/one").status_code == 200
        while not (found := poll())["removed"]:
            pass
        assert found["removed"] == [{"entity": "team", "project": "demo", "id": "one"}]
        assert api.post(f"{runs}/two/move", json={"to_project": "other"}).status_code == 200
        while not (found := poll())["removed"]:
            pass
        assert found["removed"] == [{"entity": "team", "project": "demo", "id": "two"}]
        assert found["runs"] == [{"entity": "team", "project": "other", "id": "two"}]
