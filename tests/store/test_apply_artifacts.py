"""Applying records about artifacts: versions, aliases, uses, missing content."""

from __future__ import annotations

import pytest
from builders import (
    START,
    Writer,
    apply_all,
    artifact_record,
    get_run,
    read_history,
)
from sqlalchemy import select

from tracker.errors import StoreError
from tracker.ground.records import (
    ArtifactLogged,
)
from tracker.store.catalog.models import Alias, ArtifactUse, Version
from tracker.store.ingest import apply
from tracker.store.ingest.apply import apply_journal
from tracker.store.store import Store

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


def versions(store: Store, name: str = "model") -> list[tuple[int, str, int]]:
    with store.reading() as session:
        found = session.scalars(select(Version).order_by(Version.index))
        return [(each.index, each.segment, each.sequence) for each in found if each.collection.name == name]


def aliases(store: Store) -> dict[str, int]:
    with store.reading() as session:
        return {
            each.alias: session.get_one(Version, each.version_id).index
            for each in session.scalars(select(Alias))
        }


def test_versions_are_consecutive_and_aliases_have_one_holder(store: Store) -> None:
    writer = Writer(store.layout, A)
    for content, named in (
        (b"0", ["best"]),
        (b"1", ["best", "x"]),
        (b"1", ["y"]),
        (b"2", ["x"]),
        (b"0", ["z"]),
    ):
        writer.artifact("model", {"w": content}, named)
    writer.artifact("other", {"w": b"0"})
    apply_all(store)
    assert [index for index, _, _ in versions(store)] == [0, 1, 2, 3]
    assert [index for index, _, _ in versions(store, "other")] == [0]
    with store.reading() as session:
        held = [
            (each.alias, session.get_one(Version, each.version_id)) for each in session.scalars(select(Alias))
        ]
    assert sorted((version.collection.name, alias, version.index) for alias, version in held) == [
        ("model", "best", 1),
        ("model", "latest", 3),
        ("model", "x", 2),
        ("model", "y", 1),
        ("model", "z", 3),
        ("other", "latest", 0),
    ]


def test_claimed_number_is_adopted_by_the_record_that_claimed_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(store.layout, A)
    writer.artifact("model", {"w": b"first"}, ["latest", "mine"])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(apply.published, "publish_run", full)
        with pytest.raises(OSError, match="No space"):
            apply_all(store)
    assert versions(store) == []
    assert store.layout.list_versions("team", "demo", "model") == [0]
    # Before the record is applied again, another run logs under the same name.
    other = Writer(store.layout, B, run_id="run2", start=START + 10)
    other.artifact("model", {"w": b"second"})
    (journal,) = (each for each in store.layout.list_journals() if each.segment == B)
    apply_journal(store, journal)
    assert versions(store) == [(1, B, 1)]
    apply_all(store)
    assert versions(store) == [(0, A, 1), (1, B, 1)]
    assert aliases(store) == {"latest": 1, "mine": 0}
    assert store.layout.list_versions("team", "demo", "model") == [0, 1]


def test_two_runs_with_the_same_content_share_a_version(store: Store) -> None:
    for segment, run_id in ((A, "run1"), (B, "run2")):
        Writer(store.layout, segment, run_id=run_id).artifact("model", {"w": b"same"}, [run_id])
    apply_all(store)
    assert versions(store) == [(0, A, 1)]
    assert aliases(store) == {"latest": 0, "run1": 0, "run2": 0}


def test_use_of_a_missing_version_is_ignored(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.use("model", 0)
    writer.artifact("model", {"w": b"x"})
    writer.use("model", 0)
    writer.use("model", 0)
    apply_all(store)
    assert get_run(store).state == "running"


@pytest.mark.parametrize(
    "known", [True, False], ids=["with its digest", "without a digest, from older writers"]
)
def test_a_use_refers_to_the_content_if_its_version_has_another_number(store: Store, known: bool) -> None:
    """The run saw its own version as v0, but the version of another run had taken this number."""
    Writer(store.layout, A, run_id="other").artifact("model", {"w": b"other"})
    apply_all(store)
    writer = Writer(store.layout, B, run_id="user")
    record = writer.artifact("model", {"w": b"own"})
    writer.use("model", 0, digest=record.digest if known else "")
    apply_all(store)
    with store.reading() as session:
        (use,) = session.scalars(select(ArtifactUse))
        assert session.get_one(Version, use.version_id).index == (1 if known else 0)


def test_missing_blob_of_media_does_not_stop_the_journal(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.file("media/x.png", b"gone")
    for path in store.layout.blobs.rglob("*"):
        if path.is_file():
            path.unlink()
    writer.log({"x": 1})
    apply_all(store)
    assert [row["x"] for row in read_history(store)] == [1]


def test_journal_waits_for_a_missing_manifest(store: Store) -> None:
    writer = Writer(store.layout, A)
    record = writer.artifact("model", {"w": b"x"})
    manifest = store.blobs.path(record.manifest)
    away = manifest.rename(store.root / "away")
    with pytest.raises(StoreError, match=r"artifact model of run run1: content \w+ is not in the store"):
        apply_all(store)
    assert versions(store) == []
    away.rename(manifest)
    apply_all(store)
    assert versions(store) == [(0, A, 1)]


def test_artifact_record_names_a_manifest_in_the_store(store: Store) -> None:
    record = artifact_record(store.blobs, "model", {"b": b"2", "a": b"1"}, ["latest"], START)
    assert isinstance(record, ArtifactLogged)
    assert (record.size, record.file_count) == (2, 2)
    assert store.blobs.has(record.manifest)
