"""Downloads from a real server: parallel ranges, packs, lost connections, kills, wrong bytes."""

from __future__ import annotations

import hashlib
import os
import random
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import scripts
from serving import Server, serving

import tracker
from tracker.artifacts.artifact import Artifact
from tracker.errors import ArtifactError, AuthenticationError, CommError
from tracker.ground.terminal import Progress
from tracker.reading.transfer import fetch as fetching
from tracker.reading.transfer import request_plan
from tracker.reading.transfer.partial_file import RANGE
from tracker.store.objects.layout import Layout

BIG = 2 * RANGE + 3 * 1024 * 1024 + 5
SMALL = 3000


def content(name: str, size: int) -> bytes:
    """Return the bytes of a file, which depend only on the arguments."""
    return random.Random(name).randbytes(size)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an artifact of large files and an artifact of many small files."""
    folder = tmp_path_factory.mktemp("downloads")
    with tracker.init(project="p", settings={"store": folder / "tracker-store", "silent": True}) as run:
        big = tracker.Artifact("big", "model")
        (folder / "big.bin").write_bytes(content("big", BIG))
        big.add_file(folder / "big.bin")
        big.add_file(folder / "big.bin", "again/big.bin")
        with big.new_file("middle.bin", "wb") as file:
            file.write(content("middle", 1_000_000))
        run.log_artifact(big).wait()
        many = tracker.Artifact("many", "dataset")
        for at in range(SMALL):
            with many.new_file(f"{at % 7}/{at}.bin", "wb") as file:
                file.write(content(str(at), at % 9_000))
        with many.new_file("twin.bin", "wb") as file:
            file.write(content("8", 8))
        run.log_artifact(many).wait()
    with serving(folder / "tracker-store", key=True) as server:
        yield server
    assert server.errors == [], "".join(server.errors)


class Proxy:
    """A proxy in front of a server that counts requests and cuts connections.

    Args:
        port: The port of the server.
        cut: Returns, for the number of a connection, the number of answered bytes after which the proxy cuts
            the connection; None for never.
    """

    def __init__(self, port: int, cut: Callable[[int], int | None]) -> None:
        self._port = port
        self._cut = cut
        self.connections = 0
        self.requests: list[bytes] = []
        self.sent = 0
        self.pause_at = sys.maxsize
        self._closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def ranges(self) -> list[bytes]:
        """The requests for content."""
        return [request for request in self.requests if b"/blobs/" in request]

    def close(self) -> None:
        """Stop accepting connections and close waiting connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._closed.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            limit = self._cut(self.connections)
            threading.Thread(target=self._pass, args=(client, limit), daemon=True).start()

    def _pass(self, client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            passed = 0
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    try:
                        data = ready.recv(65536)
                        if not data:
                            return
                        if ready is client:
                            self.requests.append(data)
                            server.sendall(data)
                            continue
                        if self.sent > self.pause_at:
                            self._closed.wait()
                        client.sendall(data)
                    except OSError:
                        return
                    passed += len(data)
                    self.sent += len(data)
                    if limit is not None and passed > limit:
                        return


@contextmanager
def through(server: Server, cut: Callable[[int], int | None] = lambda number: None) -> Iterator[Proxy]:
    """Start a proxy in front of a server."""
    proxy = Proxy(server.port, cut)
    try:
        yield proxy
    finally:
        proxy.close()


def version(server: Server, name: str, url: str | None = None) -> Artifact:
    """Return an artifact that is read from the server."""
    return tracker.Api({"base_url": url or server.url, "api_key": server.key}).artifact(f"p/{name}:v0")


def noted(folder: Path) -> int:
    """Return the number of bytes of the large file that the table of its partial file counts."""
    part = folder / f"again/.{hashlib.sha256(content('big', BIG)).hexdigest()}.part"
    table = part.read_bytes()[BIG + 16 :] if part.exists() else b""
    return sum(count for (count,) in struct.iter_unpack("<Q", table))


def check_big(folder: Path) -> None:
    """Compare the files of the large artifact; the folder has no other files."""
    big = content("big", BIG)
    assert (folder / "big.bin").read_bytes() == big
    assert (folder / "again/big.bin").read_bytes() == big
    assert (folder / "middle.bin").read_bytes() == content("middle", 1_000_000)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "big.bin",
        "big.bin",
        "middle.bin",
    ]


@pytest.mark.slow
def test_a_large_file_comes_in_ranges_over_several_connections(served: Server, tmp_path: Path) -> None:
    with through(served) as proxy:
        version(served, "big", proxy.url).download(tmp_path / "down")
        check_big(tmp_path / "down")
        # Three ranges of the content that two files share, and one request for the middle file.
        assert len(proxy.ranges) == 4
        assert proxy.connections == 1 + fetching.CONNECTIONS
        assert (tmp_path / "down/big.bin").stat().st_mode == (tmp_path / "down/again/big.bin").stat().st_mode
        version(served, "big", proxy.url).download(tmp_path / "down")
        assert len(proxy.ranges) == 4, "what is there and right is not fetched again"
        (tmp_path / "down/middle.bin").write_bytes(b"something else")
        version(served, "big", proxy.url).download(tmp_path / "down")
        assert len(proxy.ranges) == 5
    check_big(tmp_path / "down")


def test_many_small_files_need_one_request_for_each_span(served: Server, tmp_path: Path) -> None:
    with through(served) as proxy:
        version(served, "many", proxy.url).download(tmp_path / "down")
        total = sum(at % 9_000 for at in range(SMALL))
        assert 1 <= len(proxy.ranges) <= total // request_plan.SPAN + 2
    for at in range(SMALL):
        assert (tmp_path / f"down/{at % 7}/{at}.bin").read_bytes() == content(str(at), at % 9_000)
    assert (tmp_path / "down/twin.bin").read_bytes() == content("8", 8)


def test_a_few_of_many_files_do_not_fetch_the_whole_pack(served: Server, tmp_path: Path) -> None:
    with through(served) as proxy:
        artifact = version(served, "many", proxy.url)
        assert len(artifact.manifest.entries) == SMALL + 1
        before = proxy.sent
        artifact.download(tmp_path / "down", path_prefix="3/10.bin")
        assert len(proxy.ranges) == 1
        assert proxy.sent - before < 10_000
    assert (tmp_path / "down/3/10.bin").read_bytes() == content("10", 10)


@pytest.mark.slow
def test_lost_connections_resume(served: Server, tmp_path: Path) -> None:
    cut = 5 * 1024 * 1024
    with through(served, lambda number: None if number == 1 else cut) as proxy:
        version(served, "big", proxy.url).download(tmp_path / "down")
        assert proxy.connections > BIG // cut
        # A received byte is not requested again. Bytes in transit during a cut may be requested again.
        assert proxy.sent < BIG * 1.3
    check_big(tmp_path / "down")


@pytest.mark.slow
def test_a_stopped_server_is_an_error_and_the_next_download_resumes(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_WAIT", 0.001)
    with through(served, lambda number: None if number == 1 else 8_000_000 if number < 6 else 0) as proxy:
        artifact = version(served, "big", proxy.url)
        with pytest.raises(CommError, match=r"broke while reading|cannot reach"):
            artifact.download(tmp_path / "down")
        assert not (tmp_path / "down/big.bin").exists()
    with through(served) as proxy:
        version(served, "big", proxy.url).download(tmp_path / "down")
        assert proxy.sent < BIG
    check_big(tmp_path / "down")


@pytest.mark.slow
def test_a_killed_download_resumes(served: Server, tmp_path: Path) -> None:
    script = """
import tracker
tracker.Api().artifact("p/big:v0").download("down")
"""
    with through(served) as proxy:
        proxy.pause_at = RANGE
        process = scripts.start(
            script, tmp_path, TRACKER_BASE_URL=proxy.url, TRACKER_API_KEY=served.key or ""
        )
        try:
            scripts.wait_for(lambda: noted(tmp_path / "down") > RANGE // 4, "a quarter of a range", 60)
        finally:
            process.kill()
            process.communicate()
    came = noted(tmp_path / "down")
    assert came > RANGE // 4
    with through(served) as proxy:
        version(served, "big", proxy.url).download(tmp_path / "down")
        assert proxy.sent < BIG + 1_200_000 - came
    check_big(tmp_path / "down")


def test_wrong_bytes_of_a_killed_download_are_fetched_again(served: Server, tmp_path: Path) -> None:
    digest = hashlib.sha256(content("middle", 1_000_000)).hexdigest()
    (tmp_path / "down").mkdir()
    # The file has all bytes, as after a kill before the rename, but a power cut has changed them.
    (tmp_path / f"down/.{digest}.part").write_bytes(bytes(1_000_000))
    version(served, "big").download(tmp_path / "down")
    check_big(tmp_path / "down")


@pytest.mark.slow
def test_two_downloads_at_the_same_time(served: Server, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def download() -> None:
        try:
            version(served, "big").download(tmp_path / "down")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=download) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_big(tmp_path / "down")


@pytest.mark.parametrize("how", ["other byte", "shorter"])
@pytest.mark.parametrize(("name", "path", "size"), [("big", "big.bin", BIG), ("middle", "middle.bin", 10**6)])
def test_a_wrong_byte_names_the_file_and_changes_nothing(
    served: Server, tmp_path: Path, how: str, name: str, path: str, size: int
) -> None:
    blob = Layout(served.store).blob(hashlib.sha256(content(name, size)).hexdigest())
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / path).write_bytes(b"mine")
    whole = blob.read_bytes()
    os.chmod(blob, 0o644)
    try:
        if how == "shorter":
            os.truncate(blob, size // 4)
        else:
            with blob.open("r+b") as file:
                file.seek(size - 10)
                file.write(bytes([whole[size - 10] ^ 1]))
        with pytest.raises(ArtifactError, match=f"content of big/(again/)?{path} does not match"):
            version(served, "big").download(tmp_path / "down")
    finally:
        blob.write_bytes(whole)
    assert (tmp_path / "down" / path).read_bytes() == b"mine"
    assert not (tmp_path / f"down/.{blob.parent.name}{blob.name}.part").exists()
    version(served, "big").download(tmp_path / "down")
    assert (tmp_path / "down" / path).read_bytes() == whole


def test_a_wrong_byte_in_a_pack_names_the_file(served: Server, tmp_path: Path) -> None:
    entry = version(served, "many").get_entry("0/7000.bin" if SMALL > 7000 else "6/2001.bin")._entry
    assert entry.pack is not None
    blob = Layout(served.store).blob(entry.pack)
    whole = blob.read_bytes()
    os.chmod(blob, 0o644)
    wrong = bytearray(whole)
    wrong[entry.offset] ^= 1
    blob.write_bytes(wrong)
    try:
        with pytest.raises(ArtifactError, match=f"content of many/{entry.path} does not match"):
            version(served, "many").download(tmp_path / "down")
    finally:
        blob.write_bytes(whole)
    assert not (tmp_path / "down" / entry.path).exists()


def test_content_missing_on_the_server(served: Server, tmp_path: Path) -> None:
    blob = Layout(served.store).blob(hashlib.sha256(content("middle", 10**6)).hexdigest())
    blob.rename(tmp_path / "aside")
    try:
        with pytest.raises(ArtifactError, match=r"Cannot download big: middle\.bin: .*not in this store"):
            version(served, "big").download(tmp_path / "down")
    finally:
        (tmp_path / "aside").rename(blob)


def test_no_key_is_one_clear_error(served: Server, tmp_path: Path) -> None:
    artifact = version(served, "big")
    assert artifact._reader is not None
    artifact._reader._remote = artifact._reader._remote._replace(key=None)  # type: ignore[attr-defined]
    artifact.contents  # noqa: B018
    with pytest.raises(AuthenticationError, match="key"):
        artifact.download(tmp_path / "down")
    assert not list((tmp_path / "down").rglob("*.*"))
    with pytest.raises(AuthenticationError, match="key"):
        tracker.Api({"base_url": served.url}).artifact("p/big:v0")


def test_the_progress_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress("downloading a:v0", 4 * 1024**2)
    progress.skip(1024**2)
    progress.add(2 * 1024**2)
    assert progress.line(2.0) == "downloading a:v0: 3.0 MiB of 4.0 MiB (75%), 1.0 MiB/s"
    progress.close(whole=True)
    assert capsys.readouterr().err == "", "a short one prints nothing"
    monkeypatch.setattr("tracker.ground.terminal._LONG_SECONDS", -1.0)
    Progress("downloading a:v0", 0).close(whole=True)
    assert capsys.readouterr().err.count("\n") == 1
    Progress("downloading a:v0", 0, silent=True).close(whole=True)
    Progress("downloading a:v0", 0).close(whole=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("tracker.ground.terminal._REDRAW_SECONDS", 0.0)
    progress = Progress("downloading a:v0", 100)
    progress.add(50)
    progress.add(50)
    progress.close(whole=True)
    drawn = capsys.readouterr().err
    assert drawn.startswith("\rtracker: downloading a:v0: 50 B of 100 B (50%)")
    assert drawn.endswith("\n")
