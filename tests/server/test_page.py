"""Tests of the dashboard's page, the OpenAPI document, and invalid addresses."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from serving import Server

from server import dashboard
from server.app import create_app
from server.settings import ServerSettings
from tracker.errors import UsageError
from tracker.recorder.open_store import open_store
from tracker.store.store import Store


async def _get(store: Store, path: str, **settings: Any) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(store, ServerSettings(store.root, no_key=True, **settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Yield a store that no test changes."""
    store = open_store(tmp_path_factory.mktemp("empty"))
    yield store
    store.close()


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in place of the built dashboard."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>tracker</title>")
    (folder / "assets" / "app.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(dashboard, "STATIC", folder)
    return folder


@pytest.mark.parametrize(
    "path", ["/", "/team/demo", "/team/demo?run=x&tab=media", "/index.html", "/a" * 3000, "/%00"]
)
def test_address_outside_the_api_is_the_page(empty: Store, built: Path, path: str) -> None:
    answer = asyncio.run(_get(empty, path))
    assert answer.status_code == 200
    assert "<title>tracker</title>" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy  # falls back to 'self': no inline script, no eval
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_named_sites_may_frame_single_panels(empty: Store, built: Path) -> None:
    origins = "https://wiki.example.org, http://board:8080"
    for path, wanted in (
        ("/team/demo?panel=loss&embed=1", "frame-ancestors https://wiki.example.org http://board:8080"),
        ("/team/demo?panel=loss", "frame-ancestors 'none'"),
    ):
        answer = asyncio.run(_get(empty, path, frames=origins))
        assert answer.headers["content-security-policy"].endswith(wanted)
    assert asyncio.run(_get(empty, "/?embed=1")).headers["content-security-policy"].endswith("'none'")
    with pytest.raises(UsageError, match="Invalid origin 'https://h; x'"):
        ServerSettings(empty.root, frames="https://h; x")


def test_browsers_keep_built_files_but_not_the_page(empty: Store, built: Path) -> None:
    asset = asyncio.run(_get(empty, "/assets/app.js"))
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asyncio.run(_get(empty, "/assets/none.js")).headers.get("cache-control") is None
    assert asyncio.run(_get(empty, "/team/demo")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("length", [300, 5000])
def test_too_long_file_name_is_the_page(empty: Store, built: Path, length: int) -> None:
    assert asyncio.run(_get(empty, "/" + "x" * length)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/none", "/api/v2/projects", "/api/", "/api/v1/"])
def test_unknown_api_address_is_not_the_page(empty: Store, built: Path, path: str) -> None:
    answer = asyncio.run(_get(empty, path))
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"code", "message"}


def test_missing_dashboard_is_explained(
    empty: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "STATIC", tmp_path / "nothing")
    answer = asyncio.run(_get(empty, "/team/demo"))
    assert answer.status_code == 503
    assert "does not contain the dashboard" in answer.text
    assert asyncio.run(_get(empty, "/api/v1/health")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/....//....//secret.txt",
        "/assets/..\\..\\secret.txt",
    ],
)
def test_address_cannot_leave_the_static_folder(empty: Store, built: Path, path: str) -> None:
    """The request is built by hand, because clients normalise such addresses before they send them."""

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "root_path": "",
        "http_version": "1.1",
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # a GET has no body, and this caller stays
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(create_app(empty, ServerSettings(empty.root, no_key=True))(scope, receive, send))  # type: ignore[arg-type]
    status, body = sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
    assert status in (200, 404)
    assert b"secret" not in body
    assert b"root:" not in body


RUN = "/api/v1/projects/team/demo/runs/everything"


@pytest.mark.parametrize(
    "path",
    [
        f"{RUN}/files/../../../../../../store.json",
        f"{RUN}/files/..%2f..%2f..%2fstore.json",
        f"{RUN}/files/%2e%2e/%2e%2e/%2e%2e/catalog.db",
        f"{RUN}/files//etc/passwd",
        f"{RUN}/files/%2fetc%2fpasswd",
        f"{RUN}/files/media%00.png",
        f"{RUN}/files/",
        "/api/v1/projects/team/demo/artifacts/model/v0/files/../../../../../etc/passwd",
        "/api/v1/projects/team/demo/artifacts/model/v0/files/%2fetc%2fpasswd",
        "/api/v1/projects/..%2f..%2f/demo/runs/everything",
        "/api/v1/projects/team/demo/runs/..%2f..%2fstore.json",
        "/api/v1/projects/team/demo/runs/" + "x" * 5000,
        "/api/v1/projects/team/demo/runs/%ff%fe",
        "/api/v1/projects/team/demo/runs/%F0%9F%92%A9",
        "/api/v1/projects/team/demo/runs/%27%20OR%201%3D1",
        "/api/v1/projects/team/demo/artifacts/model/%0d%0aX-Injected:%20yes",
    ],
)
def test_invalid_run_and_file_names_are_not_found(reading: Server, path: str) -> None:
    """The paths are sent unchanged over a real connection, because a client would normalise them."""
    connection = http.client.HTTPConnection("127.0.0.1", reading.port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status in (404, 405)
    assert b'"error"' in body
    assert answer.getheader("x-injected") is None
    assert b"root:" not in body
    connection.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_requests_do_not_harm_the_server(reading: Server, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", reading.port), timeout=60) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except OSError:  # the server may close before it has read everything
            answer = b""
    assert not answer or answer.split()[1] == b"400"
    with reading.client() as api:
        assert api.get("/health").json()["status"] == "ok"
