"""Operations on artifact versions: edit, delete, link, make a new draft, look up; with and without a run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import command, serving

import tracker
from tracker.artifacts.ttl import ArtifactTTL
from tracker.errors import ArtifactError, ArtifactFinalizedError, NotFoundError, UsageError

pytestmark = pytest.mark.usefixtures("without_recorder")


def make(content: str, name: str = "data", kind: str = "dataset", **options: Any) -> tracker.Artifact:
    artifact = tracker.Artifact(name, kind, **options)
    with artifact.new_file("file.txt") as file:
        file.write(content)
    return artifact


# The script logs in one process. Other processes edit. The steps are the same with each kind of store.
EDITS = """
from datetime import timedelta
import tracker

def make(content, **options):
    artifact = tracker.Artifact("data", "dataset", **options)
    with artifact.new_file("file.txt") as file: file.write(content)
    return artifact

run = tracker.init(project="p", id="writer")
first = run.log_artifact(make("one", metadata={"n": 1}), aliases=["best"], tags=["raw"]).wait()
assert (first.version, first.aliases, first.tags, first.ttl) == ("v0", ["best", "latest"], ["raw"], None)
first.description = "the first"
first.metadata["n"] = 2
first.metadata = {**first.metadata, "more": [1, 2]}
first.tags = ["raw", "checked well"]
first.ttl = timedelta(days=3)
first.aliases.append("stable")
first.aliases.remove("best")
first.save()
for found in (first, run.use_artifact("data:stable")):
    assert found.description == "the first", found.description
    assert found.metadata == {"n": 2, "more": [1, 2]}, found.metadata
    assert sorted(found.tags) == ["checked well", "raw"], found.tags
    assert found.ttl == timedelta(days=3), found.ttl
    assert found.aliases == ["latest", "stable"], found.aliases
first.save()  # without a change
second = run.log_artifact(make("two"), aliases=["stable"]).wait()
assert second.version == "v1"
assert run.use_artifact("data:stable").version == "v1"
linked = run.link_artifact(second, "model-registry/things", aliases=["prod"])
assert (linked.project, linked.name, linked.is_link) == ("model-registry", "things:v0", True)
assert linked.source_qualified_name == "local/p/data:v1" == second.qualified_name
assert (linked.source_entity, linked.source_project) == ("local", "p")
assert (linked.source_name, linked.source_version) == ("data:v1", "v1")
assert linked.aliases == ["latest", "prod"], linked.aliases
assert not second.is_link and second.source_name == "data:v1"
assert run.use_artifact("model-registry/things:prod").digest == second.digest
again = run.link_artifact(second, "model-registry/things", aliases=["dev"])
assert again.version == "v0", "the same version is not linked twice"
third = run.log_artifact(make("three"), aliases=["bad"]).wait()
try:
    third.delete()
except ValueError as error:
    assert "data:v2 has the aliases bad. Pass delete_aliases=True" in str(error), error
third.delete(delete_aliases=True)
assert third.state == "DELETED"
assert run.use_artifact("data:latest").version == "v1"
for name in ("data:bad", "data:v2"):
    try:
        run.use_artifact(name)
    except tracker.errors.NotFoundError:
        continue
    raise AssertionError(name)
fourth = run.log_artifact(make("three")).wait()
assert fourth.version == "v3", "a version number is never used again"
draft = fourth.new_draft()
with draft.new_file("another.txt") as file: file.write("more")
fifth = run.log_artifact(draft).wait()
assert sorted(entry.path for entry in fifth.files()) == ["another.txt", "file.txt"]
assert fifth.version == "v4" and fifth.size == 9
extended = tracker.Artifact("data", "dataset", incremental=True)
with extended.new_file("file.txt") as file: file.write("replaced")
sixth = run.log_artifact(extended).wait()
assert open(sixth.download() + "/file.txt").read() == "replaced"
assert open(sixth.get_entry("another.txt").download()).read() == "more"
run.finish()
"""


def check_edits(api: tracker.Api) -> None:
    found = {version.version: version for version in api.artifacts("dataset", "p/data")}
    assert sorted(found) == ["v0", "v1", "v3", "v4", "v5"]
    first = found["v0"]
    assert (first.description, first.metadata) == ("the first", {"n": 2, "more": [1, 2]})
    assert sorted(first.tags) == ["checked well", "raw"]
    assert first.ttl == timedelta(days=3)
    aliases = {version: each.aliases for version, each in found.items() if each.aliases}
    assert aliases == {"v1": ["stable"], "v5": ["latest"]}
    (linked,) = api.artifacts("dataset", "model-registry/things")
    assert linked.source_qualified_name == "local/p/data:v1"
    assert linked.aliases == ["dev", "latest", "prod"]


@pytest.mark.parametrize("where", ["catalog", "journal-only"])
def test_edits_in_a_run(where: str, tmp_path: Path) -> None:
    journal_only = {"TRACKER_JOURNAL_ONLY": "1"} if where == "journal-only" else {}
    scripts.run(EDITS, tmp_path, **journal_only)
    check_edits(tracker.Api())
    run = tracker.Api().run("p/writer")
    assert [each.name for each in run.logged_artifacts()] == [
        "data:v5",
        "data:v4",
        "data:v3",
        "data:v1",
        "data:v0",
    ]


def test_edits_through_a_server(tmp_path: Path) -> None:
    with serving(tmp_path / "served", key=True) as server:
        variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key or ""}
        scripts.run(EDITS, tmp_path, **variables)
        check_edits(tracker.Api({"base_url": server.url, "api_key": server.key}))


@pytest.mark.slow
def test_a_rebuilt_catalog_contains_the_same_edits(tmp_path: Path) -> None:
    scripts.run(EDITS, tmp_path)
    check_edits(tracker.Api())
    scripts.wait_for(lambda: command("rebuild", folder=tmp_path).returncode == 0, "the recorder to leave")
    check_edits(tracker.Api())
    run = tracker.init(project="p")
    assert run.log_artifact(make("new")).wait().version == "v6"


def test_edits_without_a_run(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    run.log_artifact(make("one")).wait()
    run.finish()
    found = tracker.Api().artifact("p/data:v0")
    found.aliases = ["chosen"]  # `latest` cannot be removed
    found.description = "edited"
    found.save()
    assert found.aliases == ["chosen", "latest"]
    assert tracker.Api().artifact("p/data:chosen").description == "edited"
    linked = found.link("model-registry/things", ["prod"])
    with pytest.raises(ValueError, match="not a linked artifact and cannot be unlinked"):
        found.unlink()
    linked.unlink()
    assert not tracker.Api().artifact_exists("model-registry/things:prod")
    assert tracker.Api().artifact_exists("p/data:chosen")
    with pytest.raises(ValueError, match="has the aliases chosen"):
        found.delete()
    found.delete(delete_aliases=True)
    with pytest.raises(ArtifactError, match="data:v0 was deleted"):
        found.save()
    with pytest.raises(NotFoundError, match="it has no version yet"):
        tracker.Api().artifact("p/data:v0")


def test_a_node_without_a_run_cannot_edit(tmp_path: Path) -> None:
    code = """
import tracker
run = tracker.init(project="p")
artifact = tracker.Artifact("data", "dataset")
with artifact.new_file("f") as file: file.write("x")
run.log_artifact(artifact).wait()
run.finish()
artifact.description = "edited"
for change in (artifact.save, artifact.delete, lambda: artifact.link("model-registry/x")):
    try:
        change()
    except tracker.UsageError as error:
        print(error)
"""
    done = scripts.run(code, tmp_path, TRACKER_JOURNAL_ONLY="1")
    assert done.stdout.count("This host sees only the folder of the store") == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda artifact: setattr(artifact, "ttl", timedelta(0)), "has to be positive"),
        (lambda artifact: setattr(artifact, "ttl", 7), "Invalid ttl 7"),
        (lambda artifact: setattr(artifact, "tags", ["a/b"]), "Invalid tag 'a/b'"),
        (lambda artifact: (artifact.aliases.append("v7"), artifact.save()), "looks like a version"),
        (lambda artifact: artifact.link("things", ["a:b"]), "may not be empty or contain"),
        (lambda artifact: artifact.link("wrong\nname"), "Invalid collection name"),
    ],
)
def test_invalid_edits_are_refused(change: Any, says: str) -> None:
    artifact = tracker.init(project="p").log_artifact(make("one")).wait()
    with pytest.raises(ValueError, match=says):
        change(artifact)
    assert tracker.Api().artifact("p/data").aliases == ["latest"]


def test_lifetimes() -> None:
    run = tracker.init(project="p")
    artifact = make("one")
    artifact.ttl = timedelta(hours=1)
    run.log_artifact(artifact).wait()
    found = tracker.Api().artifact("p/data")
    assert found.ttl == timedelta(hours=1)
    found.ttl = ArtifactTTL.INHERIT  # type: ignore[assignment]
    found.save()
    assert tracker.Api().artifact("p/data").ttl is None
    with pytest.raises(TypeError, match="metadata must be dict"):
        found.metadata = ["no"]  # type: ignore[assignment]


def test_models(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"a")
    (tmp_path / "folder" / "b").write_bytes(b"b")
    run = tracker.init(project="p", id="trainer")
    run.log_model(tmp_path / "model.pt", aliases=["best"])
    assert Path(run.use_model("run-trainer-model.pt:best")).read_bytes() == b"weights"
    run.log_model(tmp_path / "folder", name="many")
    assert sorted(path.name for path in Path(run.use_model("many:v0")).iterdir()) == ["a", "b"]
    registered = run.link_model(tmp_path / "model.pt", "classifier", name="weights", aliases=["prod"])
    assert registered.qualified_name == "local/model-registry/classifier:v0"
    assert registered.source_qualified_name == "local/p/weights:v0"
    assert Path(run.use_model("model-registry/classifier:prod")).read_bytes() == b"weights"
    assert registered.logged_by().id == "trainer"
    with pytest.raises(ValueError, match="has no version"):
        run.use_model("many")
    with pytest.raises(ValueError, match="may not contain"):
        run.link_model(tmp_path / "model.pt", "a/b")
    chosen = run.link_model(
        tmp_path / "model.pt", "My Registered Model (v2)", name="weights", aliases=["prod"]
    )
    assert chosen.qualified_name == "local/model-registry/My Registered Model (v2):v0"
    path = "model-registry/My Registered Model (v2):prod"
    assert Path(run.use_model(path)).read_bytes() == b"weights"
    assert tracker.Api().artifact(path).new_draft().name == "weights"
    for name in (" ", "..", "a:b", "a\nb", "x" * 200):
        with pytest.raises(ValueError, match=r"Invalid collection name|at most 128"):
            run.link_model(tmp_path / "model.pt", name)
    run.log_artifact(make("one")).wait()
    with pytest.raises(UsageError, match="needs a model"):
        run.use_model("data:v0")
    collection = tracker.Api().artifact_collection("model", "model-registry/classifier")
    assert not collection.is_sequence()
    assert collection.aliases == ["latest", "prod"]


@pytest.mark.slow
def test_lineage_and_lists() -> None:
    run = tracker.init(project="p", id="maker")
    run.log_artifact(make("one"), aliases=["a"], tags=["good"]).wait()
    run.log_artifact(make("two"), tags=["good", "new"]).wait()
    run.log_artifact(make("m", "net", "model")).wait()
    run.finish()
    user = tracker.init(project="q", id="user")
    used = user.use_artifact("p/data:a")
    assert user.use_artifact("p/data:a").version == "v0"
    user.finish()
    api = tracker.Api()
    assert [each.path for each in used.used_by()] == [["local", "q", "user"]]
    assert used.logged_by().path == ["local", "p", "maker"]
    assert [each.qualified_name for each in api.run("q/user").used_artifacts()] == ["local/p/data:v0"]
    assert [each.name for each in api.run("p/maker").logged_artifacts()] == ["net:v0", "data:v1", "data:v0"]
    assert [each.version for each in api.artifact_versions("dataset", "p/data")] == ["v1", "v0"]
    assert [each.version for each in api.artifacts("dataset", "p/data", order="createdAt")] == ["v0", "v1"]
    assert [each.version for each in api.artifacts("dataset", "p/data", tags="good")] == ["v1", "v0"]
    assert [each.version for each in api.artifacts("dataset", "p/data", tags=["new", "good"])] == ["v1"]
    assert [each.name for each in api.artifact_types("p")] == ["dataset", "model"]
    (collection,) = api.artifact_collections("p", "dataset")
    assert (collection.name, collection.aliases) == ("data", ["a", "latest"])
    assert collection.is_sequence()
    assert api.artifact_collection_exists("p/data", "dataset")
    assert not api.artifact_collection_exists("p/data", "model")
    assert api.artifact_exists("p/data:a", "dataset")
    assert not api.artifact_exists("p/data:a", "model")
    assert not api.artifact_exists("p/data:none")
    collection.delete()
    assert api.artifact_collections("p", "dataset") == []
    assert api.run("q/user").used_artifacts() == []


def test_one_file_of_many_and_checkout(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    artifact = tracker.Artifact("many", "dataset")
    for name in ("a", "ab", "b/c", "b/d"):
        with artifact.new_file(name) as file:
            file.write(name)
    with pytest.raises(ValueError, match="already exists"), artifact.new_file("a"):
        pass
    run.log_artifact(artifact).wait()
    assert Path(artifact.get_path("a").download("one")).read_text() == "a"
    assert [path.name for path in Path("one").rglob("*")] == ["a"], "names that begin with `a` are left out"
    assert [entry.path for entry in artifact.files(names=["b/d", "a"])] == ["a", "b/d"]
    with pytest.raises(ValueError, match="contains 4 files"):
        artifact.file()
    folder = Path(artifact.checkout())
    assert folder == Path("artifacts/many")
    (folder / "foreign").write_text("x")
    (folder / "b" / "d").unlink()
    (folder / "b" / "d").mkdir()
    (folder / "b" / "d" / "below").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "keep").write_text("keep")
    (folder / "link").symlink_to(tmp_path / "outside")
    for name in ("foreign", "link"):
        with pytest.raises(ArtifactError, match="is not a file of artifact many"):
            artifact.verify(folder)
        if name == "foreign":
            (folder / "foreign").unlink()
            (folder / "b" / "d" / "below").unlink()
    (folder / "b" / "d" / "below").write_text("x")
    artifact.checkout()
    artifact.verify(folder)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == [
        "a",
        "ab",
        "b",
        "b/c",
        "b/d",
    ]
    assert (tmp_path / "outside" / "keep").read_text() == "keep"
    artifact.download(path_prefix="b/", root="prefix")
    assert sorted(path.name for path in Path("prefix").rglob("*")) == ["b", "c", "d"]


def test_tables_and_images_can_be_read_back() -> None:
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("PIL")
    pixels = numpy.arange(48, dtype=numpy.uint8).reshape(4, 4, 3)
    run = tracker.init(project="p")
    artifact = tracker.Artifact("media", "dataset")
    table = tracker.Table(
        columns=["id", "image"], data=[[1, tracker.Image(pixels, caption="one")], [2, None]]
    )
    artifact.add(table, "in/table")
    artifact.add(tracker.Image(pixels), "picture")
    with pytest.raises(TypeError, match="Cannot add an object of type"):
        artifact.add("text", "text")  # type: ignore[arg-type]
    run.log_artifact(artifact).wait()
    found = tracker.Api().artifact("p/media")
    names = {entry.path for entry in found.files()}
    assert {"in/table.table.json", "picture.image-file.json"} < names
    again = found.get("in/table")
    assert again.columns == ["id", "image"]
    assert again.data[0][0] == 1
    assert again.data[1] == [2, None]
    assert isinstance(again.data[0][1], tracker.Image)
    assert isinstance(found.get("picture"), tracker.Image)
    assert found.get("absent") is None


def test_a_finalized_artifact_takes_no_more_files() -> None:
    artifact = make("one")
    artifact.finalize()
    with pytest.raises(ArtifactFinalizedError, match="finalized"):
        artifact.new_file("x").__enter__()
    run = tracker.init(project="p")
    assert run.log_artifact(artifact).wait().version == "v0"  # logging finalizes an artifact anyway
    with pytest.raises(UsageError, match="is already logged"):
        run.log_artifact(artifact)


def test_content_that_is_logged_again_does_not_expire(tmp_path: Path) -> None:
    run = tracker.init(project="p", settings={"silent": True})
    short = make("one")
    short.ttl = timedelta(milliseconds=1)
    assert run.log_artifact(short).wait().ttl is not None
    again = run.log_artifact(make("one")).wait()
    assert (again.version, again.ttl) == ("v0", None)
    done = command("gc", "--json", folder=tmp_path)
    assert '"version"' not in done.stdout
    assert run.use_artifact("data:latest").version == "v0"


def test_a_lifetime_beyond_the_calendar_is_refused() -> None:
    artifact = make("one")
    with pytest.raises(ValueError, match="longer than 1,000 years"):
        artifact.ttl = timedelta.max


def test_using_a_linked_version_also_counts_as_using_its_source() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    source = run.log_artifact(make("one")).wait()
    source.link("model-registry/chosen")
    user = tracker.init(project="p", settings={"silent": True}, reinit=True)
    user.use_artifact("model-registry/chosen:latest")
    api = tracker.Api()
    for name in ("p/data:v0", "model-registry/chosen:v0"):
        assert [each.id for each in api.artifact(name).used_by()] == [user.id]


def test_a_failed_checkout_leaves_the_folder_unchanged(tmp_path: Path) -> None:
    run = tracker.init(project="p", settings={"silent": True})
    artifact = run.log_artifact(make("one")).wait()
    folder = tmp_path / "work"
    (folder / "file.txt").mkdir(parents=True)  # a folder at the path of a file
    (folder / "file.txt" / "precious").write_text("precious")
    (folder / "other").write_text("other")
    Path(artifact.checkout(folder), "file.txt").read_text()
    assert [path.name for path in folder.iterdir()] == ["file.txt"]
    (folder / "other").write_text("other")
    (folder / "file.txt").unlink()
    (blob,) = (tmp_path / "tracker-store" / "blobs").rglob(artifact.contents.manifest.entries[0].sha256)
    blob.unlink()
    with pytest.raises(ArtifactError):
        artifact.checkout(folder)
    assert (folder / "other").read_text() == "other"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_is_a_relative_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Invalid name"):
        tracker.Artifact(name, "model")


def test_api_on_a_node_without_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracker.init(project="p", settings={"silent": True}) as run:
        run.log_artifact(make("one")).wait()
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")
    artifact = tracker.Api().artifact("p/data:latest")
    assert Path(artifact.download("down"), "file.txt").exists()
    assert [found.id for found in tracker.Api().runs("p")] == [run.id]
    done = command("artifact", "get", "p/data:v0", "--root", "got", folder=tmp_path)
    assert done.returncode == 0, done.stderr
