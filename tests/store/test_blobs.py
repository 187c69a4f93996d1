"""Blobs, manifests, names on disk and atomic writes."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import ArtifactError, NotFoundError
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.blobs.manifest import Entry, make_manifest, read_manifest, write_manifest
from tracker.store.objects.atomic_files import claim, publish_json, read_json, write_new
from tracker.store.objects.layout import Layout, parse_journal_name

HELLO_MD5 = "XUFAKrxLKna5cZ2REBfFkg=="


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "store")
    made.make()
    return made


@pytest.fixture
def blobs(layout: Layout) -> BlobStore:
    return BlobStore(layout)


# Blobs


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 2 * 1024 * 1024 + 7])
def test_content_is_named_by_its_digest(blobs: BlobStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(data)
    with source.open("rb") as file:
        blob = blobs.add_chunks(iter(lambda: file.read(CHUNK), b""))
    assert blob == blobs.add_bytes(data)
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert blob.md5 == base64.b64encode(hashlib.md5(data).digest()).decode()
    assert blob.size == size
    source.write_bytes(b"changed behind our back")
    assert blobs.read(blob.sha256) == b"".join(blobs.chunks(blob.sha256)) == data
    blobs.sync(blob.sha256)


def test_blob_cannot_be_written_by_accident_and_leaves_no_temporary(blobs: BlobStore, layout: Layout) -> None:
    blob = blobs.add_bytes(b"x")
    blobs.add_bytes(b"x")
    assert stat.S_IMODE(blobs.path(blob.sha256).stat().st_mode) == 0o444
    assert list(layout.temporary.iterdir()) == []


def test_content_with_another_digest_than_announced_is_an_error(blobs: BlobStore, layout: Layout) -> None:
    wrong = "00" * 32
    with blobs.open_new() as new:
        new.write(b"some")
        new.write(b"thing")
        with pytest.raises(ArtifactError, match=f"but {wrong} was announced"):
            new.keep(expect=wrong)
    assert not blobs.has(hashlib.sha256(b"something").hexdigest())
    assert list(layout.temporary.iterdir()) == []


def test_a_blob_without_content_is_written_again(blobs: BlobStore) -> None:
    """After a power loss the name of a blob may be on the disk without its bytes."""
    blob = blobs.add_bytes(b"content")
    path = blobs.path(blob.sha256)
    path.unlink()
    path.touch(0o444)
    assert blobs.add_bytes(b"content") == blob
    assert blobs.read(blob.sha256) == b"content"


def test_an_error_of_the_source_leaves_no_blob(blobs: BlobStore, layout: Layout) -> None:
    def chunks() -> object:
        yield b"begun"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        blobs.add_chunks(chunks())  # type: ignore[arg-type]
    assert list(layout.temporary.iterdir()) == []
    assert list(layout.blobs.iterdir()) == []


def test_missing_content_is_an_error(blobs: BlobStore) -> None:
    absent = "ab" * 32
    with pytest.raises(NotFoundError, match=f"content {absent} is not in the store"):
        blobs.read(absent)
    with pytest.raises(NotFoundError, match=f"content {absent} is not in the store"):
        list(blobs.chunks(absent))
    blobs.sync(absent)  # a missing blob is ignored
    assert not blobs.has(absent)
    with pytest.raises(NotFoundError, match="'abcd': give a SHA-256"):
        blobs.read("abcd")


# Manifests: their digests equal those of the wandb client


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("file1.txt", "a00c2239f036fb656c1dcbf9a32d89b4"),
        ("great-file.txt", "585b9ada17797e37c9cbab391e69b8c5"),
    ],
)
def test_the_digest_of_an_artifact_is_that_of_wandb(blobs: BlobStore, name: str, digest: str) -> None:
    blob = blobs.add_bytes(b"hello")
    assert blob.md5 == HELLO_MD5
    manifest = make_manifest([Entry(name, blob.md5, blob.size, blob.sha256)])
    assert (manifest.digest, manifest.size) == (digest, 5)


def test_digest_depends_on_names_and_contents_not_on_order() -> None:
    one, two = Entry("a", "x", 1, "0"), Entry("b", "y", 2, "1")
    assert make_manifest([one, two]) == make_manifest([two, one])
    assert make_manifest([one, two]).digest != make_manifest([one]).digest
    assert make_manifest([]).digest == hashlib.md5(b"wandb-artifact-manifest-v1\n").hexdigest()


def test_a_manifest_is_read_as_it_was_written(blobs: BlobStore) -> None:
    manifest = make_manifest([Entry("sub/größe.txt", HELLO_MD5, 5, "ab" * 32)])
    assert read_manifest(blobs, write_manifest(blobs, manifest).sha256) == manifest


def test_a_damaged_manifest_is_an_error(blobs: BlobStore) -> None:
    blob = write_manifest(blobs, make_manifest([]))
    path = blobs.path(blob.sha256)
    path.chmod(0o644)
    path.write_bytes(b'{"entries": [1]}')
    with pytest.raises(ArtifactError, match="is damaged"):
        read_manifest(blobs, blob.sha256)
    odd = blobs.add_bytes(b'{"entries": [1]}')
    with pytest.raises(ArtifactError, match="is not valid"):
        read_manifest(blobs, odd.sha256)
    with pytest.raises(NotFoundError):
        read_manifest(blobs, "ab" * 32)


# On-disk names

names = st.one_of(
    st.sampled_from([".", "..", "...", "a b", "A", "a", "%2E", "größe", "con", "a/b", "~", "-", "a.json"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12),
)


@given(names, names)
def test_any_name_becomes_one_unique_path_component(one: str, other: str) -> None:
    layout = Layout("/store")
    path = layout.run("e", "p", one)
    assert path.parent == Path("/store/runs/e/p")
    assert path.name not in ("", ".", "..")
    assert (path == layout.run("e", "p", other)) == (one == other)
    assert layout.collection(one, "p", "n").parents[2] == Path("/store/artifacts")


def test_journals_are_listed_by_segment_and_number(layout: Layout) -> None:
    a, b = "aa" * 16, "bb" * 16
    paths = [layout.journal("two", a, 10), layout.journal("one", b, 0), layout.journal("one", a, 2)]
    for path in (
        *paths,
        layout.host_journals("one") / "notes.txt",
        layout.host_journals("one") / f"{a}-1.journal",
    ):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [(found.path, found.segment, found.number) for found in layout.list_journals()] == [
        (paths[2], a, 2),
        (paths[0], a, 10),
        (paths[1], b, 0),
    ]
    assert [found.path for found in layout.list_journals("two")] == [paths[0]]
    assert layout.list_journals("three") == []
    assert parse_journal_name(paths[0].stem) == (a, 10)
    assert parse_journal_name("../" + paths[0].stem) is None


def test_versions_and_aliases_are_listed(layout: Layout) -> None:
    for index in (10, 2, 0):
        publish_json(layout.new_temporary(), layout.version("e", "p", "n", index), {})
    aliases = {"best", "v1.2", "größe", "a b", "字" * 300}
    for alias in aliases:
        publish_json(layout.new_temporary(), layout.alias("e", "p", "n", alias), {"alias": alias})
    assert layout.list_versions("e", "p", "n") == [0, 2, 10]
    assert {read_json(path)["alias"] for path in layout.alias_files("e", "p", "n")} == aliases
    assert layout.list_versions("e", "p", "none") == layout.alias_files("e", "p", "none") == []


def test_a_long_name_is_cut_and_stays_distinct(layout: Layout) -> None:
    first, second = layout.run("e", "字" * 128, "r"), layout.run("e", "字" * 127 + "子", "r")
    assert first != second
    first.mkdir(parents=True)
    assert all(len(part.encode()) < 255 for part in first.parts)
    assert layout.run("e", "plain", "r").parent.name == "plain"


# Files


def test_published_json_replaces_and_leaves_no_temporary(layout: Layout) -> None:
    path = layout.root / "deep" / "file.json"
    assert read_json(path) is None
    assert read_json(layout.description / "below a file") is None
    for value in ({"a": float("inf")}, {"b": 2**70}):
        publish_json(layout.new_temporary(), path, value)
        assert read_json(path) == value
    assert list(layout.temporary.iterdir()) == []


def test_failed_write_leaves_no_file(layout: Layout) -> None:
    temporary = layout.new_temporary()
    with pytest.raises(TypeError):
        write_new(temporary, "no bytes")  # type: ignore[arg-type]
    assert not temporary.exists()


def test_only_one_of_several_threads_claims_a_name(layout: Layout) -> None:
    path = layout.root / "versions" / "0.json"
    won: list[bytes] = []
    barrier = threading.Barrier(8)

    def try_it(content: bytes) -> None:
        temporary = layout.new_temporary()
        write_new(temporary, content)
        barrier.wait()
        if claim(temporary, path):
            won.append(content)

    threads = [threading.Thread(target=try_it, args=(b"%d" % at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [path.read_bytes()]
    assert list(layout.temporary.iterdir()) == []
