"""The long poll: wakes when something changes, returns when nothing does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import Server, serving

import tracker


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A server of an empty store in the folder where runs log."""
    with serving(tmp_path / "tracker-store") as started:
        yield started
    assert started.errors == []


def test_the_revision_at_once_without_since(server: Server) -> None:
    with server.client() as api:
        assert api.get("/live", params={"timeout": 60}).json() == {"revision": 0, "runs": []}


def test_nothing_new_answers_at_the_timeout(server: Server) -> None:
    with server.client() as api:
        now = api.get("/live").json()["revision"]
        assert api.get("/live", params={"since": now, "timeout": 0.3}).json() == {"revision": now, "runs": []}
        ahead = api.get("/live", params={"since": now + 10**6, "timeout": 0}).json()
        assert ahead == {"revision": now, "runs": []}


def test_every_waiting_poll_is_woken_by_a_run(server: Server) -> None:
    """The client gives up before the poll would: an answer can only come from the news."""
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
            # From one answer to the next nothing is missed, until the run has ended.
            since = answer["revision"]
        while api.get("/projects/team/demo/runs/news").json()["state"] != "finished":
            since = api.get("/live", params={"since": since, "timeout": 60}, timeout=30).json()["revision"]
        behind = api.get("/live", params={"since": 0, "timeout": 60}, timeout=30).json()
        assert [each["id"] for each in behind["runs"]] == ["news"]
