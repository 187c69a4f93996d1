"""Tests that routes and the OpenAPI document are built only when they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from server.app import create_app
from server.routing import API, operations
from server.settings import ServerSettings
from tracker.recorder.open_store import open_store


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """Yield an application whose routes no request has used, also in other tests of this process."""
    store = open_store(tmp_path / "tracker-store")
    app = create_app(store, ServerSettings(store.root, no_key=True))
    for route in operations(app.routes):
        vars(route).pop("served", None)
    yield app
    store.close()


def status_of(app: FastAPI, method: str, path: str) -> int:
    """Return the status of an answer."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(send()).status_code


def test_only_the_requested_route_is_built(app: FastAPI) -> None:
    assert status_of(app, "GET", f"{API}/health") == 200
    assert [route.name for route in operations(app.routes) if "served" in vars(route)] == ["get_health"]


def test_a_refused_method_builds_no_document(app: FastAPI) -> None:
    assert status_of(app, "PUT", f"{API}/projects") == 405
    assert app.openapi_schema is None


def test_a_described_route_has_the_type_of_its_answer(app: FastAPI) -> None:
    health = next(route for route in operations(app.routes) if route.name == "get_health")
    assert health.served.response_field is None
    assert health.described().response_field is not None
