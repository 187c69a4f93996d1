"""Tests of a server with a public address, whose proxy forwards requests with or without its path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from logged import log_everything

from server import dashboard, keys
from server.app import create_app
from server.settings import ServerSettings
from tracker.errors import UsageError
from tracker.recorder.open_store import open_store
from tracker.store.store import Store


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Yield a store with every kind of logged data."""
    folder = tmp_path_factory.mktemp("public")
    log_everything(folder)
    store = open_store(folder / "tracker-store")
    yield store
    store.close()


def request(store: Store, url: str | None, method: str, path: str, **more: object) -> httpx.Response:
    """Return the answer to a request that a proxy forwards."""
    transport = httpx.ASGITransport(create_app(store, ServerSettings(store.root, url=url)))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)  # type: ignore[arg-type]

    return asyncio.run(send())


RUN = "/projects/team/demo/runs/everything"
PUBLIC = "https://example.org/lab/tracker"


@pytest.mark.parametrize(
    ("url", "root", "prefix"),
    [
        (PUBLIC, "/lab/tracker", "/lab/tracker"),
        (f"{PUBLIC}/", "/lab/tracker", ""),  # the proxy removes the path
        ("https://example.org", "", ""),
    ],
)
def test_addresses_have_the_path_of_the_public_address(
    logged: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, root: str, prefix: str
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app.js").write_text("export {}")
    for name in ("index", "reference"):
        (tmp_path / f"{name}.html").write_text(f'<script src="./assets/app.js"></script>{name}')
    monkeypatch.setattr(dashboard, "STATIC", tmp_path)
    for path, name in (("/", "index"), ("/team/demo", "index"), ("/api/v1/docs", "reference")):
        page = request(logged, url, "GET", prefix + path).text
        assert page == f'<script src="{root}/assets/app.js"></script>{name}'
    assert request(logged, url, "GET", f"{prefix}/assets/app.js").text == "export {}"

    api, headers = f"{prefix}/api/v1", {"Authorization": f"Bearer {keys.own_key(logged)}"}
    document = request(logged, url, "GET", f"{api}/openapi.json").json()
    assert document.get("servers") == ([{"url": root}] if root else None)
    table = request(logged, url, "GET", f"{api}{RUN}/table?key=predictions", headers=headers).json()["url"]
    assert table.startswith(f"{root}/api/v1{RUN}/files/media/")
    assert request(logged, url, "GET", table, headers=headers).json()["columns"]
    refused = request(logged, url, "POST", f"{api}/artifacts/change", content=b"{")
    assert refused.status_code == 401  # the key is checked before the body

    for answer in (
        request(logged, url, "GET", f"{prefix}/sign-in?token={keys.make_link_token(logged.layout)}"),
        request(logged, url, "DELETE", f"{api}/session"),
    ):
        cookie = answer.headers["set-cookie"]
        assert f"Path={root}/;" in cookie
        assert "HttpOnly" in cookie
    assert answer.status_code == 204
    signed_in = request(logged, url, "POST", f"{api}/session", json={"key": keys.own_key(logged)})
    assert "Secure" in signed_in.headers["set-cookie"]


def test_address_without_the_slash_and_redirect(logged: Store) -> None:
    assert request(logged, PUBLIC, "GET", "/lab/tracker").headers["content-type"].startswith("text/html")
    link = f"/lab/tracker/sign-in?token={keys.make_link_token(logged.layout)}"
    assert request(logged, PUBLIC, "GET", link).headers["location"] == "/lab/tracker/"


@pytest.mark.parametrize(
    "url",
    ["example.org", "https://", "https://h/api", "https://h/assets/x", "https://h/a?b", "https://h/a//b"],
)
def test_invalid_public_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="Invalid address"):
        ServerSettings(tmp_path, url=url)
