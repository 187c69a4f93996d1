"""Hostile records, manifests and published files do not read, delete or block anything outside the store."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import Writer, apply_all, end_segments, problems, read_history, seal_all
from hypothesis import given, settings
from hypothesis import strategies as st
from rebuilding import again, lose_catalog
from serving import serving
from sqlalchemy import select, update

from tracker.errors import ArtifactError, NotFoundError
from tracker.ground import records
from tracker.ground.records import ArtifactLogged, FileSaved, RunFinished, encode, pack
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import SegmentState
from tracker.store.blobs.manifest import read_manifest
from tracker.store.catalog.models import Run, RunFile, Version
from tracker.store.ingest.run_edits import FIELDS
from tracker.store.objects.layout import Layout
from tracker.store.queries.media import list_files
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16
OUTSIDE = ("xx/etc/passwd", "../../../../etc/passwd", "/etc/passwd", "", "ab" * 32 + "\n", "AB" * 32, "ab")


def put_raw(writer: Writer, record: Any) -> None:
    """Write a record without the checks of a normal writer."""
    writer.journal.append(record if isinstance(record, bytes) else encode(record))


def file_paths(store: Store) -> list[str]:
    with store.reading() as session:
        return list(session.scalars(select(RunFile.path)))


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_record_with_a_path_as_digest_is_rejected_alone(store: Store, name: str) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    put_raw(writer, FileSaved("stolen.txt", name, 3, "text/plain"))
    writer.file("mine.txt", b"mine")
    writer.log({"x": 2})
    writer.finish()
    apply_all(store)
    assert file_paths(store) == ["mine.txt"]
    assert [row["x"] for row in read_history(store)] == [1, 2]
    (problem,) = problems(store, A)
    assert "an invalid FileSaved record was ignored" in problem


def test_a_normal_writer_cannot_write_such_a_record() -> None:
    with pytest.raises(records.UsageError, match="FileSaved cannot be recorded"):
        pack(FileSaved("a", "../../x", 1, "text/plain"))


@pytest.mark.parametrize("draft", ["../../victim", "..", "", "x" * 32, "/"])
def test_a_draft_token_with_a_path_deletes_nothing(store: Store, draft: str) -> None:
    victim = store.root.parent / "victim"
    victim.mkdir()
    (victim / "settled.json").write_text('{"manifest": "", "digest": "", "size": 0, "file_count": 0}')
    writer = Writer(store.layout, A)
    put_raw(writer, ArtifactLogged("a", "model", "", "", 0, 0, [], "c", 1.0, draft=draft))
    writer.log({"x": 1})
    writer.finish()
    apply_all(store)
    assert (victim / "settled.json").exists()
    assert len(problems(store, A)) == 1
    assert [row["x"] for row in read_history(store)] == [1]


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "a", "digest": "x", "size": 1, "sha256": "../../../../etc/passwd"},
        {"path": "a", "digest": "x", "size": 1, "sha256": "ab" * 32, "pack": "xx/etc/passwd"},
        {"path": "a", "digest": "x", "size": 1, "sha256": "ab" * 32, "pack": "zz" * 32},
        {"path": "a", "digest": "x", "size": -1, "sha256": "ab" * 32},
        {"path": "a", "digest": "x", "size": 1, "sha256": "ab" * 32, "offset": -5},
        "no entry",
    ],
)
def test_a_manifest_with_a_path_as_digest_does_not_become_a_version(store: Store, entry: Any) -> None:
    data = msgspec.json.encode({"entries": [entry]})
    named = store.blobs.add_bytes(data).sha256
    writer = Writer(store.layout, A)
    writer.artifact("good", {"f": b"one"})
    put_raw(writer, ArtifactLogged("bad", "model", "d", named, 1, 1, ["latest"], "c", 1.0))
    writer.log({"x": 1})
    writer.artifact("good", {"f": b"two"})
    writer.finish()
    apply_all(store)
    with store.reading() as session:
        assert [version.collection.name for version in session.scalars(select(Version))] == ["good", "good"]
    (problem,) = problems(store, A)
    assert "artifact bad was refused" in problem
    with pytest.raises(ArtifactError, match="is not valid"):
        read_manifest(store.blobs, named)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "linked folder"])
def test_only_regular_files_are_read_and_a_fifo_does_not_block(store: Store, kind: str) -> None:
    secret = store.root.parent / "secret"
    secret.write_bytes(b"secret")
    name = hashlib.sha256(b"secret").hexdigest()
    place = store.blobs.path(name)
    if kind == "linked folder":
        elsewhere = store.root.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / place.name).write_bytes(b"secret")
        place.parent.rmdir()
        place.parent.symlink_to(elsewhere)
    else:
        {"fifo": os.mkfifo, "link": lambda path: path.symlink_to(secret), "folder": Path.mkdir}[kind](place)
    writer = Writer(store.layout, A)
    writer.put(FileSaved("a.txt", name, 6, "text/plain"))
    writer.log({"x": 1})
    writer.finish()
    apply_all(store)
    assert [row["x"] for row in read_history(store)] == [1]
    with pytest.raises(NotFoundError):
        store.blobs.read(name)
    with serving(store.root) as server, server.client() as client:
        answer = client.get("/projects/team/demo/runs/run1/files/a.txt")
        assert answer.status_code == 404
        assert b"secret" not in answer.content


def test_a_catalog_with_hostile_rows_does_not_serve_other_files(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.file("a.txt", b"mine")
    writer.artifact("model", {"f": b"one"})
    writer.finish()
    apply_all(store)
    with store.writing() as session:
        session.execute(update(RunFile).values(sha256="xx/etc/passwd"))
        session.execute(update(Version).values(manifest="../../../../../../etc/passwd"))
    with serving(store.root) as server, server.client() as client:
        answer = client.get("/projects/team/demo/runs/run1/files/a.txt")
        assert (answer.status_code, b"root:" in answer.content) == (404, False)
        answer = client.get("/projects/team/demo/artifacts/model/v0")
        assert answer.status_code < 500


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("files", [{"path": "a", "sha256": "../../x", "size": 1, "mimetype": "x"}]),
        ("created_at", 1e300),
        ("last_step", 2**70),
    ],
)
def test_a_rebuild_reports_a_hostile_run_file(store: Store, field: str, value: Any) -> None:
    for segment, run in ((A, "bad"), (B, "good")):
        writer = Writer(store.layout, segment, run)
        writer.log({"x": 1})
        writer.finish()
    apply_all(store)
    seal_all(store)
    path = store.layout.run_file("team", "demo", "bad")
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), field: value}))
    lose_catalog(store)
    store, found = again(store)
    try:
        assert any(str(path) in line for line in found.broken)
        assert [row["x"] for row in read_history(store, "good")] == [1]
    finally:
        store.close()


def test_a_part_outside_the_store_is_not_read(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    writer.finish()
    apply_all(store)
    seal_all(store)
    path = store.layout.run_file("team", "demo", "run1")
    described = msgspec.json.decode(path.read_bytes())
    for part in described["segments"][0]["parts"]:
        part["path"] = "../../../../etc/passwd"
    path.write_bytes(msgspec.json.encode(described))
    lose_catalog(store)
    store, found = again(store)
    store.close()
    assert any(str(path) in line for line in found.broken)


NASTY = st.one_of(
    st.sampled_from([*OUTSIDE, "ab" * 32, "ab" * 16, "latest", "v1", "a/b", "\x00", "..", "x" * 5000]),
    st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
    st.sampled_from([0.0, 1.5e9, math.nan, math.inf, -math.inf, 1e300, -1e300]),
    st.none(),
    st.booleans(),
    st.just([]),
    st.just({}),
    st.sampled_from([["a"], [1], {"a": 1}, {"name": 3}, {"expires_at": math.nan}, {"tags": "x"}, b"bytes"]),
)
TAGS = [kind.__struct_config__.tag for kind in records.RECORD_KINDS if kind is not records.RunStarted]
LISTS = st.lists(NASTY, max_size=6)
KEYED = st.dictionaries(st.sampled_from(["x", "last", "_step"]), st.one_of(NASTY, LISTS))
STATES = st.dictionaries(st.sampled_from(SegmentState.__struct_fields__), st.one_of(NASTY, KEYED, LISTS))
RESTORED_TAG, EDITED_TAG = (
    kind.__struct_config__.tag for kind in (records.SegmentRestored, records.RunEdited)
)
RESTORED = st.tuples(st.just(RESTORED_TAG), STATES.map(lambda state: [state]))
EDITED = st.tuples(
    st.just(EDITED_TAG),
    st.tuples(
        st.floats(0, 2e9), st.dictionaries(st.sampled_from([*FIELDS, "nonsense"]), st.one_of(NASTY, KEYED))
    ).map(list),
)
ANY = st.tuples(st.sampled_from(TAGS), st.lists(NASTY, max_size=16))


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.one_of(ANY, RESTORED, EDITED), min_size=1, max_size=8))
def test_a_hostile_record_does_not_stop_any_journal(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, list[Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    store = open_store(folder / "store")
    try:
        hostile = Writer(store.layout, A, "hostile")
        for tag, fields in drawn:
            payload = msgspec.msgpack.encode([tag, *fields])
            # Skip records that may delay later records: the end of a run, and content that may still arrive.
            decoded = records.decode(payload)
            if not isinstance(decoded, (RunFinished, ArtifactLogged)):
                put_raw(hostile, payload)
        hostile.log({"last": 1})
        honest = Writer(store.layout, B, "honest")
        honest.log({"x": 1})
        apply_all(store)
        end_segments(store)
        seal_all(store)
        assert any("last" in row for row in read_history(store, "hostile"))
        assert [row["x"] for row in read_history(store, "honest")] == [1]
        with store.reading() as session:
            list_files(session, session.scalars(select(Run)).first())
    finally:
        store.close()
    assert sorted(each.name for each in folder.iterdir()) == ["store"]


def test_a_record_of_an_unknown_kind_waits_for_an_upgrade(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    apply_all(store)
    put_raw(writer, msgspec.msgpack.encode([99, "from a newer tracker"]))
    writer.log({"x": 2})
    with pytest.raises(records.JournalError, match="record kind 99 is not known"):
        apply_all(store)
    assert writer.path.exists()


def test_names_on_disk_are_made_of_digests_and_tokens_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in OUTSIDE:
        for place in (layout.blob, layout.draft, layout.finalized):
            with pytest.raises(NotFoundError):
                place(name)


def test_damaged_content_is_not_served(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.file("a.txt", b"as it was")
    writer.artifact("model", {"f.bin": b"weights"})
    writer.finish()
    apply_all(store)
    addresses = (
        "/projects/team/demo/runs/run1/files/a.txt",
        "/projects/team/demo/artifacts/model/v0/files/f.bin",
    )
    with serving(store.root) as server, server.client() as client:
        for content, address in zip((b"as it was", b"weights"), addresses, strict=True):
            assert client.get(address).content == content
            blob = store.blobs.path(hashlib.sha256(content).hexdigest())
            blob.chmod(0o644)
            blob.write_bytes(content[:-1] + b"?")
            answer = client.get(address)
            assert answer.status_code == 503
            assert "is damaged" in answer.json()["error"]["message"]
            assert "etag" not in answer.headers
