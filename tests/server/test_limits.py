"""Tests of limits per client: bodies, incomplete requests, connections."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import scripts
from serving import ADDRESS, Server, command, serving

import tracker
from tracker.errors import UnreachableError
from tracker.ground.http import Client

PATIENT = """
import server.connections as connections
connections.HEAD_SECONDS = connections.PROGRESS_SECONDS = {seconds}
from tracker.cli.main import main
main(["server", "--port", "0", "--store", "store", *{arguments!r}])
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("limits") / "store", key=True) as server:
        yield server


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def head(path: str, length: int | None, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def upload(sha256: str, length: int) -> bytes:
    made = head(f"/api/v1/ingest/blobs/{sha256}", length, method="PUT")
    return made.replace(b"application/json", b"application/octet-stream")


def memory(process: subprocess.Popen[str]) -> int:
    """Return the resident bytes of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("length", [400_000_000, None, 10])
@pytest.mark.parametrize("path", ["/api/v1/ingest/blobs/missing", "/api/v1/artifacts/change"])
def test_key_is_checked_before_the_body(keyed: Server, path: str, length: int | None) -> None:
    """The answer arrives before the client has sent any byte of the body."""
    with connect(keyed.port) as client:
        client.sendall(head(path, length))
        assert client.recv(1000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/api/v1/ingest/blobs/missing", "/api/v1/session"])
def test_json_body_is_limited(keyed: Server, path: str) -> None:
    key = f"Authorization: Bearer {keyed.key}"
    with connect(keyed.port) as client:
        client.sendall(head(path, 400_000_000, key))
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    before = memory(keyed.process)
    with connect(keyed.port) as client:
        client.sendall(head(path, None, key))
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(64):
                client.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server refused the rest
        try:
            answer = client.recv(1000)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert memory(keyed.process) < before + 64 * 2**20


def test_invalid_draft_is_refused_with_a_reason(keyed: Server) -> None:
    with keyed.client() as client:
        answer = client.post(f"/ingest/drafts/{'0' * 32}", json={})
        assert answer.status_code == 422
        assert "manifest" in answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def patient(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Path, subprocess.Popen[str]]]:
    """Yield a server with short timeouts, by default half a second, and its folder."""
    folder = tmp_path_factory.mktemp("patient")
    process = scripts.start(
        PATIENT.format(arguments=["--no-key"], seconds=getattr(request, "param", 0.5)), folder
    )
    assert process.stdout is not None
    found = ADDRESS.match(process.stdout.readline())
    assert found is not None
    yield int(found[1].rpartition(":")[2]), folder, process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=90)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127",
        head("/api/v1/ingest/blobs/missing", 1000) + b"{",
        upload("a" * 64, 10**6) + b"x",
    ],
    ids=["nothing", "half a head", "half a body", "half a blob"],
)
def test_stalled_request_is_closed(patient: tuple[int, Path, subprocess.Popen[str]], sent: bytes) -> None:
    with connect(patient[0]) as client:
        client.sendall(sent)
        while client.recv(1000):  # until the server closes; the socket's own limit is 30 s
            pass


def test_slow_upload_with_progress_is_not_limited(patient: tuple[int, Path, subprocess.Popen[str]]) -> None:
    content = b"abcdefgh"
    with connect(patient[0]) as client:
        client.sendall(upload(hashlib.sha256(content).hexdigest(), len(content)))
        for byte in content:
            client.sendall(bytes([byte]))
            time.sleep(0.2)  # a slow line: in total three times the timeout for one byte
        assert client.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_long_poll_is_not_closed(patient: tuple[int, Path, subprocess.Popen[str]]) -> None:
    """A client that waits for a change has already sent its complete request."""
    base = f"http://127.0.0.1:{patient[0]}/api/v1"
    now = json.loads(httpx.get(f"{base}/live", params={"timeout": 0}, trust_env=False).content)
    answer = httpx.get(f"{base}/live", params={"since": now["revision"], "timeout": 3}, trust_env=False)
    assert answer.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("patient", [3], indirect=True)
def test_200_slow_clients_do_not_stop_others(patient: tuple[int, Path, subprocess.Popen[str]]) -> None:
    """They send a head, send a body or read an answer, one byte at a time. The limits close all of them."""
    port, folder, process = patient
    run = tracker.init(project="p", settings={"store": folder / "store", "silent": True})
    artifact = tracker.Artifact("large", "data")
    with artifact.new_file("file", "wb") as file:
        file.write(os.urandom(16 * 2**20))
    run.log_artifact(artifact)
    run.finish()
    path = "/api/v1/projects/local/p/artifacts/large/v0/files"
    others = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, headers={"Connection": "close"}
    )
    scripts.wait_for(lambda: others.get(path).status_code == 200, "the artifact")
    before = memory(process)
    slow: dict[int, tuple[socket.socket, str]] = {}
    closing = select.poll()
    for at in range(200):
        client = connect(port)
        kind = ("head", "body", "answer", "answer")[at % 4]
        if kind == "body":
            client.sendall(upload("a" * 64, 10**6))
        elif kind == "answer":
            client.sendall(f"GET {path}/file HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        slow[client.fileno()] = client, kind
        closing.register(client, select.POLLRDHUP)  # also if the server resets the connection
    largest = before
    sending = True
    while slow:
        sending = sending and any(kind != "body" for _, kind in slow.values())
        for client, kind in slow.values() if sending else ():
            with suppress(OSError):  # the server has closed it
                client.send(b"x", socket.MSG_DONTWAIT) if kind != "answer" else client.recv(
                    1, socket.MSG_DONTWAIT
                )
        for number, _ in closing.poll(0):
            closing.unregister(number)
            slow.pop(number)[0].close()
        assert others.get("/api/v1/projects").json()["projects"][0]["runs"] == 1
        largest = max(largest, memory(process))
    assert largest < before + 400 * 2**20  # 100 answers of 16 MiB are waiting
    others.close()


@pytest.mark.slow
def test_server_answers_despite_more_connections_than_descriptors(tmp_path: Path) -> None:
    limited = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'tracker.cli.main', *sys.argv[1:]])"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    process = subprocess.Popen(
        [sys.executable, "-c", limited, "server", "--port", "0", "--store", "store", "--no-key"],
        cwd=tmp_path,
        env=scripts.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    held: list[socket.socket] = []
    try:
        assert process.stdout is not None
        found = ADDRESS.match(process.stdout.readline())
        assert found is not None
        port = int(found[1].rpartition(":")[2])
        for _ in range(600):
            try:
                held.append(connect(port))
            except OSError:
                break
        for each in held[: len(held) // 2]:
            each.close()
        del held[: len(held) // 2]
        scripts.wait_for(lambda: _answers(port), "an answer in spite of many open connections")
    finally:
        for each in held:
            each.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=90)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Traceback" not in errors
    assert len(errors.splitlines()) < 10, errors


def test_a_request_that_the_end_of_the_server_interrupts_can_be_sent_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "store")
    with connect(server.port) as client:
        sent = upload("a" * 64, 100).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        client.sendall(sent)
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")  # the route waits for the body
        assert server.stop() == -signal.SIGTERM
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert [line for line in server.errors if "Traceback" in line] == []
    # A sender waits for the server then, like for one that cannot be reached.
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def repeat() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=repeat)
        thread.start()
        with pytest.raises(UnreachableError, match="The server is ending"):
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}").get("health")
        thread.join()


def _answers(port: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=5, trust_env=False)
        return answer.status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_only_scripts_of_the_owner_find_the_own_key(tmp_path: Path) -> None:
    with serving(tmp_path / "store", key=True) as server:
        for file in (tmp_path / "store" / "server.key", tmp_path / ".config" / "own-keys.json"):
            assert file.stat().st_mode & 0o777 == 0o600
            assert file.stat().st_uid == os.getuid()
        code = """
import tracker
run = tracker.init(project="p", id="sent")
run.log({"x": 1})
run.finish()
"""
        scripts.run(code, tmp_path, TRACKER_BASE_URL=server.url)
        with server.client() as api:
            scripts.wait_for(
                lambda: api.get("/projects/local/p/runs/sent").status_code == 200, "the run to arrive"
            )
        stranger = tmp_path / "stranger"
        code = "import tracker; print(tracker.Api().run('p/sent').state)"
        assert scripts.run(code, tmp_path, TRACKER_BASE_URL=server.url).stdout == "finished\n"
        refused = scripts.run(
            code, tmp_path, check=False, TRACKER_BASE_URL=server.url, TRACKER_CONFIG_DIR=str(stranger)
        )
        assert refused.returncode == 1
        assert "API key missing" in refused.stderr
    with serving(tmp_path / "store", key=True) as again:
        assert again.key == server.key


def test_server_without_a_key_does_not_start_beyond_loopback(tmp_path: Path) -> None:
    done = command("server", "--host", "0.0.0.0", "--port", "0", "--no-key", folder=tmp_path)
    assert done.returncode == 1
    assert "--no-key lets everyone" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_sign_in_link_needs_a_started_server(tmp_path: Path) -> None:
    done = command("server", "--link", "--store", "none", folder=tmp_path)
    assert done.returncode == 1
    assert "No server has served" in done.stderr
    with serving(tmp_path / "store", key=True) as server:
        link = command("server", "--link", "--store", "store", folder=tmp_path).stdout.strip()
        with httpx.Client(trust_env=False, timeout=60) as browser:
            assert browser.get(link).status_code == 303
            assert browser.get(f"{server.url}/api/v1/projects").status_code == 200
        with httpx.Client(trust_env=False, timeout=60) as second:
            assert second.get(link).status_code == 401
            assert second.get(f"{server.url}/api/v1/projects").status_code == 401
        # The cookie alone does not permit changes: another site could make the browser send it.
        link = command("server", "--link", "--store", "store", folder=tmp_path).stdout.strip()
        with httpx.Client(trust_env=False, timeout=60) as browser:
            browser.get(link)
            missing = f"{server.url}/api/v1/ingest/blobs/missing"
            assert browser.post(missing, json={"sha256": []}).status_code == 401
            assert browser.post(missing, json={"sha256": []}, headers={"X-Tracker-Dashboard": "1"}).is_success
