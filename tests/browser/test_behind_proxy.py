"""Tests of the dashboard, of scripts and of addresses behind nginx, with the examples of docs/serving.md."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import scripts
from playwright.sync_api import Browser, expect
from serving import command

import tracker
from server.app import describe
from tracker.ground.http import Client

from .conftest import checked_page

pytestmark = pytest.mark.proxy

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
SERVING = Path(__file__).parents[2] / "docs" / "serving.md"

SCRIPT = """
import tracker
run = tracker.init(project="shown", id="sent", name="sent")
for step in range(50):
    run.log({"loss": 1 / (step + 1)})
artifact = tracker.Artifact("model", "model")
with artifact.new_file("model.ckpt", "wb") as file:
    file.write(b"weights" * 100)
run.log_artifact(artifact)
run.finish()
"""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a self-signed certificate for 127.0.0.1. Its key is next to it."""
    path = tmp_path / "tracker.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=tracker -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", path.with_suffix(".key"), "-out", path]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return path


@contextmanager
def forwarding(
    listening: socket.socket, server: str, path: str, certificate: Path, authenticates: bool = False
) -> Iterator[None]:
    """Run nginx with an example of the documentation.

    Args:
        listening: The socket on which nginx accepts connections. nginx inherits it.
        server: Address of the server.
        path: The path that nginx forwards; empty for all.
        certificate: The certificate.
        authenticates: Whether nginx names the user: ``ada``, with the password ``of nginx``.
    """
    assert NGINX is not None
    folder = certificate.parent
    whole, of_path, with_user = re.findall(r"```nginx\n(.*?)```", SERVING.read_text(), re.DOTALL)
    location = with_user.replace("/etc/nginx/", f"{folder}/") if authenticates else of_path if path else None
    if location is not None:
        whole = re.sub(r" *location / \{.*?\}\n", lambda _: location, whole, flags=re.DOTALL)
    (folder / "tracker.htpasswd").write_text("ada:{PLAIN}of nginx\n")
    for documented, used in (
        ("listen 443 ssl", f"listen 127.0.0.1:{listening.getsockname()[1]} ssl"),
        ("/etc/ssl/tracker", str(certificate.with_suffix(""))),
        ("http://127.0.0.1:8080", server),
        ("location /tracker/", f"location {path}/"),
    ):
        assert documented in whole or (documented.startswith("location") and not path)
        whole = whole.replace(documented, used)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    settings = folder / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""  # only this user can open the folder of the test
    settings.write_text(
        f"{user}daemon off; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{whole}\n}}"
    )
    process = subprocess.Popen(
        [NGINX, "-e", "stderr", "-c", settings],
        env={**os.environ, "NGINX": f"{listening.fileno()};"},
        pass_fds=[listening.fileno()],
    )
    try:
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(timeout=90)


@pytest.mark.skipif(NGINX is None, reason="nginx is missing. Run: apt-get install nginx-light")
@pytest.mark.parametrize("path", ["", "/tracker"])
def test_everything_works_behind_nginx(
    path: str,
    serve: Callable,
    chromium: Browser,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)  # nginx does not set this for inherited sockets
        origin = f"https://127.0.0.1:{listening.getsockname()[1]}"
        public = f"{origin}{path}"
        served = serve(*(["--url", public] if path else []), key=True)
        with forwarding(listening, served.url, path, certificate):
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            remote = {"TRACKER_BASE_URL": public, "TRACKER_API_KEY": served.key}
            scripts.run(SCRIPT, tmp_path, **remote)
            client = Client(public, served.key)
            scripts.wait_for(lambda: client.get("projects")["projects"], "the project")
            api = tracker.Api({"base_url": public, "api_key": served.key})
            assert api.run("local/shown/sent").url == f"{public}/local/shown?run=sent"
            with checked_page(chromium, re.escape(f"{public}/"), ignore_https_errors=True) as page:
                link = command("server", "--link", folder=tmp_path).stdout.strip()
                assert link.startswith(f"{public if path else served.url}/sign-in?token=")
                page.goto(link.replace(served.url, public))
                assert page.url == f"{public}/"
                page.get_by_test_id("projects").get_by_role("link", name="shown").click()
                (cookie,) = page.context.cookies()
                assert cookie["path"] == f"{path}/"
                assert cookie["secure"]
                page.get_by_test_id("run-row").get_by_text("sent").click()
                page.reload()
                chart = page.locator('[data-testid="chart"][data-key="loss"]')
                expect(chart).to_have_attribute("data-last", '{"sent":0.02}')
                page.get_by_test_id("tab-artifacts").click()
                page.get_by_test_id("artifact").get_by_role("link").first.click()
                with page.expect_download() as downloading:
                    page.get_by_test_id("download").click()
                assert Path(downloading.value.path()).read_bytes() == b"weights" * 100
                page.goto(f"{public}/api/v1/docs")
                operations = [each for methods in describe()["paths"].values() for each in methods]
                expect(page.locator(".opblock")).to_have_count(len(operations))
                page.goto(f"{public}/")
                page.get_by_test_id("sign-out").click()
                expect(page.get_by_test_id("projects")).to_have_count(0)
                assert page.context.cookies() == []
                page.allowed_errors.append("401")  # type: ignore[attr-defined]


@pytest.mark.skipif(NGINX is None, reason="nginx is missing. Run: apt-get install nginx-light")
def test_nginx_names_the_user_and_the_address(serve: Callable, certificate: Path) -> None:
    # The client has another address than nginx, on whose address the server relies.
    client_address, forged = "127.0.0.2", {"X-Remote-User": "root", "X-Forwarded-For": "1.1.1.1"}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        origin = f"https://127.0.0.1:{listening.getsockname()[1]}"
        served = serve("--url", origin, "--proxy", "127.0.0.1", "--trusted-header", "X-Remote-User", key=True)
        transport = httpx.HTTPTransport(
            verify=ssl.create_default_context(cafile=str(certificate)), local_address=client_address
        )
        with (
            forwarding(listening, served.url, "", certificate, authenticates=True),
            httpx.Client(transport=transport, base_url=f"{origin}/api/v1", timeout=60) as outside,
            httpx.Client(
                transport=httpx.HTTPTransport(local_address=client_address),
                base_url=f"{served.url}/api/v1",
                timeout=60,
            ) as around,
        ):
            assert outside.get("/session").status_code == 401  # of nginx
            ada = {"auth": ("ada", "of nginx"), "headers": forged}
            found = outside.get("/session", **ada).json()
            assert (found["signed_in"], found["user"]) == (True, "ada")
            assert around.get("/session", headers=forged).json()["signed_in"] is False
            assert around.get("/projects", headers=forged).status_code == 401
            edit = {"full_name": "Ada"}
            assert outside.patch("/me", json=edit, **ada).status_code == 401  # may come from another site
            page = {**forged, "X-Tracker-Dashboard": "1", "Origin": origin}
            assert outside.patch("/me", json=edit, auth=ada["auth"], headers=page).status_code == 200
            key = {"Authorization": f"Bearer {served.key}"}
            entries = around.get("/audit", headers=key).json()["entries"]
            assert {entry["actor"] for entry in entries if entry["address"] == client_address} == {"ada"}
            assert {entry["address"] for entry in entries} <= {client_address, ""}
            assert [user["name"] for user in around.get("/users", headers=key).json()["users"]] == [
                "ada",
                "admin",
            ]
