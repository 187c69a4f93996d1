"""Files that ``add_file`` takes are safe from later changes, stored once, and never exposed as writable."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.errors import ArtifactError

pytestmark = pytest.mark.usefixtures("without_recorder")

LARGE = 512 * 1024  # not packed
ROOT = Path("tracker-store")


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def blobs() -> dict[str, int]:
    """Return the name and size of each blob in the store."""
    return {path.name: path.stat().st_size for path in (ROOT / "blobs").rglob("*") if path.is_file()}


def log(run: tracker.Run, name: str, *files: Path, policy: str = "mutable") -> tracker.Artifact:
    artifact = tracker.Artifact(name, "model")
    for file in files:
        artifact.add_file(file, policy=policy)  # type: ignore[arg-type]
    return run.log_artifact(artifact)


@pytest.mark.parametrize("size", [10, LARGE])
def test_source_and_download_can_be_overwritten_in_place(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    source = write(tmp_path / "model.ckpt", content)
    run = tracker.init(project="p")
    artifact = log(run, "model", source)
    with source.open("r+b") as file:
        file.write(b"WRONG")
    artifact.wait()
    with source.open("r+b") as file:
        file.write(b"AGAIN")
    folder = Path(artifact.download())
    with (folder / "model.ckpt").open("r+b") as file:
        file.write(b"LATER")
    with pytest.raises(ArtifactError, match="differs"):
        artifact.verify()
    artifact.download()
    artifact.verify()
    assert (folder / "model.ckpt").read_bytes() == content
    assert os.stat(folder / "model.ckpt").st_nlink == 1
    for path in (ROOT / "blobs").rglob("*"):
        assert path.is_dir() or (path.stat().st_nlink == 1 and path.stat().st_mode & 0o222 == 0)


def test_an_immutable_file_survives_the_deletion_of_its_source(tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    source = write(tmp_path / "model.ckpt", content)
    run = tracker.init(project="p")
    artifact = log(run, "model", source, policy="immutable")
    source.unlink()  # Lightning deletes old checkpoints in this way
    folder = Path(artifact.wait().download())
    assert (folder / "model.ckpt").read_bytes() == content
    artifact.verify()
    assert len(blobs()) == 2  # the file and the manifest


def test_an_immutable_file_can_be_logged_again_and_again(tmp_path: Path) -> None:
    """Each draft adds a hard link to the file, and so does the blob. This must not count as a change."""
    content = os.urandom(LARGE)
    source = write(tmp_path / "model.ckpt", content)
    before = source.stat()
    run = tracker.init(project="p")
    first = log(run, "model", source, policy="immutable")
    logged = [first, *(log(run, name, source, policy="immutable") for name in ("model", "other"))]
    logged.append(log(run, "later", logged[0].wait() and source, policy="immutable"))
    assert [artifact.wait().name for artifact in logged] == ["model:v0", "model:v0", "other:v0", "later:v0"]
    run.finish()
    assert tracker.Api().run(f"p/{run.id}")._info.problems == []
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(blobs().values())[-1] == LARGE
    assert sum(blobs().values()) < LARGE + 2000


def test_an_immutable_file_that_is_changed_creates_no_version(tmp_path: Path) -> None:
    source = write(tmp_path / "model.ckpt", os.urandom(LARGE))
    run = tracker.init(project="p")
    artifact = tracker.Artifact("model", "model")
    artifact.add_file(source, policy="immutable")
    if next((ROOT / "drafts").glob("*/0")).stat().st_nlink == 1:
        pytest.skip("this file system shares blocks, so the stored file is a copy")
    with source.open("r+b") as file:
        file.write(b"WRONG")
    run.log_artifact(artifact)
    run.log({"loss": 1.0})
    with pytest.raises(ArtifactError, match=r"model\.ckpt was changed after add_file"):
        artifact.wait()
    run.finish()
    found = tracker.Api().run(f"p/{run.id}")
    assert [line for line in found._info.problems if "model.ckpt was changed after" in line]
    assert found.summary["loss"] == 1.0  # later records are still applied
    assert found.logged_artifacts() == []


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    large, small = os.urandom(LARGE), b"small"
    files = [write(tmp_path / name, large) for name in ("a", "b")] + [write(tmp_path / "c", small)]
    run = tracker.init(project="p")
    log(run, "one", *files).wait()
    before = blobs()
    assert sorted(before.values())[-1] == LARGE
    assert sum(before.values()) < LARGE + 2000
    run.finish()
    other = tracker.init(project="another")
    again = log(other, "two", *files).wait()
    new = {name: size for name, size in blobs().items() if name not in before}
    assert sum(new.values()) < 2000, "only a manifest is new"
    assert Path(again.download(), "c").read_bytes() == small


def test_small_files_are_packed_into_one_file(tmp_path: Path) -> None:
    contents = {f"images/{at // 100}/{at}.png": os.urandom(50 + at) for at in range(1000)}
    for name, content in contents.items():
        write(tmp_path / "data" / name, content)
    run = tracker.init(project="p")
    artifact = tracker.Artifact("data", "dataset")
    artifact.add_dir(tmp_path / "data")
    run.log_artifact(artifact).wait()
    assert len(blobs()) == 2  # the pack and the manifest
    folder = Path(artifact.download())
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content
    # A version with one more file stores that file only.
    write(tmp_path / "data" / "new.png", b"new")
    before = sum(size for size in blobs().values())
    second = tracker.Artifact("data", "dataset")
    second.add_dir(tmp_path / "data")
    assert run.log_artifact(second).wait().version == "v1"
    manifest = 250 * len(contents)
    assert sum(blobs().values()) - before < manifest
    assert len(blobs()) == 4
    folder = Path(second.download())
    assert (folder / "new.png").read_bytes() == b"new"
    second.verify()


def test_the_digest_is_the_same_as_in_wandb(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    artifact = log(run, "one", write(tmp_path / "file1.txt", b"hello"))
    assert artifact.digest == artifact.wait().digest == "a00c2239f036fb656c1dcbf9a32d89b4"
    assert artifact.get_entry("file1.txt").digest == "XUFAKrxLKna5cZ2REBfFkg=="


def test_a_draft_knows_its_digests_before_it_is_logged(tmp_path: Path) -> None:
    tracker.init(project="p")
    artifact = tracker.Artifact("one", "model")
    entry = artifact.add_file(write(tmp_path / "large", b"\0" * LARGE))
    assert entry.digest == base64.b64encode(hashlib.md5(b"\0" * LARGE).digest()).decode()
    assert artifact.get_entry("large") == entry
    with pytest.raises(ValueError, match="Cannot add the same path twice"):
        artifact.add_file(write(tmp_path / "other", b"\1" * LARGE), name="large")
    artifact.add_file(tmp_path / "large", name="large")  # equal content does not conflict


def test_a_logged_artifact_survives_sigkill(tmp_path: Path) -> None:
    code = """
import os, signal, tracker
run = tracker.init(project="p", id="killed")
artifact = tracker.Artifact("model", "model")
open("big", "wb").write(bytes(1 << 20))
artifact.add_file("big")
with artifact.new_file("note.txt") as file: file.write("small")
run.log_artifact(artifact, aliases=["best"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    scripts.run(code, tmp_path, check=False, TRACKER_JOURNAL_ONLY="1")
    found = tracker.Api().artifact("p/model:best")
    folder = Path(found.download("out"))
    assert (folder / "big").read_bytes() == bytes(1 << 20)
    assert (folder / "note.txt").read_text() == "small"
    scripts.wait_for(lambda: not [d for d in (ROOT / "drafts").iterdir() if d.is_dir()], "the draft to go")


def test_several_runs_move_one_alias_at_the_same_time(tmp_path: Path) -> None:
    code = """
import sys, tracker
run = tracker.init(project="p", id=sys.argv[1])
print("ready", flush=True); sys.stdin.readline()
for at in range(10):
    artifact = tracker.Artifact("model", "model")
    with artifact.new_file("w") as file: file.write(f"{sys.argv[1]} {at}")
    run.log_artifact(artifact, aliases=["best"])
run.finish()
"""
    writers = [scripts.start(f"import sys; sys.argv[1:] = ['run{at}']\n{code}", tmp_path) for at in range(3)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    threads = [threading.Thread(target=writer.communicate, args=("\n",)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = tracker.Api().artifacts("model", "p/model")
    assert [version.version for version in versions] == [f"v{at}" for at in reversed(range(30))]
    assert [version.version for version in versions if "latest" in version.aliases] == ["v29"]
    assert len([version for version in versions if "best" in version.aliases]) == 1


def test_conflicting_names_and_policies_are_refused(tmp_path: Path) -> None:
    tracker.init(project="p")
    artifact = tracker.Artifact("one", "model")
    with pytest.raises(ValueError, match="Invalid policy"):
        artifact.add_file(write(tmp_path / "f", b"x"), policy="maybe")  # type: ignore[arg-type]
    artifact.add_file(tmp_path / "f", name="folder/file")
    with pytest.raises(ValueError, match="has a folder of this name"):
        artifact.add_file(tmp_path / "f", name="folder")
    with pytest.raises(ValueError, match="the artifact has a file"):
        artifact.add_file(tmp_path / "f", name="folder/file/below")
    with pytest.raises(FileNotFoundError):
        artifact.remove("absent")
    artifact.remove("folder")
    artifact.add_file(tmp_path / "f", name="folder")


@pytest.mark.parametrize("target", ["real.bin", "{folder}/real.bin"], ids=["relative", "absolute"])
def test_a_link_that_is_added_as_immutable_is_followed(tmp_path: Path, target: str) -> None:
    content = os.urandom(300_000)
    (tmp_path / "real.bin").write_bytes(content)
    (tmp_path / "link.bin").symlink_to(target.format(folder=tmp_path))
    run = tracker.init(project="p", settings={"silent": True})
    artifact = tracker.Artifact("linked", "model")
    artifact.add_file("link.bin", policy="immutable")
    run.log_artifact(artifact).wait()
    (tmp_path / "real.bin").unlink()
    assert Path(artifact.download("down"), "link.bin").read_bytes() == content


def test_a_download_replaces_a_link_to_the_store(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file.bin").write_bytes(content)
    run = tracker.init(project="p", settings={"silent": True})
    artifact = tracker.Artifact("linked", "model")
    artifact.add_file("file.bin")
    run.log_artifact(artifact).wait()
    down = Path(artifact.download("down", link=True), "file.bin")
    assert artifact.download("down", link=True)
    artifact.download("down")
    with down.open("r+b") as file:
        file.write(b"mine")
    assert Path(artifact.download("elsewhere"), "file.bin").read_bytes() == content
