"""Folders, differences, lineage, registries, sizes and edits: on a store and through a server."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripts
from builders import no_catalog
from serving import Server, serving

import tracker
from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged
from tracker.reading.catalog_free import CatalogFreeReader
from tracker.reading.local import LocalReader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, outbox_folder
from tracker.store.gc.collect import collect
from tracker.store.objects.layout import Layout

ENTITY, PROJECT = "team", "p"
SHARED = {f"data/{at}.txt": b"shared %d" % at for at in range(20)}
LARGE = bytes(range(256)) * 2048
URI = "https://example.com/x"


def contents(version: int) -> dict[str, bytes]:
    """Return the files of a version: most of them are the same in all versions."""
    changed = {"data/0.txt": b"version %d" % version, f"new/{version}.txt": b"only here %d" % version}
    return {**SHARED, **changed, "large.bin": LARGE}


def log_all(folder: Path) -> None:
    settings = {"store": folder / "tracker-store", "silent": True}
    options: dict[str, Any] = {"entity": ENTITY, "settings": settings, "reinit": "create_new"}
    for version in range(3):
        run = tracker.init(project=PROJECT, id=f"r{version}", **options)
        if version:
            run.use_artifact("data:latest")
        data = tracker.Artifact("data", "dataset", metadata={"version": version, "nan": math.nan})
        for path, content in contents(version).items():
            with data.new_file(path, "wb") as file:
                file.write(content)
        data.add_reference(URI, "there", checksum=False)
        run.log_artifact(data, aliases=[f"n{version}"]).wait()
        run.link_artifact(data, f"{ENTITY}/model-registry/Data Set", aliases=["prod"])
        run.finish()
    run = tracker.init(project="other", id="last", **options)
    run.use_artifact(f"{ENTITY}/{PROJECT}/data:v1")
    model = tracker.Artifact("model", "model")
    with model.new_file("weights", "wb") as file:
        file.write(LARGE)
    run.log_artifact(model).wait()
    run.finish()
    tracker.Api({"store": folder / "tracker-store"}).runs(f"{ENTITY}/{PROJECT}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """Return the server of a store of its own."""
    log_all(tmp_path)
    with serving(tmp_path / "tracker-store") as server:
        with server.client() as api:
            scripts.wait_for(
                lambda: api.get(f"/projects/{ENTITY}/other/artifacts").json()["artifacts"], "the versions"
            )
        yield server
    assert not [line for line in server.errors if "Traceback" in line]


def remote_of(server: Server) -> RemoteReader:
    return RemoteReader(Remote(server.url, server.key), Layout(outbox_folder(server.store, server.url)))


def as_answers(reader: Any, *, has_catalog: bool = True) -> list[Any]:
    """Return the answers of a reader to the questions of this module."""
    data = [reader.artifact(ENTITY, PROJECT, "data", f"v{at}") for at in range(3)]
    model = reader.artifact(ENTITY, "other", "model", "latest")
    answers = [
        reader.folder(data[0]),
        reader.folder(data[0], "data", offset=3, limit=5),
        reader.folder(data[0], search="ONLY"),
        reader.folder(data[0], search="NEW/0"),
        reader.difference(data[0], data[2]),
        reader.difference(data[0], data[0]),
        reader.difference(data[2], model, states=["removed", "same"], search="data", offset=2, limit=4),
    ]
    if has_catalog:
        answers += [
            reader.version_lineage(ENTITY, PROJECT, "data", "n1"),
            reader.version_lineage(ENTITY, PROJECT, "data", "v1", direction="after", depth=2, limit=3),
            reader.run_lineage(ENTITY, "other", "last"),
            reader.registry(ENTITY),
            reader.registry(ENTITY, search="data s", limit=1),
            reader.registry(ENTITY, search="%"),
            reader.registry("nothing"),
            reader.artifact_sizes(ENTITY, PROJECT, None),
            reader.artifact_sizes(ENTITY, "other", "model"),
        ]
    for question in (
        lambda: reader.folder(data[0], "nothing"),
        lambda: (
            reader.artifact_sizes(ENTITY, PROJECT, "nothing") if has_catalog else reader.folder(model, "x")
        ),
    ):
        with pytest.raises(NotFoundError):
            question()
    return answers


def test_readers_agree(served: Server) -> None:
    local = LocalReader(open_store(served.store, create=False))
    by_catalog = as_answers(local)
    remote = remote_of(served)
    assert as_answers(remote) == by_catalog
    by_files = as_answers(CatalogFreeReader(Layout(served.store), no_catalog), has_catalog=False)
    assert by_files == by_catalog[: len(by_files)]
    difference = by_catalog[4]
    assert [(each.path, each.state) for each in difference.files] == [
        ("data/0.txt", "changed"),
        ("new/0.txt", "removed"),
        ("new/2.txt", "added"),
    ]
    assert (difference.same.files, difference.metadata[0].key) == (21, "version")
    lineage = by_catalog[7]
    assert {node.id.split(":", 1)[1]: node.distance for node in lineage.nodes} == {
        "team/p/data:v1": 0,
        "team/p/r1": -1,
        "team/p/data:v0": -2,
        "team/p/r0": -3,
        "team/p/r2": 1,
        "team/other/last": 1,
        "team/model-registry/Data Set:v1": 1,
        "team/p/data:v2": 2,
        "team/other/model:v0": 2,
        "team/model-registry/Data Set:v2": 3,
    }
    assert not lineage.is_cut
    assert (len(by_catalog[8].nodes), by_catalog[8].is_cut) == (3, True)
    (registered,) = by_catalog[10].collections
    assert (registered.project, registered.name, registered.links) == ("model-registry", "Data Set", 3)
    assert (registered.source, registered.named) == ("team/p/data:v2", {"latest": "v2", "prod": "v2"})
    assert [page.total for page in by_catalog[10:14]] == [1, 1, 0, 0]
    with pytest.raises(UsageError):
        remote.difference(remote.artifact(ENTITY, PROJECT, "data", "v0"), as_detail("a:b"))
    for reader in (local, remote):
        reader.close()


def as_detail(name: str) -> ArtifactDetail:
    fields = dict.fromkeys(ArtifactDetail.__dataclass_fields__, "")
    return ArtifactDetail(**{**fields, "name": name})  # type: ignore[arg-type]


def blob_sizes(store: Path) -> int:
    """Return the size of all blobs of a store that are not packs of run files."""
    blobs = (path for path in (store / "blobs").rglob("*") if path.is_file() and path.suffix != ".pack")
    return sum(path.stat().st_size for path in blobs)


def test_sizes_are_those_of_the_disk(tmp_path: Path) -> None:
    log_all(tmp_path)
    store = open_store(tmp_path / "tracker-store", create=False)
    reader = LocalReader(store)
    versions = [contents(at) for at in range(3)]
    unique = {content for version in versions for content in version.values()}
    found = reader.artifact_sizes(ENTITY, PROJECT, None)
    assert (found.versions, found.files) == (3, 3 * 23)
    assert found.logical_size == sum(len(content) for version in versions for content in version.values())
    assert found.stored_size == sum(map(len, unique))
    assert found.saved_size == found.logical_size - found.stored_size
    assert (found.referenced_size, found.unreadable) == (0, 0)
    assert found == reader.artifact_sizes(ENTITY, PROJECT, "data")
    other = reader.artifact_sizes(ENTITY, "other", None)
    assert (other.stored_size, other.saved_size) == (len(LARGE), 0)
    linked = reader.artifact_sizes(ENTITY, "model-registry", None)
    assert (linked.logical_size, linked.disk_size) == (found.logical_size, found.disk_size)
    # The model adds only its manifest: its content is in the data set.
    manifest = store.blobs.path(reader.artifact(ENTITY, "other", "model", "v0").manifest).stat().st_size
    assert found.disk_size + manifest == blob_sizes(store.root)
    # Deleting a version and collecting garbage changes both in the same way.
    for name, project in (("Data Set", "model-registry"), ("data", PROJECT)):
        deleted = reader.artifact(ENTITY, project, name, "v1")
        reader.change(ArtifactChanged(ENTITY, project, name, 1, deleted.digest, time.time(), deleted=True))
    collect(store, grace=0.0)
    after = reader.artifact_sizes(ENTITY, PROJECT, None)
    assert (after.versions, after.logical_size) == (
        2,
        sum(len(c) for at in (0, 2) for c in versions[at].values()),
    )
    assert after.disk_size + manifest == blob_sizes(store.root)
    blob = store.blobs.path(reader.artifact(ENTITY, PROJECT, "data", "v0").manifest)
    blob.unlink()
    assert reader.artifact_sizes(ENTITY, PROJECT, None).unreadable == 1
    reader.close()


BASE = f"/projects/{ENTITY}/{PROJECT}"


def test_edits_over_rest(served: Server) -> None:
    """After the edits, the catalog and the published files agree."""
    with served.client() as api:
        check_edits(api)
        check_old_clients(api)
    local, files = (
        LocalReader(open_store(served.store, create=False)),
        CatalogFreeReader(Layout(served.store), no_catalog),
    )
    for version in ("v0", "v2"):
        found = local.artifact(ENTITY, PROJECT, "data", version)
        assert files.artifact(ENTITY, PROJECT, "data", version) == replace(found, used_by=[])
    for reader in (local, files):
        with pytest.raises(NotFoundError):
            reader.artifact(ENTITY, PROJECT, "data", "v1")
    local.close()


def check_edits(api: httpx.Client) -> None:
    """Change versions in every way, and check the answers."""
    version = f"{BASE}/artifacts/data/v0"
    assert api.put(f"{version}/aliases/best one").json()["aliases"] == ["best one", "n0"]
    moved = api.put(f"{BASE}/artifacts/data/n1/aliases/best one").json()
    assert (moved["version"], moved["aliases"]) == ("v1", ["best one", "n1"])
    assert api.get(version).json()["aliases"] == ["n0"]
    assert api.delete(f"{version}/aliases/best one").status_code == 404
    assert api.delete(f"{BASE}/artifacts/data/v1/aliases/best one").json()["aliases"] == ["n1"]
    for wrong in ("latest", "v7", "a:b"):
        assert api.put(f"{version}/aliases/{wrong}").status_code == 400, wrong
    assert api.put(f"{version}/aliases/{'x' * 129}").status_code == 422
    assert api.delete(f"{BASE}/artifacts/data/latest/aliases/latest").status_code == 400

    nan = {"_type": "number", "value": "NaN"}
    values = {"description": "ü", "metadata": {"a": nan, "b": {"c": [1]}}, "tags": ["z", "a b", "z"]}
    changed = api.patch(version, json=values).json()
    assert changed["metadata"] == values["metadata"]
    assert (changed["description"], changed["tags"], changed["expires_at"]) == ("ü", ["a b", "z"], None)
    assert api.patch(version, json={"expires_at": 4e9}).json()["expires_at"] == 4e9
    cleared = api.patch(version, json={"expires_at": None, "description": None}).json()
    assert (cleared["expires_at"], cleared["description"], cleared["tags"]) == (None, None, ["a b", "z"])
    assert api.patch(version, json={}).json() == cleared
    deep: Any = 1
    for _ in range(150):
        deep = {"a": deep}
    for wrong_values, status in (
        ({"nothing": 1}, 422),
        ({"tags": ["a/b"]}, 422),
        ({"tags": "a"}, 422),
        ({"expires_at": -1}, 422),
        ({"expires_at": "never"}, 422),
        ({"description": 5}, 422),
        ({"metadata": [1]}, 422),
        ({"metadata": deep}, 400),
    ):
        assert api.patch(version, json=wrong_values).status_code == status, wrong_values
    assert api.patch(version, content=b'{"description": "\\ud800"}').status_code == 422
    assert api.get(version).json() == {**cleared, "used_by": api.get(version).json()["used_by"]}

    assert api.patch(f"{BASE}/collections/data", json={"description": "d"}).json()["description"] == "d"
    assert api.patch(f"{BASE}/collections/data", json={"name": "x"}).status_code == 422
    refused = api.delete(f"{BASE}/artifacts/data/v1")
    assert (refused.status_code, "aliases=true" in refused.json()["error"]["message"]) == (400, True)
    assert api.delete(f"{BASE}/artifacts/data/v1", params={"aliases": True}).json()["version"] == "v1"
    assert api.get(f"{BASE}/artifacts/data/v1").status_code == 404
    project = f"/projects/{ENTITY}/model-registry"
    assert api.delete(f"{project}/collections/Data Set").json() == {"deleted": 3}
    assert api.delete(f"{project}/collections/Data Set").status_code == 404
    assert api.get(f"/registries/{ENTITY}").json()["total"] == 0
    assert api.get(f"{version}/links").json() == {"artifacts": []}


def check_old_clients(api: httpx.Client) -> None:
    """The bodies of the records stay as before; their fields are checked."""
    seen = {"entity": ENTITY, "project": PROJECT, "name": "data", "version": 0, "digest": "", "time": 5e9}
    changed = api.post("/artifacts/change", json={**seen, "values": {"description": "x"}}).json()
    assert (changed["description"], changed["updated_at"]) == ("x", 5e9)
    with_nan = json.dumps({**seen, "time": 6e9, "values": {"metadata": {"x": math.nan}}})
    headers = {"Content-Type": "application/json"}
    kept = api.post("/artifacts/change", content=with_nan, headers=headers).json()["metadata"]
    assert kept == {"x": {"_type": "number", "value": "NaN"}}
    target = {"target_entity": ENTITY, "target_project": "t", "target_name": "n", "aliases": []}
    assert api.post("/artifacts/link", json={**seen, **target}).json() == {}
    assert api.get(f"/registries/{ENTITY}").json()["total"] == 1
    for wrong in (
        {"version": "0"},
        {"version": 2**70},
        {"time": "x"},
        {"more": 1},
        {"values": {"tags": 1}},
    ):
        assert api.post("/artifacts/change", json={**seen, **wrong}).status_code == 422, wrong
