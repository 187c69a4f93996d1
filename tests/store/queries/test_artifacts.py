"""Finding artifacts: by version, alias or digest, in lists, and the runs that used them."""

from __future__ import annotations

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all

from tracker.errors import NotFoundError
from tracker.ground.read_models import ArtifactDetail
from tracker.store.blobs.manifest import read_manifest
from tracker.store.queries import artifacts
from tracker.store.store import Store


@pytest.fixture
def filled(store: Store) -> Store:
    writer = Writer(store.layout, "1" * 32, "run1")
    writer.artifact(
        "model", {"w.bin": b"0"}, ["latest", "old"], metadata={"score": 2**65}, artifact_type="model"
    )
    writer.artifact("model", {"w.bin": b"1", "sub/é.txt": b"text"}, ["best"], description="good")
    writer.artifact("data", {"d": b"d"})
    other = Writer(store.layout, "2" * 32, "run2", start=START + 100)
    other.use("model", 0)
    other.use("model", 1)
    other.artifact("model", {"w.bin": b"0"}, ["again"])
    apply_all(store)
    return store


def find(store: Store, reference: str, name: str = "model") -> ArtifactDetail:
    with store.reading() as session:
        return artifacts.artifact_detail(session, ENTITY, PROJECT, name, reference)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("v0", "v0"),
        ("v1", "v1"),
        ("v2", "v2"),
        ("latest", "v2"),
        ("best", "v1"),
        ("old", "v0"),
        ("again", "v2"),
    ],
)
def test_by_version_and_alias(filled: Store, reference: str, version: str) -> None:
    assert find(filled, reference).version == version


def test_digest_finds_the_newest_version_that_has_it(filled: Store) -> None:
    assert find(filled, "v0").digest == find(filled, "v2").digest != find(filled, "v1").digest
    assert find(filled, find(filled, "v0").digest).version == "v2"
    assert find(filled, find(filled, "v1").digest).version == "v1"


def test_all_fields_of_a_version(filled: Store) -> None:
    found = find(filled, "best")
    assert (found.entity, found.project, found.name, found.type) == (ENTITY, PROJECT, "model", "model")
    assert (found.aliases, found.size, found.file_count, found.logged_by) == (["best"], 5, 2, "run1")
    assert (found.description, found.metadata, found.created_at) == ("good", {}, START + 2)
    entries = read_manifest(filled.blobs, found.manifest).entries
    assert [(entry.path, entry.size) for entry in entries] == [("sub/é.txt", 4), ("w.bin", 1)]
    assert b"".join(filled.blobs.chunks(entries[0].sha256)) == b"text"
    assert [(run.project, run.id) for run in found.used_by] == [(PROJECT, "run2")]
    assert find(filled, "v0").metadata == {"score": 2**65}


@pytest.mark.parametrize(
    "reference", ["v3", "nowhere", "", "v", "v-1", "v99999999999999999999999", "%", "LATEST"]
)
def test_error_for_an_unknown_reference_lists_versions_and_aliases(filled: Store, reference: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        find(filled, reference)
    assert str(raised.value) == (
        f"artifact team/demo/model has no version or alias {reference!r}; "
        "it has versions v0 to v2, aliases: again, best, latest, old"
    )


def test_unknown_name(filled: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no artifact team/demo/none in this store"):
        find(filled, "latest", "none")


def test_lists_newest_first(filled: Store) -> None:
    def listed(**only: str) -> list[tuple[str, str, list[str]]]:
        with filled.reading() as session:
            found = artifacts.list_artifacts(session, ENTITY, PROJECT, **only)
        return [(each.name, each.version, each.aliases) for each in found]

    assert listed() == [
        ("model", "v2", ["again", "latest"]),
        ("data", "v0", ["latest"]),
        ("model", "v1", ["best"]),
        ("model", "v0", ["old"]),
    ]
    assert [each[:2] for each in listed(name="data")] == [("data", "v0")]
    assert [each[:2] for each in listed(run_id="run2")] == [("model", "v2")]
    assert listed(name="data", run_id="run2") == []
