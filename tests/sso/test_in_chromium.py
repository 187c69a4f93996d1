"""A person signs in with Chromium, at a real provider on another site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.conftest import chromium  # noqa: F401
from playwright.sync_api import Browser
from serving import serving

from .conftest import ADA, SECRET, Provider

pytestmark = pytest.mark.sso


@pytest.fixture
def elsewhere() -> Iterator[Provider]:
    """Yield a provider at ``localhost``, which is another site than 127.0.0.1."""
    provider = Provider("localhost")
    yield provider
    provider.stop()


def test_sign_in_with_chromium(elsewhere: Provider, chromium: Browser, tmp_path: Path) -> None:  # noqa: F811
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    options = ["--oidc-issuer", elsewhere.issuer, "--oidc-client-id", "tracker"]
    options += ["--oidc-client-secret-file", str(secret)]
    with serving(tmp_path / "tracker-store", *options, key=True) as server:
        back = f"{server.url}/sign-in/oidc/callback"
        elsewhere.configure(redirect_uris=[back], accounts={"1": ADA})
        context = chromium.new_context()
        # The pages of the provider ask for fonts of another host.
        context.route(re.compile(r"^https://"), lambda route: route.abort())
        page = context.new_page()
        who = "fetch('/api/v1/session').then(answer => answer.json()).then(session => session.user)"
        page.goto(server.url)
        assert page.evaluate(who) is None
        page.evaluate("location.assign('/sign-in/oidc?next=/team/demo?run=1')")
        page.locator("input[name=login]").fill("1")
        page.locator("input[name=password]").fill("any")
        page.get_by_role("button", name="Sign-in").click()
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(f"{server.url}/team/demo?run=1")
        assert page.evaluate(who) == "ada"
        (cookie,) = [each for each in context.cookies() if each["name"].startswith("tracker")]
        assert (cookie["name"], cookie["sameSite"], cookie["httpOnly"]) == ("tracker_session", "Strict", True)
        context.close()
