"""Artifacts of the real wandb client: the same versions as with our own SDK, and all that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store

pytestmark = pytest.mark.wandb_client

# Runs with the package wandb and with tracker, in the same folder.
LOG = """
import datetime, importlib, pathlib, sys
wandb = importlib.import_module(sys.argv[1])
folder = pathlib.Path("files")
(folder / "sub").mkdir(parents=True, exist_ok=True)
(folder / "a.txt").write_text("hello")
(folder / "sub" / "b #\\u00e9.txt").write_text("world")
(folder / "empty").write_text("")
(folder / "large.bin").write_bytes(bytes(range(256)) * 2000)
more = pathlib.Path("more.txt")
more.write_text("more")
run = wandb.init(entity="lab", project="versions", id="logs")

def log(name, *paths, aliases=(), **fields):
    artifact = wandb.Artifact(name, type="dataset", **fields)
    for path in paths:
        artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
    return run.log_artifact(artifact, aliases=list(aliases) or None).wait()

log("data", folder, aliases=["latest", "best"], description="words", metadata={"k": 1, "deep": {"x": [1]}})
log("data", folder, aliases=["again"])
log("data", folder, more, aliases=["second"])
log("data", folder, aliases=["first again"])
late = wandb.Artifact("late", type="model")
late.ttl = datetime.timedelta(days=3)
with late.new_file("made.txt") as file:
    file.write("made")
late.add_reference(more.absolute().as_uri(), name="reference.txt")
late.add(wandb.Table(columns=["x", "y"], data=[[1, "a"], [2, "b"]]), "table")
run.log_artifact(late, tags=["tag one"]).wait()
away = wandb.Artifact("away", type="dataset")
away.add_reference("https://example.invalid/x", checksum=False)
run.log_artifact(away).wait()
used = run.use_artifact("data:best")
derived = wandb.Artifact("derived", type="dataset")
derived.add_reference(used.get_entry("large.bin"), "renamed.bin")
run.log_artifact(derived).wait()
draft = used.new_draft()
draft.remove("empty")
draft.add_file(str(more), "added.txt")
run.log_artifact(draft).wait()
run.link_artifact(used, "lab/portfolio/Best of all", aliases=["prod"])
for part in ("a.txt", "large.bin"):
    growing = wandb.Artifact("growing", type="dataset", incremental=True)
    growing.add_file(str(folder / part))
    run.log_artifact(growing).wait()
run.log({"table": wandb.Table(columns=["q"], data=[[1]])})
run.finish()
"""


def versions_of(store: Path) -> dict[str, Any]:
    """Return all versions of the test's projects, without times, and what the run used."""
    reader = LocalReader(open_store(store))
    found: dict[str, Any] = {}
    for project in ("versions", "portfolio"):
        for each in reader.artifacts("lab", project, None, None):
            detail = reader.artifact("lab", project, each.name, each.version)
            found[f"{project}/{each.name}:{each.version}"] = {
                **{
                    name: getattr(each, name)
                    for name in ("type", "aliases", "digest", "size", "file_count", "description")
                },
                "metadata": each.metadata,
                "tags": each.tags,
                "source": each.source,
                "run": each.logged_by,
                "lasts": None if each.expires_at is None else round(each.expires_at - each.created_at),
                "users": [user.id for user in detail.used_by],
                "entries": [
                    (entry.path, entry.digest, entry.size, entry.sha256, entry.ref, entry.extra)
                    for entry in reader.manifest(detail).entries
                ],
            }
    reader.close()
    return found


READ = """
import pathlib, wandb
api = wandb.Api()
name = "lab/versions/"

# Versions and files
version = api.artifact(name + "data:best")
found = (version.name, version.type, version.description)
assert found == ("data:best", "dataset", "words"), found
assert version.metadata == {"k": 1, "deep": {"x": [1]}}
assert version.aliases == ["again", "best"], version.aliases
assert version.source_qualified_name == name + "data:v0" and not version.is_link
root = pathlib.Path(version.download("down"))
files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
assert files == ["a.txt", "empty", "large.bin", "sub/b #\\u00e9.txt"], files
assert version.verify(str(root)) is None
assert (root / "large.bin").read_bytes() == bytes(range(256)) * 2000
assert api.artifact(name + "data:best").download("parts", multipart=True, skip_cache=True)
assert pathlib.Path("parts/large.bin").read_bytes() == bytes(range(256)) * 2000
entry = version.get_entry("sub/b #\\u00e9.txt")
assert pathlib.Path(entry.download("one", skip_cache=True)).read_text() == "world"
assert [(file.name, file.size) for file in version.files()][0] == ("a.txt", 5)
assert [file.name for file in version.files(["empty"])] == ["empty"]
assert api.artifact(name + "data:" + version.digest).digest == version.digest
late = api.artifact(name + "late:v0")
assert (late.tags, late.ttl.days, late.get("table").data) == (["tag one"], 3, [[1, "a"], [2, "b"]])
derived = api.artifact(name + "derived:latest")
assert derived.manifest.entries["renamed.bin"].ref.startswith("wandb-artifact://")
assert (pathlib.Path(derived.download("derived")) / "renamed.bin").stat().st_size == 512000
linked = api.artifact("lab/portfolio/Best of all:prod")
assert (linked.is_link, linked.source_name, linked.aliases) == (True, "data:v0", ["latest", "prod"])
assert linked.collection.name == "Best of all" and linked.download("linked")
assert [each.qualified_name for each in version.linked_artifacts] == ["lab/portfolio/Best of all:v0"]

# Lists
assert [each.name for each in api.artifact_types("lab/versions")] == ["dataset", "model", "run_table"]
kind = api.artifact_type("dataset", "lab/versions")
assert sorted(each.name for each in kind.collections()) == ["away", "data", "derived", "growing"]
collections = api.artifact_collections("lab/versions", "dataset", per_page=1)
assert len(list(collections)) == 4
versions = api.artifacts("dataset", name + "data", per_page=2)
assert [each.version for each in versions] == ["v3", "v2", "v1", "v0"] and len(versions) == 4
assert [each.version for each in api.artifacts("dataset", name + "growing")] == ["v1", "v0"]
assert [each.version for each in api.artifacts("model", name + "late", tags="tag one")] == ["v0"]
assert [*api.artifacts("model", name + "late", tags="other")] == []
assert api.artifact_exists(name + "data:v0") and not api.artifact_exists(name + "data:v99")
assert not api.artifact_exists("lab/nowhere/data:v0")

# Runs
run = api.run("lab/versions/logs")
assert "late:v0" in [each.name for each in run.logged_artifacts()]
assert [each.name for each in run.used_artifacts()] == ["data:v0"]
assert version.logged_by().id == "logs" and [each.id for each in version.used_by()] == ["logs"]
print("read")
"""


def test_versions_are_those_of_our_own_sdk(client: Any) -> None:
    client.run(LOG, "wandb")
    own = f"import sys\nsys.argv[1:] = ['tracker']\n{LOG}"
    scripts.run(own, client.folder, TRACKER_STORE=str(client.folder / "store"))
    expected = versions_of(client.folder / "store")
    assert len(expected) == 11
    assert versions_of(client.store) == expected
    assert client.run(READ).stdout.endswith("read\n")


CHANGE = """
import pathlib, sys, wandb
from datetime import timedelta
pathlib.Path("a.txt").write_text("a"); pathlib.Path("b.txt").write_text("b" * 300000)
run = wandb.init(entity="lab", project="changes", id="changes")
name = "lab/changes/"

def logged(collection, *files, aliases=None):
    artifact = wandb.Artifact(collection, type="dataset")
    for file in files:
        artifact.add_file(file)
    return run.log_artifact(artifact, aliases=aliases).wait()

def get(reference):
    return wandb.Api().artifact(name + reference)

# Edits
logged("data", "a.txt", aliases=["one"])
found = get("data:v0")
found.description, found.ttl = "described", timedelta(days=2)
found.metadata["score"] = 0.5
found.tags.append("good")
found.aliases.append("gold")
found.save()
found = get("data:gold")
assert (found.description, found.ttl, found.metadata) == ("described", timedelta(days=2), {"score": 0.5})
assert (found.tags, found.aliases) == (["good"], ["gold", "latest", "one"])
found.aliases.remove("gold")
found.tags, found.ttl = [], None
found.save()
assert (get("data:v0").tags, get("data:v0").aliases, get("data:v0").ttl) == ([], ["latest", "one"], None)
collection = wandb.Api().artifact_collection("dataset", name + "data")
collection.description, collection.tags = "all of it", ["kept"]
collection.save()
collection = wandb.Api().artifact_collection("dataset", name + "data")
assert (collection.description, collection.tags) == ("all of it", ["kept"])
assert sorted(collection.aliases) == ["latest", "one"]

# Links
link = get("data:v0").link("lab/changes/chosen", aliases=["p"])
link = get("chosen:p")
link.aliases.append("q")
link.save()
assert get("chosen:q").aliases == ["latest", "p", "q"] and get("data:v0").aliases == ["latest", "one"]
link.unlink()
assert not wandb.Api().artifact_exists(name + "chosen:v0") and get("data:v0")
registered = run.link_model("b.txt", "Registered", "trained", aliases=["prod"])
assert registered.qualified_name == "lab/model-registry/Registered:v0"
run.link_artifact(get("data:v0"), "wandb-registry-model/kept", aliases=["r"])
assert wandb.Api().artifact("lab/wandb-registry-model/kept:r").source_name == "data:v0"
registries = wandb.Api().registries("lab", filter={"name": {"$regex": "mod"}})
assert [each.name for each in registries] == ["model"]
collections = wandb.Api().registry("model", "lab").collections()
assert [each.name for each in collections] == ["kept"]
kept = wandb.Api().registries("lab").collections().versions(filter={"alias": "r"})
assert [each.qualified_name for each in kept] == ["lab/wandb-registry-model/kept:v0"]

# Deletions
try:
    get("data:v0").delete()
    raise SystemExit("deleted a version with aliases")
except wandb.errors.CommError as error:
    assert "has the aliases one" in str(error), error
logged("data", "b.txt")
get("data:v0").delete(delete_aliases=True)
assert not wandb.Api().artifact_exists(name + "data:v0") and get("data:latest").version == "v1"

# Several writers of one artifact, a draft that is used, and references to what is not committed yet
for last, file in enumerate(("a.txt", "b.txt")):
    part = wandb.Artifact("parts", type="dataset")
    part.add_file(file)
    (run.finish_artifact if last else run.upsert_artifact)(part, distributed_id="group")
part.wait()
assert sorted(get("parts:v0").manifest.entries) == ["a.txt", "b.txt"]
draft = wandb.Artifact("used", type="dataset")
draft.add_file("a.txt")
assert run.use_artifact(draft).wait().version == "v0"
table = wandb.Table(columns=["image"], data=[[wandb.Image(__import__("numpy").zeros((4, 4, 3), "uint8"))]])
first, second = wandb.Artifact("first", type="dataset"), wandb.Artifact("second", type="dataset")
first.add(table, "table")
run.log_artifact(first)
second.add(table, "same")
run.log_artifact(second).wait()
first.wait()
assert get("second:v0").manifest.entries["same.table.json"].ref.startswith("wandb-artifact://")
assert len(get("second:v0").get("same").data) == 1

# Tables that grow
for mode in ("INCREMENTAL", "MUTABLE"):
    table = wandb.Table(columns=["n"], log_mode=mode)
    for number in range(3):
        table.add_data(number)
        run.log({mode.lower(): table})
run.log_model("b.txt", "own")
run.log_code(".")
run.finish()
names = sorted(each.name for each in wandb.Api().run("lab/changes/changes").logged_artifacts())
for wanted in ("own:v0", "run-changes-incr-incremental:v2", "run-changes-mutable:v2", "first:v0"):
    assert wanted in names, names
assert wandb.Api().run("lab/changes/changes").use_artifact(get("parts:v0"))
wandb.Api().artifact_collection("dataset", name + "second").delete()
assert not wandb.Api().artifact_exists(name + "second:v0")
print("changed")
"""


def test_client_changes_links_and_deletes(client: Any) -> None:
    assert client.run(CHANGE).stdout.endswith("changed\n")
    api = tracker.Api(overrides={"store": str(client.store)})
    assert api.artifact("lab/changes/data:latest").version == "v1"
    assert [run.id for run in api.artifact("lab/changes/parts:v0").used_by()] == ["changes"]


OFFLINE = """
import wandb
run = wandb.init(project="offline", id="away", mode="offline")
for text in ("one", "two"):
    artifact = wandb.Artifact("kept", type="dataset")
    with artifact.new_file("text.txt") as file:
        file.write(text)
    run.log_artifact(artifact, aliases=[text])
run.finish()
"""


def test_command_and_a_second_sync(client: Any) -> None:
    (client.folder / "data").mkdir()
    (client.folder / "data" / "x.txt").write_text("x")
    put = client.command("artifact", "put", "-n", "lab/commands/made", "-t", "dataset", "-a", "a", "data")
    assert put.returncode == 0, put.stderr
    assert "made:v0" in client.command("artifact", "ls", "lab/commands").stderr
    got = client.command("artifact", "get", "lab/commands/made:a", "--root", "got")
    assert (client.folder / "got" / "x.txt").read_text() == "x", got.stderr
    client.run(OFFLINE)
    [folder] = client.folder.glob("wandb/offline-run-*")
    for _ in range(2):
        synced = client.command("sync", "--include-synced", str(folder))
        assert synced.returncode == 0, synced.stderr
        api = tracker.Api(overrides={"store": str(client.store)})
        versions = api.artifacts("dataset", "local/offline/kept")
        assert [(each.version, each.aliases) for each in versions] == [
            ("v1", ["latest", "two"]),
            ("v0", ["one"]),
        ]
