"""Artifacts as scripts use them: captured immediately, versioned, found by alias, verified."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts

import tracker
from tracker.errors import ArtifactError, NotFoundError


def make(content: str, name: str = "data", **options: object) -> tracker.Artifact:
    artifact = tracker.Artifact(name, "dataset", **options)
    with artifact.new_file("file.txt") as file:
        file.write(content)
    return artifact


def test_versions_aliases_and_dedup() -> None:
    run = tracker.init(project="p")
    first = run.log_artifact(make("one", metadata={"n": 1}), aliases=["best"]).wait()
    second = run.log_artifact(make("two")).wait()
    same = run.log_artifact(make("two"), aliases=["stable"]).wait()
    assert [first.version, second.version, same.version] == ["v0", "v1", "v1"]
    api = tracker.Api()
    assert api.artifact("p/data:best").version == "v0"
    assert api.artifact("p/data").version == "v1"
    assert api.artifact("p/data:stable").aliases == ["latest", "stable"]
    assert api.artifact("p/data:v0").metadata == {"n": 1}
    assert api.artifact(f"p/data:{first.digest}").version == "v0"
    assert [each.version for each in api.artifact_versions("dataset", "p/data")] == ["v1", "v0"]
    assert [each.name for each in api.run(run.path).logged_artifacts()] == ["data:v1", "data:v0"]


def test_later_changes_of_a_file_do_not_change_the_artifact(tmp_path: Path) -> None:
    source = tmp_path / "model.ckpt"
    source.write_bytes(b"first")
    run = tracker.init(project="p")
    artifact = tracker.Artifact("model", "model")
    artifact.add_file(source)
    with source.open("r+b") as file:  # change the file in place, as training code may do
        file.write(b"WRONG")
    source.unlink()
    run.log_artifact(artifact)
    folder = Path(run.use_artifact("model:latest", type="model").download())
    assert (folder / "model.ckpt").read_bytes() == b"first"
    assert folder == Path("artifacts/model:v0")
    (folder / "model.ckpt").write_bytes(b"changed by the user")  # a download never links into the store
    again = run.use_artifact("model:v0")
    with pytest.raises(ArtifactError, match=r"model\.ckpt .* differs"):
        again.verify()
    again.download()
    again.verify()


def test_a_damaged_blob_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    run.log_artifact(make("content")).wait()
    found = tracker.Api().artifact("p/data:latest")
    path = tmp_path / "tracker-store" / "blobs" / "sha256" / found.get_entry("file.txt").sha256
    path.chmod(0o644)
    path.write_bytes(b"rotten!")
    with pytest.raises(ArtifactError, match=r"data/file\.txt"):
        found.download("there")
    assert not Path("there/file.txt").exists()


def test_folders_and_names(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/a.txt").write_text("a")
    (tmp_path / "tree/sub/b.txt").write_text("b")
    run = tracker.init(project="p")
    artifact = tracker.Artifact("tree", "dataset")
    artifact.add_dir(tmp_path / "tree", name="in")
    assert [entry.path for entry in artifact.files()] == ["in/a.txt", "in/sub/b.txt"]
    with pytest.raises(ValueError, match="Cannot add the same path twice"):
        artifact.add_file(tmp_path / "tree/sub/b.txt", name="in/a.txt")
    artifact.add_file(tmp_path / "tree/sub/b.txt", name="in/a.txt", overwrite=True)
    with pytest.raises(ValueError, match="not a file"):
        artifact.add_file("absent")
    with pytest.raises(ValueError, match="Invalid path inside an artifact"):
        artifact.add_file(tmp_path / "tree/a.txt", name="../../escape")
    run.log_artifact(artifact)
    with pytest.raises(tracker.UsageError, match="finalized"):
        artifact.add_file(tmp_path / "tree/a.txt", name="late")
    with pytest.raises(KeyError):
        artifact.get_entry("absent")
    made = run.log_artifact(tmp_path / "tree", name="from-path", type="dataset").wait()
    assert sorted(entry.path for entry in made.files()) == ["a.txt", "sub/b.txt"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("data:nope", "no version or alias 'nope'; it has versions v0 to v0, aliases: latest"),
        ("data:v7", "no version or alias 'v7'"),
        ("other", "there is no artifact local/p/other"),
    ],
)
def test_an_unknown_name_lists_the_existing_versions(name: str, says: str) -> None:
    run = tracker.init(project="p")
    run.log_artifact(make("x"))
    with pytest.raises(NotFoundError, match=says):
        run.use_artifact(name)


def test_bad_names_are_refused_before_anything_is_written() -> None:
    run = tracker.init(project="p")
    with pytest.raises(ValueError, match="Artifact name may only contain"):
        tracker.Artifact("a/b", "model")
    with pytest.raises(ValueError, match="looks like a version"):
        run.log_artifact(make("x"), aliases=["v3"])
    with pytest.raises(ValueError, match="may not be empty or contain"):
        run.log_artifact(make("x"), aliases=["a:b"])
    with pytest.raises(tracker.UsageError, match="Invalid artifact name"):
        run.use_artifact("a/b/c/d:v0")
    run.log_artifact(make("x"))
    with pytest.raises(tracker.UsageError, match="is of type 'dataset', not 'model'"):
        run.use_artifact("data:latest", type="model")


def test_a_journal_only_node_resolves_aliases(tmp_path: Path) -> None:
    """A journal-only process, as on a network file system, opens no catalog and starts no recorder."""
    code = """
import sys, tracker
run = tracker.init(project="p", id="node")
artifact = tracker.Artifact("model", "model")
with artifact.new_file("w") as file:
    file.write("weights")
run.log_artifact(artifact, aliases=["best"])
found = run.use_artifact("p/model:best")
print(open(found.download() + "/w").read(), found.version)
run.log({"a": 1})
run.finish()
again = tracker.init(project="p", id="node", resume="must")
print(again.step)
again.finish()
assert "sqlalchemy" not in sys.modules and "pyarrow" not in sys.modules
"""
    done = scripts.run(code, tmp_path, TRACKER_JOURNAL_ONLY="1")
    assert done.stdout.split() == ["weights", "v0", "1"]
    assert not (tmp_path / "tracker-store" / "catalog.db").exists()
    found = tracker.Api().artifact("p/model:best")  # the host with the catalog applies the journals
    assert found.version == "v0"
    assert len(tracker.Api().run("p/node").history(pandas=False)) == 1
