"""Tests of a server whose provider of OpenID Connect does not work, and of the settings.

``tests/sso`` has the tests with a real provider.
"""

from __future__ import annotations

import http.server
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Server, command, serving

from server.accounts import openid_connect
from server.settings import OidcSettings, ServerSettings
from tracker.errors import UsageError


@contextmanager
def broken_provider(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """Yield the address of a provider that gives the same answer to all requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as provider:
        thread = threading.Thread(target=provider.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{provider.server_address[1]}"
        provider.shutdown()
        thread.join()


def with_provider(issuer: str, store: Path) -> Any:
    """Return a server with a provider, inside a context."""
    return serving(store, "--oidc-issuer", issuer, "--oidc-client-id", "tracker", key=True)


def start(server: Server) -> tuple[int, str]:
    """Start to sign in; return the status and the line on the page."""
    answer = httpx.get(f"{server.url}/sign-in/oidc", trust_env=False, timeout=60)
    found = re.findall(r"<p>([^<]*)</p>", answer.text)
    assert len(found) == 1
    assert answer.headers["content-security-policy"]
    return answer.status_code, found[0]


def test_server_works_while_its_provider_does_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        issuer = f"http://127.0.0.1:{free.getsockname()[1]}"
    with with_provider(issuer, tmp_path / "tracker-store") as server, server.client() as client:
        place = client.get("/session").json()["sign_in"][0]
        assert place == {"name": "Single sign-on", "url": "/sign-in/oidc", "problem": None}
        line = f"Cannot reach the provider {issuer.removeprefix('http://')}: Connection refused"
        assert start(server) == (502, line)
        assert client.get("/session").json()["sign_in"][0]["problem"] == line
        user = {"name": "ada", "password": "long enough"}
        assert client.post("/users", json=user).status_code == 201
        assert client.post("/session", json=user).status_code == 204


@pytest.mark.parametrize(
    ("status", "headers", "body", "line"),
    [
        (500, {}, b"", "answers 500 Internal Server Error."),
        (302, {"Location": "https://evil.example/"}, b"", "answers 302 Found."),
        (200, {}, b"<html>", "Expecting value: line 1 column 1 (char 0)"),
        (200, {}, b"[]", "does not answer with a JSON object."),
        (200, {}, b"[" * 100_000, "maximum recursion depth exceeded"),
        (200, {}, b'{"issuer": null}', "has the issuer None. Use the same one for --oidc-issuer."),
        (200, {"Content-Length": "100"}, b"{", "Cannot reach the provider"),
    ],
)
def test_broken_provider_gives_one_line(status: int, headers: dict[str, str], body: bytes, line: str) -> None:
    with broken_provider(status, headers, body) as issuer:
        provider = openid_connect.OpenIdProvider(OidcSettings(issuer, "tracker"))
        with pytest.raises(openid_connect.UnreachableError) as failure:
            provider.sign_in_url(openid_connect.Secrets("s", "n", "v"), "http://localhost/back")
        assert line in failure.value.message
        assert provider.problem == failure.value.message


def test_provider_that_does_not_answer_occupies_few_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_connect, "TIMEOUT_SECONDS", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        provider = openid_connect.OpenIdProvider(OidcSettings(issuer, "tracker"))

        def attempt() -> str:
            with pytest.raises(openid_connect.UnreachableError) as failure:
                provider.sign_in_url(openid_connect.Secrets("s", "n", "v"), "http://localhost/back")
            return failure.value.message

        with ThreadPoolExecutor(openid_connect.MOST_AT_ONCE) as pool:
            waiting = [pool.submit(attempt) for _ in range(openid_connect.MOST_AT_ONCE)]
            connected = [silent.accept()[0] for _ in waiting]  # each attempt waits for its answer
            assert attempt() == "Too many people sign in at the moment. Try again."
            for each in connected:
                each.close()
            assert all("Cannot reach the provider" in each.result() for each in waiting)


def test_server_without_a_provider(tmp_path: Path) -> None:
    with serving(tmp_path / "tracker-store", key=True) as server:
        with server.client() as client:
            assert client.get("/session").json()["sign_in"] == []
        assert start(server)[0] == 404
        answer = httpx.get(f"{server.url}/sign-in/oidc/callback?code=x&state=y", trust_env=False, timeout=60)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        (
            ["--oidc-issuer", "https://id.example"],
            {},
            "Single sign-on needs --oidc-issuer and --oidc-client-id.",
        ),
        (
            [],
            {"TRACKER_OIDC_CLIENT_ID": "tracker"},
            "Single sign-on needs --oidc-issuer and --oidc-client-id.",
        ),
        (["--oidc-client-secret-file", "none"], {}, "No such file or directory: 'none'"),
        (["--oidc-issuer", "http://id.example"], {}, "Invalid issuer 'http://id.example'. Use https://HOST"),
        (["--oidc-issuer", "id.example"], {}, "Invalid issuer 'id.example'."),
        (["--oidc-admin", "groups"], {}, "Invalid claim 'groups'. Use CLAIM=VALUE"),
        (["--oidc-scopes", "profile"], {}, "Invalid scopes 'profile'. Scopes contain openid."),
        (["--no-key"], {}, "--no-key lets everyone in, so leave out --oidc-issuer."),
        ([], {"TRACKER_PROXY": "10.0.0.300"}, "Invalid proxy: '10.0.0.300'"),
    ],
)
def test_invalid_options_give_one_line(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], line: str
) -> None:
    usual = {"TRACKER_OIDC_ISSUER": "https://id.example", "TRACKER_OIDC_CLIENT_ID": "tracker"}
    given = variables if "needs" in line else usual | variables
    done = command("server", "--port", "0", *arguments, folder=tmp_path, **given)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
    assert not (tmp_path / "tracker-store").exists()


def test_secret_is_in_no_text(tmp_path: Path) -> None:
    settings = OidcSettings("https://id.example", "tracker", "the secret")
    assert "the secret" not in repr(ServerSettings(tmp_path, oidc=settings))
    with pytest.raises(UsageError):
        OidcSettings("https://id.example?x", "tracker")
