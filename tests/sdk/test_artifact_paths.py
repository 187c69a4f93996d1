"""Paths out of the target folder, links that lead out or in circles, unusual names, very large files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import Writer, apply_all

import tracker
from tracker.errors import ArtifactError
from tracker.store.store import Store

pytestmark = pytest.mark.usefixtures("without_recorder")

GIB = 1024**3


def logged(name: str, *folders: Path) -> tracker.Artifact:
    run = tracker.run or tracker.init(project="p")
    artifact = tracker.Artifact(name, "dataset")
    for folder in folders:
        artifact.add_dir(folder)
    return run.log_artifact(artifact).wait()


@pytest.mark.parametrize(
    "path", ["../out", "a/../../out", "/absolute/out", "a/./out", "a//out", "a/..", "nul\0out", "..", ".", ""]
)
def test_a_manifest_with_paths_outside_the_target_is_refused(path: str, store: Store, tmp_path: Path) -> None:
    """Such a manifest comes from another program: ``add_file`` checks its names."""
    writer = Writer(store.layout, "aa" * 16)
    record = writer.artifact("evil", {path: b"evil", "z": b"good"})
    writer.finish()
    apply_all(store)
    (found,) = [
        version
        for project in store_projects(store)
        for version in tracker.Api().artifacts(record.artifact_type, f"{project}/evil")
    ]
    target = tmp_path / "deep" / "er" / "target"
    with pytest.raises(ArtifactError, match="names a file outside its folder"):
        found.download(target)
    assert [each for each in (tmp_path / "deep").rglob("*") if each.is_file()] == []
    assert not Path("/absolute").exists()


def store_projects(store: Store) -> list[str]:
    return [f"{project.entity}/{project.name}" for project in tracker.Api()._reader.projects()]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", ".", "/", "", "a\0b"])
def test_invalid_names_cannot_be_added(name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    tracker.init(project="p")
    artifact = tracker.Artifact("data", "dataset")
    if name:  # with an empty name, the file's own name is used
        with pytest.raises(ValueError, match="Invalid path inside an artifact"):
            artifact.add_file(tmp_path / "f", name=name)
    with pytest.raises(ValueError, match="Invalid path inside an artifact"):
        artifact.new_file(name).__enter__()
    assert artifact.file_count == 0


def test_names_are_normalised_like_paths(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    tracker.init(project="p")
    artifact = tracker.Artifact("data", "dataset")
    for name in ("./a", "/b", "c//d", "e/./f", "./g/"):
        artifact.add_file(tmp_path / "f", name=name)
    artifact.add_dir(tmp_path, name="./h/")
    assert [entry.path for entry in artifact.files()][:5] == ["a", "b", "c/d", "e/f", "g"]
    assert artifact.get_entry("h/f").size == 1


@pytest.mark.parametrize("size", [5, 300_000])
def test_links_in_the_target_are_not_followed(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "file").write_bytes(content)
    (tmp_path / "in" / "sub" / "file").write_bytes(content[::-1])
    artifact = logged("data", tmp_path / "in")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    target = tmp_path / "target"
    target.mkdir()
    (target / "sub").symlink_to(outside)
    with pytest.raises(ArtifactError, match=r"names a file outside its folder: 'sub/file'"):
        artifact.download(target)
    (target / "sub").unlink()
    (target / "file").symlink_to(outside / "precious")
    (target / "sub").mkdir()
    (target / "sub" / "file").symlink_to(outside / "not-there")
    artifact.download(target)  # links are replaced, not followed
    artifact.verify(target)
    assert not (target / "file").is_symlink()
    assert (target / "file").read_bytes() == content
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"
    link = tmp_path / "link"
    link.symlink_to(target)
    artifact.download(link)  # the target folder itself may be a link, because the user chose it
    artifact.verify(link)


def test_circular_links_are_skipped(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_text("x")
    (tree / "a" / "b" / "up").symlink_to(tree)
    (tree / "self").symlink_to(tree / "self")
    (tree / "gone").symlink_to(tmp_path / "gone")
    (tree / "again").symlink_to(tree / "a")
    os.mkfifo(tree / "pipe")  # reading it would block forever
    artifact = logged("data", tree)
    assert [entry.path for entry in artifact.files()] == ["a/file", "again/file"]
    by_reference = tracker.Artifact("refs", "dataset")
    entries = by_reference.add_reference(tree.as_uri())
    assert sorted(entry.path for entry in entries) == ["a/file", "again/file"]


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "Dir").mkdir(parents=True)
    for name in ("File", "file", "FILE", "Dir/x"):
        (tree / name).write_text(name)
    artifact = logged("data", tree)
    folder = Path(artifact.download())
    assert {name: (folder / name).read_text() for name in ("File", "file", "FILE", "Dir/x")} == {
        name: name for name in ("File", "file", "FILE", "Dir/x")
    }


def test_undecodable_and_very_long_names(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    long = "ü" * 127
    for name in (b"caf\xe9.txt", long.encode(), b"new\nline", b"back\\slash", "日本".encode(), b" ", b"-"):
        with open(os.path.join(os.fsencode(tree), name), "wb") as file:
            file.write(name)
    artifact = logged("data", tree)
    assert artifact.get_entry("caf\N{REPLACEMENT CHARACTER}.txt").size == 8
    folder = Path(artifact.download())
    artifact.verify()
    assert (folder / long).read_bytes() == long.encode()
    (folder / long).write_text("replaced through a temporary name")
    artifact.download()
    artifact.verify()
    assert len(list(folder.iterdir())) == 7
    assert tracker.Artifact("refs", "dataset").add_reference(tree.as_uri())[0].size > 0
    refs = tracker.Artifact("refs", "dataset")
    refs.add_reference(tree.as_uri())
    tracker.run.log_artifact(refs).wait()  # type: ignore[union-attr]
    again = Path(refs.download())
    assert (again / "caf\N{REPLACEMENT CHARACTER}.txt").read_bytes() == b"caf\xe9.txt"
    with open(os.path.join(os.fsencode(tree), b"caf\xff.txt"), "wb"):
        pass
    with pytest.raises(ValueError, match="Cannot add the same path twice"):
        tracker.Artifact("both", "dataset").add_dir(tree)  # a file must not be lost without an error


@pytest.mark.nightly
def test_a_sparse_file_of_ten_gibibytes_stays_sparse(tmp_path: Path) -> None:
    source = tmp_path / "sparse.bin"
    with source.open("wb") as file:
        file.truncate(10 * GIB)
        for at in (0, 5 * GIB + 12345, 10 * GIB - 3):
            file.seek(at)
            file.write(b"abc")
    run = tracker.init(project="p")
    artifact = tracker.Artifact("large", "dataset")
    artifact.add_file(source)
    source.unlink()
    run.log_artifact(artifact).wait()
    assert artifact.size == 10 * GIB
    target = Path(artifact.file())
    assert target.stat().st_size == 10 * GIB
    with target.open("rb") as file:
        for at in (0, 5 * GIB + 12345, 10 * GIB - 3):
            file.seek(at)
            assert file.read(3) == b"abc"
    written = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*") if path.is_file())
    assert written < 64 * 1024 * 1024, "holes are kept, in the store and in the download"


def test_a_file_where_a_folder_is_needed_is_an_error(tmp_path: Path) -> None:
    run = tracker.init(project="p", settings={"silent": True})
    artifact = tracker.Artifact("a", "model")
    with artifact.new_file("sub/x") as file:
        file.write("x")
    run.log_artifact(artifact).wait()
    (tmp_path / "sub").write_text("mine")
    for root in (tmp_path, tmp_path / "sub"):
        with pytest.raises(ArtifactError, match="sub is a file, but a folder is needed there"):
            artifact.download(root)
    assert (tmp_path / "sub").read_text() == "mine"


def test_an_alias_that_is_not_a_string_is_refused() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    with pytest.raises(ValueError, match="Invalid alias 3: it must be a string"):
        run.log_artifact(tracker.Artifact("a", "model"), aliases=[3])  # type: ignore[list-item]
