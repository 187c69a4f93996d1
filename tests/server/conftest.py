"""Fixtures: one store with every kind of logged data, and one real server of it for read-only tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import scripts
from logged import log_everything
from serving import Server, serving

import tracker


@pytest.fixture(scope="session")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return the server of a store that no test changes."""
    folder = tmp_path_factory.mktemp("reading")
    log_everything(folder)
    tracker.Api({"store": folder / "tracker-store"})  # applies all journals before the first test reads
    with serving(folder / "tracker-store") as server:
        with server.client() as client:
            _wait_until_all_is_there(client)
        yield server
    assert not [line for line in server.errors if "Invalid HTTP request" not in line]


def _wait_until_all_is_there(client: httpx.Client) -> None:
    scripts.wait_for(
        lambda: (
            all(
                run["state"] != "running"
                for project in ("demo", "many")
                for run in client.get(f"/projects/team/{project}/runs").json()["runs"]
            )
            and client.get("/projects/team/many/runs").json()["total"] == 7
        ),
        "all runs to be applied",
    )


@pytest.fixture(scope="session")
def api(reading: Server) -> Iterator[httpx.Client]:
    """Return a client of that server."""
    with reading.client() as client:
        yield client
