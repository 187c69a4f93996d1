"""Archives of versions over HTTP, read back with Python's modules and with the programs unzip and tar."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import scripts
from builders import ENTITY, PROJECT, Writer, apply_all
from serving import Server, serving

import tracker
from tracker.ground.names import path_on_disk
from tracker.ground.records import ArtifactLogged
from tracker.store.blobs.manifest import Entry, make_manifest, write_manifest
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

MIB = 1024 * 1024
RANDOM = random.Random(0)
FILES = {
    "plain.txt": b"plain",
    "empty": b"",
    "folder/ü ✓ 你好.bin": bytes(range(256)),
    "folder/deep/" + "d/" * 60 + "end": b"deep",
    "y" * 250 + "/" + "é" * 120 + ".txt": b"long parts",
    "z" * 600 + ".bin": b"a part that no file system allows",
    "-rf": b"looks like an option",
    "a b  c'\"*?[x]": b"characters of shells",
    "back\\slash": b"a backslash",
    "at-limit": RANDOM.randbytes(256 * 1024),
    "large.bin": RANDOM.randbytes(5 * MIB + 1),
}
URI = "https://example.com/data/x"
COUNT = 2_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return the server of a store with versions of all kinds. Tests damage and repair its content."""
    folder = tmp_path_factory.mktemp("archives")
    run = tracker.init(
        entity=ENTITY, project=PROJECT, id="r", settings={"store": folder / "store", "silent": True}
    )
    odd = tracker.Artifact("odd", "dataset")
    for path, content in FILES.items():
        with odd.new_file(path, "wb") as file:
            file.write(content)
    odd.add_reference(URI, "there/x", checksum=False)
    many = tracker.Artifact("many", "dataset")
    for at in range(COUNT):
        with many.new_file(f"{at % 7}/{at:06}.txt") as file:
            file.write(f"content {at}")
    for artifact in (odd, many):
        run.log_artifact(artifact).wait()
    run.finish()
    with serving(folder / "store") as server:
        with server.client() as api:
            versions = f"/projects/{ENTITY}/{PROJECT}/artifacts?name=many"
            scripts.wait_for(lambda: api.get(versions).json()["artifacts"], "the versions to be applied")
        yield server
    assert not [line for line in server.errors if "Traceback" in line]


def archive(name: str, form: str, prefix: str = "") -> str:
    return f"/projects/{ENTITY}/{PROJECT}/artifacts/{name}/v0/archive?format={form}&prefix={prefix}"


def read(form: str, data: bytes) -> dict[str, bytes]:
    """Return the files of an archive by name."""
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            assert opened.testzip() is None
            return {info.filename: opened.read(info) for info in opened.infolist()}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def unpack(form: str, file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Unpack an archive with the program of its format."""
    folder.mkdir()
    command = ["unzip", "-q", str(file)] if form == "zip" else ["tar", "-xf", str(file)]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_archive_has_every_file_of_the_version(made: Server, form: str, tmp_path: Path) -> None:
    with made.client() as api:
        answer = api.get(archive("odd", form))
    assert answer.headers["content-disposition"].endswith(f"odd-v0.{form}")
    assert "content-encoding" not in answer.headers
    found = read(form, answer.content)
    listed = json.loads(found.pop("tracker-references.json"))
    assert listed == [{"path": "there/x", "ref": URI, "digest": URI, "size": 0}]
    expected = {path_on_disk(path): content for path, content in FILES.items()}
    assert found == expected
    (tmp_path / "archive").write_bytes(answer.content)
    done = unpack(form, tmp_path / "archive", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    unpacked = files_below(tmp_path / "out")
    unpacked.pop("tracker-references.json")
    assert unpacked == expected


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_archive_of_many_packed_files(made: Server, form: str) -> None:
    with made.client() as api:
        found = read(form, api.get(archive("many", form)).content)
        some = read(form, api.get(archive("many", form, "3/00")).content)
        assert api.get(archive("many", form, "nothing")).status_code == 404
        listed = api.get(f"/projects/{ENTITY}/{PROJECT}/artifacts/many/v0/files?search=1/0&limit=2").json()
        assert (listed["total"], len(listed["files"]), listed["files"][0]["path"]) == (286, 2, "1/000001.txt")
    expected = {f"{at % 7}/{at:06}.txt": f"content {at}".encode() for at in range(COUNT)}
    assert found == expected
    assert some == {path: content for path, content in expected.items() if path.startswith("3/00")}


def blob_of(server: Server, name: str, path: str) -> tuple[Path, Entry]:
    """Return the file of the store with a content, and the manifest entry."""
    with server.client() as api:
        manifest = api.get(f"/projects/{ENTITY}/{PROJECT}/artifacts/{name}/v0/manifest").json()
    (entry,) = [Entry(**each) for each in manifest["entries"] if each["path"] == path]
    return Layout(server.store).blob(entry.blob or ""), entry


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize(("name", "path", "at"), [("odd", "large.bin", 5 * MIB), ("many", "6/001000.txt", 3)])
def test_archive_with_a_damaged_file_ends_early(
    made: Server, form: str, name: str, path: str, at: int, tmp_path: Path
) -> None:
    blob, entry = blob_of(made, name, path)
    whole = blob.read_bytes()
    at += entry.offset
    blob.chmod(0o644)
    blob.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    received = b""
    with made.client() as api:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            with api.stream("GET", archive(name, form)) as answer:
                for piece in answer.iter_raw():
                    received += piece
        blob.write_bytes(whole)
        assert api.get(archive(name, form)).status_code == 200
    line = f"The archive of artifact {name}:v0 was not sent completely: The content of {path} is damaged"
    scripts.wait_for(lambda: any(line in each for each in made.errors), "the line of the server")
    (tmp_path / "archive").write_bytes(received)
    assert unpack(form, tmp_path / "archive", tmp_path / "out").returncode != 0
    with pytest.raises((zipfile.BadZipFile, tarfile.ReadError)):
        read(form, received)


def test_archive_with_missing_content_is_refused(made: Server) -> None:
    blob, _ = blob_of(made, "odd", "large.bin")
    moved = blob.rename(blob.with_suffix(".moved"))
    with made.client() as api:
        answer = api.get(archive("odd", "zip"))
        moved.rename(blob)
        assert answer.status_code == 404
        assert "is not in this store" in answer.json()["error"]["message"]
        assert api.get(archive("odd", "rar")).status_code == 422


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_client_that_stops_leaves_nothing_open(made: Server, form: str, tmp_path: Path) -> None:
    blob, _ = blob_of(made, "odd", "large.bin")

    def is_open() -> bool:
        opened = Path(f"/proc/{made.process.pid}/fd").iterdir()
        return any(link.is_symlink() and link.resolve() == blob for link in opened)

    with made.client() as api:
        for _ in range(3):
            with api.stream("GET", archive("odd", form)) as answer:
                next(answer.iter_raw())
        scripts.wait_for(lambda: not is_open(), "the file to be closed")
        assert len(api.get(archive("odd", form)).content) > 5 * MIB


UNSAFE = ["../up", "/etc/absolute", "a/../../b", "a//b", "..\\windows", "a/.", "", "p/" * 40_000 + "x"]


def test_unsafe_name_is_refused(store: Store) -> None:
    writer = Writer(store.layout, "a" * 32)
    for at, path in enumerate(UNSAFE):
        blob = store.blobs.add_bytes(b"content")
        log_entries(store, writer, f"n{at}", [Entry(path, blob.md5, blob.size, blob.sha256)])
    apply_all(store)
    with serving(store.root) as server, server.client() as api:
        for form in ("zip", "tar"):
            answers = [api.get(archive(f"n{at}", form)) for at in range(len(UNSAFE))]
            assert [(each.status_code, "unsafe name" in each.text) for each in answers] == [
                (400, True)
            ] * len(UNSAFE)


def log_entries(store: Store, writer: Writer, name: str, entries: list[Entry]) -> None:
    """Log a version with given entries, without tracker's checks of names."""
    manifest = make_manifest(entries)
    sha256 = write_manifest(store.blobs, manifest).sha256
    size, count = manifest.size, len(entries)
    writer.put(ArtifactLogged(name, "d", manifest.digest, sha256, size, count, [], "c", writer.tick()))


def peak_memory(server: Server) -> int:
    """Return the largest resident size of a server so far, in bytes."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.nightly
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_archive_larger_than_32_bits_takes_little_memory(store: Store, form: str, tmp_path: Path) -> None:
    size = 4100 * MIB
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    entries = [Entry("zeros", "", size, digest.hexdigest())]
    for path, content in (("a", b"before"), ("zzz", b"after")):
        blob = store.blobs.add_bytes(content)
        entries.append(Entry(path, blob.md5, blob.size, blob.sha256))
    with store.layout.blob(digest.hexdigest()).open("wb") as sparse:
        sparse.truncate(size)
    log_entries(store, Writer(store.layout, "a" * 32), "made", entries)
    apply_all(store)
    target = tmp_path / "archive"
    with serving(store.root) as server, server.client() as api:
        before = peak_memory(server)
        with api.stream("GET", archive("made", form)) as answer, target.open("wb") as file:
            for piece in answer.iter_raw():
                if piece.strip(b"\0"):
                    file.write(piece)
                else:
                    file.seek(len(piece), os.SEEK_CUR)
        assert peak_memory(server) - before < 32 * MIB
    if form == "zip":
        assert unpack_test(["unzip", "-tqq", str(target)]) == ""
        with zipfile.ZipFile(target) as opened:
            sizes = {info.filename: info.file_size for info in opened.infolist()}
            assert opened.read("zzz") == b"after"
    else:
        assert "zeros" in unpack_test(["tar", "-tf", str(target)])
        with tarfile.open(target) as tar:
            sizes = {info.name: info.size for info in tar}
            assert tar.extractfile("zzz").read() == b"after"  # type: ignore[union-attr]
    assert sizes == {"a": 6, "zeros": size, "zzz": 5}


def unpack_test(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.nightly
def test_archive_of_100_000_files(store: Store) -> None:
    count = 100_000
    pack = b"".join(b"%06d" % at for at in range(count))
    blob = store.blobs.add_bytes(pack).sha256
    entries = [
        Entry(f"{at % 100:02}/{at:06}", "", 6, hashlib.sha256(b"%06d" % at).hexdigest(), blob, at * 6)
        for at in range(count)
    ]
    log_entries(store, Writer(store.layout, "a" * 32), "made", entries)
    apply_all(store)
    with serving(store.root) as server, server.client() as api:
        for form in ("zip", "tar"):
            found = read(form, api.get(archive("made", form)).content)
            assert len(found) == count
            assert all(path.endswith(content.decode()) for path, content in found.items())
