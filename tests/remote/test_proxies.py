"""Runs that are sent and read through the proxy of a login node, with plain HTTP and with TLS."""

from __future__ import annotations

import base64
import http.client
import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import scripts
from serving import Server

from tracker.errors import UnreachableError
from tracker.ground.http import Client
from tracker.ground.proxies import find_proxy

# Only the proxy knows this host.
HOST = "tracker.example"
PASSWORD = "p@ss word"
LOGIN = "ada:p%40ss%20word"

SCRIPT = """
import tracker
with tracker.init(project="PROJECT", id="r") as run:
    for value in range(3):
        run.log({"x": value})
    artifact = tracker.Artifact("model", "model")
    with artifact.new_file("weights.bin", "wb") as file:
        file.write(bytes(100_000))
    run.log_artifact(artifact).wait()
read = tracker.Api().run("PROJECT/r")
assert [row["x"] for row in read.history(pandas=False)] == [0, 1, 2]
assert read.state == "finished"
tracker.Api().artifact("PROJECT/model:latest").download("down")
"""


class Forwarding(ThreadingHTTPServer):
    """A proxy that forwards requests for any host to one port of this host.

    Args:
        port: The port.
        password: Whether the proxy requires a password.
        certificate: The certificate of the proxy, to use TLS; None for plain HTTP.
    """

    daemon_threads = True

    def __init__(self, port: int, *, password: bool = False, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.onward = ("127.0.0.1", port)
        self.password = password
        self.asked: list[tuple[str, str]] = []
        self.address = f"127.0.0.1:{self.server_port}"


@contextmanager
def forwarding(port: int, *, password: bool = False, certificate: Path | None = None) -> Iterator[Forwarding]:
    """Run a ``Forwarding`` proxy during the block."""
    server = Forwarding(port, password=password, certificate=certificate)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Forwarding

    def _forward(self) -> None:
        if not self._is_allowed():
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path)._replace(scheme="", netloc="").geturl()
        kept = {name: value for name, value in self.headers.items() if name != "Proxy-Authorization"}
        with closing(http.client.HTTPConnection(*self.server.onward)) as onward:
            onward.request(self.command, path, body, kept)
            answer = onward.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = _forward

    def do_CONNECT(self) -> None:
        if not self._is_allowed():
            return
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection(self.server.onward) as onward, suppress(OSError):
            while True:
                for ready in select.select([self.connection, onward], [], [])[0]:
                    if not (data := ready.recv(65536)):
                        return
                    (onward if ready is self.connection else self.connection).sendall(data)

    def _is_allowed(self) -> bool:
        self.server.asked.append((self.command, self.path))
        login = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
        if not self.server.password or self.headers.get("Proxy-Authorization") == f"Basic {login}":
            return True
        self.send_error(407)
        self.close_connection = True
        return False

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of ``HOST`` and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", "-"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(made.stdout)
    return path


@pytest.mark.slow
def test_runs_are_sent_to_and_read_from_a_server_behind_a_proxy(
    shared: Server, project: str, tmp_path: Path
) -> None:
    with forwarding(shared.port, password=True) as proxy:
        scripts.run(
            SCRIPT.replace("PROJECT", project),
            tmp_path,
            TRACKER_BASE_URL=f"http://{HOST}",
            TRACKER_API_KEY=shared.key or "",
            HTTP_PROXY=f"http://{LOGIN}@{proxy.address}",
        )
    assert (tmp_path / "down" / "weights.bin").read_bytes() == bytes(100_000)
    assert ("POST", f"http://{HOST}/api/v1/ingest/blobs/missing") in proxy.asked


def test_a_server_with_tls_behind_a_proxy(
    shared: Server, project: str, certificate: Path, tmp_path: Path
) -> None:
    with (
        forwarding(shared.port, certificate=certificate) as front,
        forwarding(front.server_port, password=True) as proxy,
    ):
        scripts.run(
            SCRIPT.replace("PROJECT", project),
            tmp_path,
            TRACKER_BASE_URL=f"https://{HOST}",
            TRACKER_API_KEY=shared.key or "",
            https_proxy=f"{LOGIN}@{proxy.address}",
            SSL_CERT_FILE=str(certificate),
        )
    assert (tmp_path / "down" / "weights.bin").read_bytes() == bytes(100_000)
    assert set(proxy.asked) == {("CONNECT", f"{HOST}:443")}
    assert ("POST", "/api/v1/ingest/blobs/missing") in front.asked


def test_errors_name_an_unusable_proxy(
    shared: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding(shared.port, password=True) as proxy:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://ada:wrong@{proxy.address}")
            with pytest.raises(
                UnreachableError, match=f"407.*proxy {proxy.address}|proxy {proxy.address}.*407"
            ):
                Client(f"{scheme}://{HOST}").get("session")
    with pytest.raises(UnreachableError, match=f"through the proxy {proxy.address}: Connection refused"):
        Client(f"https://{HOST}").get("session")
    for address in (
        "socks5://ada:secret@proxy:1080",
        "https://ada:secret@proxy:3128",
        "http://ada:secret@proxy:x",
    ):
        monkeypatch.setenv("https_proxy", address)
        with pytest.raises(UnreachableError, match=r"Invalid proxy '.*proxy:\w+' in HTTPS_PROXY") as raised:
            Client(f"https://{HOST}").get("session")
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("server", "without", "direct"),
    [
        ("http://tracker.example:8080", "", False),
        ("http://tracker.example:8080", "other.org, .example", True),
        ("http://tracker.example:8080", "tracker.example:8080", True),
        ("http://tracker.example:8080", "tracker.example:8081", False),
        ("http://tracker.example:8080", "*", True),
        ("http://10.1.2.3:8080", "", False),
        ("http://10.1.2.3:8080", "10.1.2.3", True),
        ("http://10.1.2.3:8080", "10.1.0.0/16, example", True),
        ("http://10.2.2.3:8080", "10.1.0.0/16", False),
        ("http://[fd00::1]:8080", "fd00::/8", True),
        ("http://localhost:8080", "", True),
        ("http://127.0.0.2:8080", "", True),
        ("http://[::1]:8080", "", True),
        ("https://tracker.example", "", True),  # HTTP_PROXY does not apply to https
    ],
)
def test_servers_without_a_proxy(
    server: str, without: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", without)
    assert (find_proxy(urlsplit(server)) is None) == direct
