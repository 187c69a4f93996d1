"""References: outside files are identified by address and digest, and changed content is refused."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import scripts
from serving import serving

import tracker
from tracker.errors import ArtifactError, UsageError

pytestmark = pytest.mark.usefixtures("without_recorder")


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def logged(*uris: str, name: str = "refs", **options: object) -> tracker.Artifact:
    run = tracker.run or tracker.init(project="p")
    artifact = tracker.Artifact(name, "dataset")
    for uri in uris:
        artifact.add_reference(uri, **options)  # type: ignore[arg-type]
    return run.log_artifact(artifact).wait()


class Site(ThreadingHTTPServer):
    """A web server with content by path, with or without ETags. It can abort a response in the middle."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.breaks_off = False
        super().__init__(("127.0.0.1", 0), Page)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        content = self.server.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if self.path in self.server.etags:
            self.send_header("ETag", self.server.etags[self.path])
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.breaks_off else content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_file_references_have_the_digest_of_the_content(tmp_path: Path) -> None:
    data = tmp_path / "big data" / "100%41 #1?.bin"
    data.parent.mkdir()
    data.write_bytes(b"content")
    (data.parent / "ünder").mkdir()
    (data.parent / "ünder" / "b").write_bytes(b"b")
    artifact = logged(data.parent.as_uri(), name="folder")
    entries = {entry.path: entry for entry in artifact.files()}
    assert sorted(entries) == ["100%41 #1?.bin", "ünder/b"]
    assert entries["100%41 #1?.bin"].digest == md5(b"content")
    assert entries["100%41 #1?.bin"].size == artifact.size - 1 == 7
    folder = Path(artifact.download())
    assert (folder / "100%41 #1?.bin").read_bytes() == b"content"
    assert (folder / "ünder/b").read_bytes() == b"b"
    single = logged(data.as_uri(), name="single")
    assert [entry.path for entry in single.files()] == ["100%41 #1?.bin"]
    assert Path(single.file()).read_bytes() == b"content"
    assert single.files()[0].ref_target() == data.as_uri()


def test_a_changed_or_missing_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    artifact = logged((tmp_path / "a").as_uri(), (tmp_path / "b").as_uri())
    (tmp_path / "a").write_bytes(b"A")
    with pytest.raises(ArtifactError, match=r"refs/a: file://.*/a has changed: its digest is .*, not "):
        artifact.download()
    with pytest.raises(ArtifactError, match="has changed"):
        artifact.download(allow_missing_references=True)  # a changed file is not a missing file
    assert not Path("artifacts/refs:v0/a").exists()
    (tmp_path / "a").unlink()
    with pytest.raises(ArtifactError, match=r"refs/a: file://.*/a does not exist any more"):
        artifact.download()
    folder = Path(artifact.download(allow_missing_references=True))
    assert sorted(path.name for path in folder.iterdir()) == ["b"]
    assert "refs/a: file://" in capsys.readouterr().err
    artifact.verify()  # files that were not downloaded are not verified


def test_without_a_checksum_only_the_address_is_stored(tmp_path: Path, site: Site) -> None:
    (tmp_path / "a").write_bytes(b"a")
    site.contents["/x"] = b"x"
    artifact = logged((tmp_path / "a").as_uri(), f"{site.url}/x", f"{site.url}/absent", checksum=False)
    digests = [entry.digest for entry in artifact.files()]
    assert digests == [
        md5((tmp_path / "a").resolve().as_uri().encode()),
        f"{site.url}/absent",
        f"{site.url}/x",
    ]
    (tmp_path / "a").write_bytes(b"changed")
    site.contents["/x"] = b"also changed"
    folder = Path(artifact.download(allow_missing_references=True))
    assert (folder / "a").read_bytes() == b"changed"
    assert (folder / "x").read_bytes() == b"also changed"
    assert not (folder / "absent").exists()


def test_invalid_references_are_refused(tmp_path: Path, site: Site) -> None:
    tracker.init(project="p")
    artifact = tracker.Artifact("refs", "dataset")
    for uri, says in {
        "/tmp/file": "References must be URIs",
        "file:///does/not/exist": "must be a valid file or directory path",
        f"{site.url}/absent": f"Cannot read {site.url}/absent: HTTP Error 404",
        "http://127.0.0.1:9/x": "Without a network, pass checksum=False",
    }.items():
        with pytest.raises(ValueError, match=says):
            artifact.add_reference(uri)
    for at in range(3):
        (tmp_path / f"{at}").touch()
    with pytest.raises(ValueError, match="Exceeded 2 objects tracked"):
        artifact.add_reference(tmp_path.as_uri(), max_objects=2)
    with pytest.raises(ValueError, match="Invalid path inside an artifact"):
        artifact.add_reference(f"{site.url}/..", checksum=False)
    with pytest.raises(ValueError, match="Invalid path inside an artifact"):
        artifact.add_reference((tmp_path / "0").as_uri(), name="../../out")
    assert artifact.file_count == 0
    (kept,) = artifact.add_reference("ftp-like+x://host/some/thing.bin")  # unknown schemes are allowed
    assert (kept.path, kept.digest, kept.ref) == ("thing.bin", kept.ref, "ftp-like+x://host/some/thing.bin")
    tracker.run.log_artifact(artifact).wait()  # type: ignore[union-attr]
    with pytest.raises(ArtifactError, match="its scheme is not supported"):
        artifact.download()


def test_http_with_an_etag(site: Site) -> None:
    site.contents["/data.csv"] = site.contents["/weak"] = b"a,b\n" * 1000
    site.etags = {"/data.csv": '"abc"', "/weak": 'W/"abc"'}
    artifact = logged(f"{site.url}/data.csv", f"{site.url}/weak")
    strong, weak = artifact.files()
    assert (strong.digest, strong.size, strong.extra) == ("abc", 4000, {"etag": '"abc"'})
    assert (weak.digest, weak.extra) == ('W/"abc', {"etag": 'W/"abc"'})  # the digest that wandb computes
    folder = Path(artifact.download())
    assert (folder / "data.csv").read_bytes() == site.contents["/data.csv"]
    site.etags["/data.csv"] = '"other"'
    with pytest.raises(ArtifactError, match=r"refs/data\.csv: .* has changed: its digest is other, not abc"):
        artifact.download("again")
    assert not Path("again/data.csv").exists()


def test_http_without_an_etag(site: Site) -> None:
    site.contents["/x.bin"] = os.urandom(3_000_000)
    artifact = logged(f"{site.url}/x.bin")
    (entry,) = artifact.files()
    assert (entry.digest, entry.size, entry.extra) == (f"{site.url}/x.bin", 3_000_000, {})
    assert Path(artifact.file()).read_bytes() == site.contents["/x.bin"]
    site.breaks_off = True
    with pytest.raises(ArtifactError, match="ended after 1500000 of 3000000 bytes"):
        artifact.download("again")
    site.breaks_off = False
    site.contents["/x.bin"] = b"shorter"
    with pytest.raises(ArtifactError, match="its size is 7 bytes, not 3000000"):
        artifact.download("again")
    del site.contents["/x.bin"]
    with pytest.raises(ArtifactError, match=r"Cannot fetch .*: HTTP Error 404"):
        artifact.download("again")
    assert list(Path(artifact.download("again", allow_missing_references=True)).iterdir()) == []


@pytest.mark.parametrize(
    ("module", "uri", "says"),
    [
        ("boto3", "s3://bucket/key", "s3:// references need boto3. Run: pip install boto3"),
        ("google.cloud", "gs://bucket/key", "gs:// references need google-cloud-storage. Run: pip install"),
    ],
)
def test_a_missing_library_is_named_in_the_error(
    module: str, uri: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = f"""
import sys
sys.modules[{module!r}] = None
import tracker
artifact = tracker.Artifact("refs", "dataset")
try:
    artifact.add_reference({uri!r})
except tracker.UsageError as error:
    print(error)
(kept,) = artifact.add_reference({uri!r}, checksum=False)  # without access to the object
print(kept.digest, kept.path)
"""
    done = scripts.run(code, tmp_path).stdout.splitlines()
    assert says in done[0]
    assert done[1] == f"{uri} key"


OTHERS = """
import tracker
run = tracker.init(project="p", id="one")
data = tracker.Artifact("data", "dataset")
with data.new_file("sub/ä?#.txt") as file: file.write("small")
with data.new_file("large", "xb") as file: file.write(bytes(1 << 20))
run.log_artifact(data).wait()
first = tracker.Artifact("first", "dataset")
first.add_reference(data.get_entry("sub/ä?#.txt"), name="mine.txt")
first.add_reference(data.get_entry("large"))
run.log_artifact(first).wait()
second = tracker.Artifact("second", "dataset")
second.add_reference(first.get_entry("mine.txt"), name="mine.txt")  # refers to the artifact with the content
run.log_artifact(second).wait()
found = run.use_artifact("second:v0")
print(found.get_entry("mine.txt").ref)
print(open(found.download() + "/mine.txt").read())
print(len(open(run.use_artifact("first").download() + "/large").read()))
run.finish()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["catalog", "journal-only", "server"])
def test_files_of_other_artifacts(where: str, tmp_path: Path) -> None:
    if where == "server":
        with serving(tmp_path / "served", key=True) as server:
            variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key or ""}
            done = scripts.run(OTHERS, tmp_path, **variables)
    elif where == "journal-only":
        done = scripts.run(OTHERS, tmp_path, TRACKER_JOURNAL_ONLY="1")
    else:
        done = scripts.run(OTHERS, tmp_path)
    assert done.stdout.split() == ["tracker-artifact://local/p/data:v0/sub/ä?#.txt", "small", str(1 << 20)]


def test_a_deleted_artifact_is_a_missing_reference(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    data = tracker.Artifact("data", "dataset")
    with data.new_file("a.txt") as file:
        file.write("a")
    with pytest.raises(UsageError, match="has no address yet"):
        tracker.Artifact("refs", "dataset").add_reference(data.get_entry("a.txt"))
    run.log_artifact(data).wait()
    address = data.get_entry("a.txt").ref_url()
    artifact = logged(address, name="by-text")
    assert artifact.get_entry("a.txt").digest == data.get_entry("a.txt").digest
    assert artifact.digest == data.digest  # names and content are equal
    linked = data.link("model-registry/kept")
    assert linked.get_entry("a.txt").ref_url() == address
    with pytest.raises(ArtifactError, match=r"Artifact local/p/data:v0 has no file b\.txt"):
        logged("tracker-artifact://local/p/data:v0/b.txt")
    with pytest.raises(ArtifactError, match="Invalid address"):
        logged("tracker-artifact://data")
    data.delete()
    with pytest.raises(ArtifactError, match=r"by-text/a\.txt: artifact local/p/data has no version"):
        artifact.download()
    assert list(Path(artifact.download(allow_missing_references=True)).iterdir()) == []
