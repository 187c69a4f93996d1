"""Artifacts through ``Api``: their fields, files, source runs and links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from serving import Server, serving

import tracker
from tracker.api.api import Api
from tracker.errors import ArtifactFinalizedError, ArtifactNotLoggedError, UnsupportedError


def log_artifacts(folder: Path) -> None:
    run = tracker.init(
        entity="team",
        project="demo",
        id="maker",
        settings={"store": folder / "tracker-store", "silent": True},
    )
    run.log({"x": 1})
    run.log({"x": 2})
    artifact = tracker.Artifact("net", "model", description="a net", metadata={"depth": 3})
    for name, content in (("a.txt", "a"), ("sub/b.txt", "bb"), ("sub/c.txt", "ccc")):
        with artifact.new_file(name) as file:
            file.write(content)
    run.log_artifact(artifact).wait()
    run.log({"x": 3})
    run.link_artifact(artifact, "team/model-registry/nets", aliases=["prod"])
    run.finish()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a store with a version and a link to it."""
    folder = tmp_path_factory.mktemp("artifacts")
    log_artifacts(folder)
    with serving(folder / "tracker-store") as server:
        yield server


@pytest.fixture(params=["store", "server"])
def api(request: pytest.FixtureRequest, kept: Server) -> Api:
    """An ``Api`` that reads the catalog, and one that reads from the server."""
    if request.param == "store":
        return Api({"entity": "team", "project": "demo", "store": kept.store})
    return Api(
        {"entity": "team", "project": "demo", "base_url": kept.url, "store": kept.store.parent / "none"}
    )


def test_fields_of_a_version(api: Api) -> None:
    found = api.artifact("net:v0", type="model")
    assert (found.source_name, found.source_version, found.source_qualified_name) == (
        "net:v0", "v0", "team/demo/net:v0",
    )  # fmt: skip
    assert (found.digest_algorithm, found.commit_hash, found.distributed_id) == (
        "MANIFEST_MD5", found.digest, None,
    )  # fmt: skip
    assert (found.is_link, found.linked_at, found.source_artifact, found.history_step) == (
        False,
        None,
        found,
        1,
    )
    assert found.json_encode() == {
        "_type": "artifactVersion", "_version": "v0", "id": found.id, "version": "v0",
        "sequenceName": "net", "usedAs": None,
    }  # fmt: skip
    base = api.settings["base_url"]
    assert found.url == ("" if base is None else f"{base}/team/demo?tab=artifacts&artifact=net%3Av0")
    assert (found.collection.name, found.source_collection.id) == ("net", "team/demo/net")
    assert found.collection.artifacts()[0].digest == found.digest
    with pytest.raises(tracker.CommError, match="type 'dataset' specified but"):
        api.artifact("net:v0", type="dataset")


def test_links_both_ways(api: Api) -> None:
    found = api.artifact("net:v0")
    (link,) = found.linked_artifacts
    assert (link.qualified_name, link.is_link, link.linked_artifacts) == (
        "team/model-registry/nets:v0", True, [],
    )  # fmt: skip
    assert "prod" in link.aliases and link.linked_at == link.created_at
    assert (link.source_artifact.qualified_name, link.source_collection.name) == ("team/demo/net:v0", "net")
    assert (link.collection.name, link.collection.is_sequence()) == ("nets", False)
    assert (link.logged_by().id, found.logged_by().id) == ("maker", "maker")


def test_the_manifest(api: Api, tmp_path: Path) -> None:
    found = api.artifact("net:latest")
    manifest = found.manifest
    assert list(manifest.entries) == ["a.txt", "sub/b.txt", "sub/c.txt"] and len(manifest) == 3
    assert (manifest.digest(), manifest.size(), manifest.version()) == (found.digest, 6, 1)
    entry = manifest.entries["sub/b.txt"]
    assert (entry.path, entry.name, entry.size, entry.ref, entry.mimetype) == (
        "sub/b.txt", "sub/b.txt", 2, None, "text/plain",
    )  # fmt: skip
    assert manifest.get_entry_by_path("sub/b.txt") == entry and manifest.get_entry_by_path("b") is None
    assert [each.path for each in manifest.get_entries_in_directory("sub")] == ["sub/b.txt", "sub/c.txt"]
    assert manifest.to_manifest_json()["contents"]["sub/b.txt"] == {"digest": entry.digest, "size": 2}
    assert entry.to_json() == {"path": "sub/b.txt", "digest": entry.digest, "size": 2, "extra": {}}
    assert Path(entry.download(str(tmp_path), skip_cache=True)).read_text() == "bb"
    assert entry.ref_url().endswith("/team/demo/net:v0/sub/b.txt") and entry.parent_artifact() is found
    with pytest.raises(ValueError, match="Only reference entries"):
        entry.ref_target()
    files = found.files(per_page=1)
    assert [file.name for file in files] == list(manifest.entries) and next(files).size == 1
    assert [file.name for file in found.files(["a.txt", "none"])] == ["a.txt"]


def test_drafts_have_no_version(tmp_path: Path) -> None:
    draft = tracker.Artifact("new", "dataset")
    (tmp_path / "x.txt").write_text("x")
    entry = draft.add_file(str(tmp_path / "x.txt"), "inside/x.txt")
    assert draft.manifest.entries["inside/x.txt"].digest == entry.digest and draft.manifest.size() == 1
    assert draft.get_added_local_path_name(str(tmp_path / "x.txt")) == "inside/x.txt"
    assert draft.get_added_local_path_name("other") is None
    assert (draft.is_link, draft.source_name, draft.id, draft.state) == (False, "new", None, "PENDING")
    for name in (
        "version",
        "entity",
        "aliases",
        "commit_hash",
        "created_at",
        "url",
        "collection",
        "history_step",
    ):
        with pytest.raises(ArtifactNotLoggedError, match="was not logged"):
            getattr(draft, name)
        assert not hasattr(draft, name)  # the error is an AttributeError, as in wandb
    for call in (draft.logged_by, draft.used_by, draft.json_encode, draft.wait, draft.new_draft):
        with pytest.raises(ArtifactNotLoggedError):
            call()
    draft.finalize()
    with pytest.raises(ArtifactFinalizedError) as raised:
        draft.add_file(str(tmp_path / "x.txt"), "again.txt")
    assert isinstance(raised.value, AttributeError)
    for given in ({"digest_algorithm": "XXH128"}, {"storage_region": "moon"}):
        with pytest.raises(UnsupportedError):
            tracker.Artifact("new", "dataset", **given)  # type: ignore[arg-type]


def test_save_of_a_draft_without_a_run(tmp_path: Path) -> None:
    scripts.run(
        """
import tracker
artifact = tracker.Artifact("alone", "dataset")
with artifact.new_file("a.txt") as file:
    file.write("a")
artifact.save(project="demo")
print(artifact.wait().version)
assert tracker.run is None
""",
        tmp_path,
    )
    api = Api({"project": "demo", "store": tmp_path / "tracker-store"})
    found = api.artifact("alone:latest")
    assert (found.version, found.logged_by().job_type, found.logged_by().state) == ("v0", "auto", "finished")


def test_a_node_that_sees_only_the_folder_of_the_store(kept: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")
    found = Api({"entity": "team", "project": "demo", "store": kept.store}).artifact("net:latest")
    assert (found.version, found.url, next(iter(found.manifest.entries))) == ("v0", "", "a.txt")
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "0")
    known = Api({"entity": "team", "project": "demo", "store": kept.store}).artifact("net:latest")
    assert found.collection.name == known.collection.name
    assert [each.name for each in found.linked_artifacts] == [each.name for each in known.linked_artifacts]
    assert [run.id for run in found.used_by()] == [run.id for run in known.used_by()]
    assert (found.logged_by().id, found.history_step) == (known.logged_by().id, known.history_step)
