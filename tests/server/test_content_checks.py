"""Tests of damaged files over HTTP: the server never sends a complete answer with the original ETag."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import scripts
from builders import Writer, apply_all
from sending import use
from serving import Server, serving

import tracker
from server.content_checks import LARGEST_HASHED_FIRST
from tracker.errors import CommError
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import Layout

MIB = 1024 * 1024
PLACE = "/projects/team/demo/runs/run1/files/{}"
SIZES = {"at-chunks-end": LARGEST_HASHED_FIRST + MIB, "between": LARGEST_HASHED_FIRST + 5}


def content(name: str) -> bytes:
    return random.Random(name).randbytes(SIZES[name])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server of large files. Tests damage and repair the files."""
    store = open_store(tmp_path_factory.mktemp("damaged") / "store")
    writer = Writer(store.layout, "a" * 32)
    for name in SIZES:
        writer.file(name, content(name))
        writer.artifact(f"model-{name}", {"weights.bin": content(name)})
    writer.finish()
    apply_all(store)
    store.close()
    with serving(store.root) as server:
        yield server


@pytest.fixture(params=SIZES)
def damaged(sound: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a file with one flipped bit, near its beginning or its end."""
    name: str = request.param
    whole = content(name)
    blob = blob_of(sound, name)
    blob.chmod(0o644)
    flip(blob, 7 if name == "between" else len(whole) - 1)
    yield name
    blob.write_bytes(whole)


def blob_of(server: Server, name: str) -> Path:
    return Layout(server.store).blob(hashlib.sha256(content(name)).hexdigest())


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-"}])
def test_large_damaged_file_is_not_sent_completely(
    sound: Server, damaged: str, asked: dict[str, str]
) -> None:
    """The first answer ends early. The next answer is an error without an ETag."""
    address = PLACE.format(damaged)
    with sound.client() as client:
        received = 0
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            with client.stream("GET", address, headers=asked) as answer:
                assert int(answer.headers["content-length"]) == SIZES[damaged]
                for piece in answer.iter_bytes():
                    received += len(piece)
        assert received < SIZES[damaged]
        for again in (asked, {"Range": "bytes=100-199"}):
            answer = client.get(address, headers=again)
            assert answer.status_code == 503
            assert "etag" not in answer.headers
            assert f"The stored content of {damaged} is damaged" in answer.json()["error"]["message"]
    named = f"{blob_of(sound, damaged)} is damaged"
    scripts.wait_for(lambda: any(named in line for line in sound.errors), "the line of the server")
    assert not [line for line in sound.errors if "Traceback" in line]


@pytest.mark.parametrize("name", SIZES)
def test_large_intact_file_is_sent_completely(sound: Server, name: str) -> None:
    whole = content(name)
    with sound.client() as client:
        os.utime(blob_of(sound, name))  # changes the state, so that the file is checked again
        for asked, expected in (
            ({"Range": "bytes=100-199"}, whole[100:200]),
            ({"Range": f"bytes=-{len(whole)}"}, whole),
            ({}, whole),
            ({}, whole),
            ({"Range": "bytes=0-0,5-9"}, None),
        ):
            answer = client.get(PLACE.format(name), headers=asked)
            assert answer.status_code in (200, 206)
            assert answer.headers["etag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
            assert expected is None or answer.content == expected


def test_repaired_file_is_sent_again(sound: Server) -> None:
    name = "between"
    blob = blob_of(sound, name)
    whole = blob.read_bytes()
    blob.chmod(0o644)
    flip(blob, 3)
    with sound.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(PLACE.format(name))
        assert client.get(PLACE.format(name)).status_code == 503
        blob.write_bytes(whole)
        assert client.get(PLACE.format(name)).content == whole


def test_client_names_the_damaged_file_and_leaves_no_file(
    sound: Server, damaged: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(sound, monkeypatch)
    api = tracker.Api()
    file = api.run("team/demo/run1").file(damaged)
    with pytest.raises(CommError, match=f"{damaged}: the connection to .* broke while reading"):
        file.download(tmp_path / "down")
    with pytest.raises(CommError, match=f"The stored content of {damaged} is damaged"):
        file.download(tmp_path / "down")
    artifact = api.artifact(f"team/demo/model-{damaged}:v0")
    with pytest.raises(tracker.errors.ArtifactError, match=r"weights\.bin does not match"):
        artifact.download(tmp_path / "down")
    assert [path for path in (tmp_path / "down").rglob("*") if path.is_file()] == []
