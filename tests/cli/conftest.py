"""Fixtures of commands that read runs from several places."""

from __future__ import annotations

import pytest
from serving import Server


@pytest.fixture(params=["store", "server", "node"])
def place(request: pytest.FixtureRequest, served: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the variables of a process that reads a store, its server, or only the store's files.

    ``served`` is a fixture of the file: the server.
    """
    if request.param == "server":
        monkeypatch.setenv("TRACKER_BASE_URL", served.url)
        monkeypatch.setenv("TRACKER_API_KEY", served.key or "")
    else:
        monkeypatch.setenv("TRACKER_STORE", str(served.store))
    if request.param == "node":
        monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")
    return str(request.param)
