"""Fixtures: servers to which runs are sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, serving


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key. No test stops the server; every test has its own project."""
    with serving(tmp_path_factory.mktemp("server") / "store", key=True) as server:
        yield server
    assert server.errors == [], "".join(server.errors)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[list[Server]]:
    """Servers that a test starts and kills itself. The fixture stops the remaining servers."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("[", "-").replace("]", "")
