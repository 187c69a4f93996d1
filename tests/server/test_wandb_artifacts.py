"""Artifacts of the wandb client, request by request: kills of the server, rights and addresses."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripts
from builders import ENTITY
from sending import add_key, add_user, set_role
from serving import Server, serving

import server.wandb.segments
from server.app import create_app
from server.keys import own_key
from server.settings import ServerSettings
from server.wandb.artifact_drafts import ArtifactDrafts, Pending, token_of
from tracker.errors import StoreError
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.gc.collect import DAY, collect

URL = "http://localhost"
CONTENTS = {"large.bin": bytes(range(256)) * 2000, "small.txt": b"small", "sub/empty": b""}
UPSERT = "mutation($input: Any) { upsertBucket(input: $input) { bucket { id } } }"
CREATE = "mutation($input: Any) { createArtifact(input: $input) { artifact { id state } } }"
MANIFEST = """mutation($input: Any) { createArtifactManifest(input: $input) {
    artifactManifest { id file { uploadUrl } } } }"""
FILES = """mutation($input: Any) { createArtifactFiles(input: $input) {
    files { edges { node { name uploadUrl artifact { id } } } } } }"""
COMMIT = """mutation($id: ID!) { commitArtifact(input: {artifactID: $id}) {
    artifact { id state digest versionIndex } } }"""
READ = """query($id: ID!) { artifact(id: $id) { state versionIndex
    currentManifest { file { directUrl } } files { edges { node { name storagePath directUrl } } } } }"""


def md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data).digest()).decode()


def digest_of(contents: dict[str, bytes]) -> str:
    lines = "".join(f"{path}:{md5(data)}\n" for path, data in sorted(contents.items()))
    return hashlib.md5(f"wandb-artifact-manifest-v1\n{lines}".encode()).hexdigest()


class Door:
    """Speaks the protocol with one key."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "wandb-core"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def ask(self, text: str, **variables: Any) -> Any:
        answer = self.http.post("/graphql", json={"query": text, "variables": variables}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def refused(self, text: str, **variables: Any) -> str:
        """Return the message of an error."""
        answer = self.http.post("/graphql", json={"query": text, "variables": variables}).json()
        assert answer["data"] is None, answer
        return str(answer["errors"][0]["message"])

    def start(self, project: str, run: str = "run") -> None:
        self.ask(UPSERT, input={"name": run, "modelName": project, "entityName": ENTITY, "host": "h"})

    def create(self, project: str, contents: dict[str, bytes], client_id: str = "c", run: str = "run") -> Any:
        given = {
            "entityName": ENTITY,
            "projectName": project,
            "runName": run,
            "clientID": client_id,
            "artifactCollectionName": "data",
            "artifactTypeName": "dataset",
            "aliases": [{"artifactCollectionName": "data", "alias": "best"}],
            "digest": digest_of(contents),
        }
        return self.ask(CREATE, input=given)["createArtifact"]["artifact"]

    def manifest(self, id: str, contents: dict[str, bytes], **fields: Any) -> tuple[str, bytes]:
        """Return the address for the manifest, and its content."""
        listed = {path: {"digest": md5(data), "size": len(data), **fields} for path, data in contents.items()}
        text = json.dumps({"version": 1, "contents": listed}).encode()
        given = {"artifactID": id, "name": "wandb_manifest.json", "digest": md5(text), "type": "FULL"}
        found = self.ask(MANIFEST, input=given)["createArtifactManifest"]["artifactManifest"]
        return found["file"]["uploadUrl"], text

    def files(self, id: str, contents: dict[str, bytes]) -> dict[str, str | None]:
        """Return the addresses of files by name; None for a content that need not be sent."""
        specs = [{"artifactID": id, "name": path, "md5": md5(data)} for path, data in contents.items()]
        edges = self.ask(FILES, input={"artifactFiles": specs})["createArtifactFiles"]["files"]["edges"]
        return {each["node"]["name"]: each["node"]["uploadUrl"] for each in edges}

    def put(self, url: str | None, data: bytes) -> int:
        assert url is not None
        return httpx.put(url, content=data, timeout=60, trust_env=False).status_code

    def get(self, url: str, **headers: str) -> httpx.Response:
        return httpx.get(url, headers=headers, timeout=60, trust_env=False)

    def log(self, project: str, contents: dict[str, bytes], client_id: str = "c") -> str:
        """Log an artifact; return its id."""
        id = str(self.create(project, contents, client_id)["id"])
        for name, url in self.files(id, contents).items():
            assert url is None or self.put(url, contents[name]) == 200
        url, text = self.manifest(id, contents)
        assert self.put(url, text) == 200
        assert self.ask(COMMIT, id=id)["commitArtifact"]["artifact"]["state"] == "COMMITTED"
        return id


def test_artifact_survives_a_kill_between_any_two_steps(tmp_path: Path) -> None:
    running = Server(tmp_path / "store", key=True)

    def again() -> Door:
        nonlocal running
        running.kill()
        running = running.again()
        return Door(running.url, running.key)

    Door(running.url, running.key).start("p")
    id = again().create("p", CONTENTS)["id"]
    assert again().create("p", CONTENTS)["id"] == id  # its answer was lost
    addresses = again().files(id, CONTENTS)
    for name in ("large.bin", "small.txt"):
        assert again().put(addresses[name], CONTENTS[name]) == 200
    door = again()
    assert [name for name, url in door.files(id, CONTENTS).items() if url] == ["sub/empty"]
    assert door.put(addresses["sub/empty"], b"") == 200
    url, text = again().manifest(id, CONTENTS)
    assert again().put(url, text) == 200
    made = again().ask(COMMIT, id=id)["commitArtifact"]["artifact"]
    assert (made["versionIndex"], made["digest"]) == (0, digest_of(CONTENTS))
    door = again()
    assert door.ask(COMMIT, id=id)["commitArtifact"]["artifact"] == made  # its answer was lost
    assert door.ask(READ, id=id)["artifact"]["state"] == "COMMITTED"
    assert door.create("p", CONTENTS)["state"] == "COMMITTED"
    running.stop()
    reader = LocalReader(open_store(tmp_path / "store"))
    [version] = reader.artifacts(ENTITY, "p", None, "data")
    assert (version.aliases, version.logged_by) == (["best", "latest"], "run")
    detail = reader.artifact(ENTITY, "p", "data", "v0")
    for entry in reader.manifest(detail).entries:
        assert b"".join(reader.chunks(detail, entry)) == CONTENTS[entry.path]
    assert not [path for path in reader.journals().list_drafts() if path.is_dir()]
    reader.close()


def test_commit_is_applied_when_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store")
    app = create_app(store, ServerSettings(store.root))
    headers = {"Authorization": f"Bearer {own_key(store)}"}

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:

            async def run(text: str, **variables: Any) -> httpx.Response:
                return await client.post("/graphql", json={"query": text, "variables": variables})

            await run(UPSERT, input={"name": "run", "modelName": "p", "entityName": ENTITY, "host": "h"})
            given = {"entityName": ENTITY, "projectName": "p", "runName": "run", "clientID": "c"}
            given |= {"artifactCollectionName": "data", "artifactTypeName": "t", "digest": digest_of({})}
            id = (await run(CREATE, input=given)).json()["data"]["createArtifact"]["artifact"]["id"]
            answer = await run(MANIFEST, input={"artifactID": id, "name": "m", "type": "FULL"})
            url = answer.json()["data"]["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
            assert (await client.put(url, content=b'{"contents": {}}')).status_code == 200
            with monkeypatch.context() as patch:
                patch.setattr(server.wandb.segments, "apply_journal", fail)
                assert (await run(COMMIT, id=id)).status_code == 503  # the client asks again
            made = (await run(COMMIT, id=id)).json()["data"]["commitArtifact"]["artifact"]
            assert (made["state"], made["versionIndex"]) == ("COMMITTED", 0)

    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("the catalog is busy")

    asyncio.run(ask())
    assert len(LocalReader(store, follows=False).artifacts(ENTITY, "p", None, "data")) == 1
    store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Door]]]:
    """Return a server, and the door for a writer of project a, one of the project b, and a viewer of a."""
    with serving(tmp_path_factory.mktemp("doors") / "store", key=True) as running:
        doors = {}
        for name, project, role in (("ada", "a", "writer"), ("bob", "b", "writer"), ("vic", "a", "viewer")):
            add_user(running.store, name)
            set_role(running.store, name, ENTITY, project, role)
            doors[name] = Door(running.url, add_key(running.store, name))
        yield running, doors


def test_rights(shared: tuple[Server, dict[str, Door]]) -> None:
    _, doors = shared
    ada, bob, vic = doors["ada"], doors["bob"], doors["vic"]
    ada.start("a")
    bob.start("b")
    id = ada.log("a", CONTENTS)

    # A viewer reads and writes nothing; for others the artifact does not exist.
    assert vic.ask(READ, id=id)["artifact"]["versionIndex"] == 0
    assert bob.ask(READ, id=id)["artifact"] is None
    given = {"entityName": ENTITY, "projectName": "a", "runName": "run", "artifactCollectionName": "data"}
    for door in (vic, bob):
        door.refused(CREATE, input=given)
        door.refused(COMMIT, id=id)
        door.refused(FILES, input={"artifactFiles": [{"artifactID": id, "name": "x", "md5": md5(b"x")}]})
        for name in ("updateArtifact", "deleteArtifact", "addAliases"):
            asked = {"artifactID": id, "deleteAliases": True, "description": "x", "aliases": [{"alias": "x"}]}
            door.refused(f"mutation($input: Any) {{ {name}(input: $input) {{ success }} }}", input=asked)
    path = f"/artifactsV2/default/{ENTITY}/a/data/{id}/{hashlib.md5(b'small').hexdigest()}/small.txt"
    assert [door.http.get(path).status_code for door in (ada, vic, bob)] == [200, 200, 404]
    assert ada.http.get(path).content == b"small"

    # An MD5 does not prove a content: only its own versions spare a writer from sending it.
    other = bob.create("b", CONTENTS, "b")["id"]
    assert None not in bob.files(other, CONTENTS).values()
    url, text = bob.manifest(other, CONTENTS)
    assert bob.put(url, text) == 200
    assert "has not arrived" in bob.refused(COMMIT, id=other)
    more = CONTENTS | {"more": b"more"}
    urls = ada.files(ada.create("a", more, "more")["id"], more)
    assert [name for name, url in urls.items() if url] == ["more"]

    # A reference to a version of another project is refused.
    for door, project, problem in ((ada, "a", None), (bob, "b", "no such artifact version")):
        name = door.create(project, {"x": b"small"}, f"refers in {project}")["id"]
        ref = f"wandb-artifact://{b64decode(id).hex()}/small.txt"
        url, text = door.manifest(name, {"x": b"small"}, ref=ref)
        assert door.put(url, text) == 200
        if problem is None:
            assert door.ask(COMMIT, id=name)["commitArtifact"]["artifact"]["state"] == "COMMITTED"
        else:
            assert problem in door.refused(COMMIT, id=name)


def test_commits_at_the_same_time_make_one_version(shared: tuple[Server, dict[str, Door]]) -> None:
    running, doors = shared
    ada = doors["ada"]
    ada.start("a", "impatient")
    contents = {f"{number}.bin": bytes([number]) * 400_000 for number in range(8)}
    id = ada.create("a", contents, "impatient")["id"]
    for name, url in ada.files(id, contents).items():
        assert ada.put(url, contents[name]) == 200
    url, text = ada.manifest(id, contents)
    assert ada.put(url, text) == 200
    with ThreadPoolExecutor() as threads:
        made = [*threads.map(lambda _: ada.ask(COMMIT, id=id)["commitArtifact"]["artifact"], range(6))]
    assert all(each == made[0] for each in made) and made[0]["state"] == "COMMITTED"
    reader = LocalReader(open_store(running.store, to_read=True))
    versions = reader.artifacts(ENTITY, "a", None, "data")
    assert [each.digest for each in versions].count(digest_of(contents)) == 1
    reader.close()


def test_older_clients_learn_what_they_may_send(shared: tuple[Server, dict[str, Door]]) -> None:
    asked = """{ known: __type(name: "CreateArtifactInput") { inputFields { name } }
        unknown: __type(name: "Nothing") { fields { name } inputFields { name } } }"""
    answer = shared[1]["vic"].ask(asked)
    assert {"name": "tags"} in answer["known"]["inputFields"]
    assert answer["unknown"] == {"fields": [], "inputFields": []}


def test_addresses(shared: tuple[Server, dict[str, Door]]) -> None:
    _, doors = shared
    ada = doors["ada"]
    ada.start("a", "addresses")
    contents = {"large.bin": CONTENTS["large.bin"] + b"!", "small.txt": b"other"}
    id = ada.log("a", contents, "addresses")
    files = ada.ask(READ, id=id)["artifact"]["files"]["edges"]
    urls = {each["node"]["name"]: each["node"]["directUrl"] for each in files}
    for name, url in urls.items():
        whole = ada.get(url, **{"Accept-Encoding": "gzip"})
        assert (whole.content, whole.headers.get("content-encoding")) == (contents[name], None)
        part = ada.get(url, Range="bytes=1-3")
        assert (part.status_code, part.content) == (206, contents[name][1:4])
    upload = ada.files(ada.create("a", {"new": b"new"}, "new")["id"], {"new": b"new"})["new"]
    assert upload is not None
    assert ada.put(upload, b"not it") == 400
    assert ada.put(upload.replace("artifact-upload", "upload"), b"new") == 403
    assert ada.get(upload.replace("artifact-upload", "wandb_artifacts")).status_code == 403
    assert ada.put(upload[:-1] + ("0" if upload[-1] != "0" else "1"), b"new") == 403
    assert ada.put(upload, b"new") == 200
    assert ada.put(upload, b"new") == 200  # its answer was lost


def test_data_of_files_and_the_form_of_addresses(shared: tuple[Server, dict[str, Door]]) -> None:
    ada = shared[1]["ada"]
    ada.start("a", "extra")
    # a content that is new, one in a file of its own, and one that another version has already
    for client, contents in (("first", {"a": b"a", "b": bytes(300_000)}), ("second", {"a": b"a", "c": b"c"})):
        extra = {"note": {client: 1}}
        id = ada.create("a", contents, client, "extra")["id"]
        for name, url in ada.files(id, contents).items():
            assert url is None or ada.put(url, contents[name]) == 200
        url, text = ada.manifest(id, contents, extra=extra)
        assert ada.put(url, text) == 200
        ada.ask(COMMIT, id=id)
        found = ada.ask(READ, id=id)["artifact"]
        address = found["currentManifest"]["file"]["directUrl"]
        assert {each["extra"]["note"][client] for each in ada.get(address).json()["contents"].values()} == {1}
        # programs look for these names, as in the addresses of W&B
        assert "wandb_manifest.json" in address
        for each in found["files"]["edges"]:
            assert "/wandb_artifacts/" in each["node"]["directUrl"]
            assert each["node"]["storagePath"] == f"wandb_artifacts/{each['node']['name']}"


def test_orders_of_versions(shared: tuple[Server, dict[str, Door]]) -> None:
    ada = shared[1]["ada"]
    ada.start("a", "orders")
    for number in range(3):
        ada.log("a", {"order": b"%d" % number}, f"order {number}")
    query = """query($entity: String!, $order: String) { project(entityName: $entity, name: "a") {
        artifactCollection(name: "data") { artifacts(order: $order) { edges { version } } } } }"""
    found = {}
    for order in ("version_index", "+versionIndex", "-version_index"):
        collection = ada.ask(query, entity=ENTITY, order=order)["project"]["artifactCollection"]
        found[order] = [int(each["version"][1:]) for each in collection["artifacts"]["edges"]]
    assert len(found["version_index"]) >= 3
    assert found["version_index"] == found["+versionIndex"] == sorted(found["version_index"])
    assert found["-version_index"] == found["version_index"][::-1]


def test_organizations(shared: tuple[Server, dict[str, Door]]) -> None:
    query = "query($name: String!) { organization(name: $name) { name orgEntity { name } } }"
    for name in ("ada", "vic"):
        door = shared[1][name]
        assert door.ask(query, name=ENTITY)["organization"] == {"name": ENTITY, "orgEntity": {"name": ENTITY}}
        assert door.ask(query, name="unknown")["organization"] is None


def test_a_collection_of_links_is_renamed(shared: tuple[Server, dict[str, Door]]) -> None:
    ada = shared[1]["ada"]
    ada.start("a", "links")
    link = """mutation($input: Any) { linkArtifact(input: $input) { versionIndex
        artifactMembership { artifactCollection { id } } } }"""
    rename = "mutation($input: Any) { updateArtifactPortfolio(input: $input) { artifactCollection { id } } }"
    tag = "mutation($input: Any) { createArtifactCollectionTagAssignments(input: $input) { tags { name } } }"
    remove = "mutation($id: ID!) { deleteArtifactPortfolio(input: {artifactPortfolioID: $id}) { success } }"
    query = """query($entity: String!, $name: String!) { project(entityName: $entity, name: "a") {
        artifactCollection(name: $name) { id description tags { edges { node { name } } }
        artifacts { edges { version } } aliases { edges { node { alias } } } } } }"""
    place = {"entityName": ENTITY, "projectName": "a"}
    for number in range(2):
        version = ada.log("a", {"link": b"%d" % number}, f"link {number}")
        aliases = [{"alias": f"alias{number}", "artifactCollectionName": "old"}]
        given = place | {"artifactID": version, "artifactPortfolioName": "old", "aliases": aliases}
        made = ada.ask(link, input=given)["linkArtifact"]["artifactMembership"]["artifactCollection"]
    old = made["id"]
    ada.ask(tag, input=place | {"artifactCollectionName": "old", "tags": [{"tagName": "t"}]})

    def read(name: str) -> Any:
        return ada.ask(query, entity=ENTITY, name=name)["project"]["artifactCollection"]

    def renamed(id: str, name: str, **fields: str) -> Any:
        asked = {"artifactPortfolioID": id, "name": name, **fields}
        ada.ask(rename, input=asked)
        found = read(name)
        edges = {each: [edge["node"] for edge in found[each]["edges"]] for each in ("tags", "aliases")}
        return (
            found["description"],
            [each["name"] for each in edges["tags"]],
            sorted(each["alias"] for each in edges["aliases"]),
            len(found["artifacts"]["edges"]),
        )

    whole = ("words", ["t"], ["alias0", "alias1", "latest"], 2)
    assert renamed(old, "new", description="words") == whole
    assert renamed(old, "new") == whole  # the client keeps the id of the old name
    assert read("old") is None
    new = read("new")["id"]

    # Nothing is lost if the name is taken, if it is not valid, or if numbers would change.
    for id, name in ((new, "data"), (new, "a/b"), (new, "old"), (read("data")["id"], "more")):
        ada.refused(rename, input={"artifactPortfolioID": id, "name": name})
        assert renamed(new, "new") == whole
    assert read("old") is None
    shared[1]["vic"].refused(rename, input={"artifactPortfolioID": new, "name": "other"})
    ada.ask(remove, id=new)
    ada.refused(rename, input={"artifactPortfolioID": new, "name": "other"})


def test_garbage_collection_removes_what_is_abandoned(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    drafts = ArtifactDrafts(store.layout)
    token = token_of("client")
    drafts.begin(token, Pending(ENTITY, "p", "data", "dataset", "run", "", "client", "0" * 32))
    for data in (b"small", bytes(300_000)):
        with drafts.receive(token) as content:
            content.write(data)
            content.keep(md5(data))
    collect(store, grace=0, ahead=6 * DAY)
    assert set(ArtifactDrafts(store.layout).received(token)) == {md5(b"small"), md5(bytes(300_000))}
    report = collect(store, grace=0, ahead=8 * DAY)
    assert [item.name for item in report.items if item.kind == "draft"] == [token]
    assert ArtifactDrafts(store.layout).find(token) is None
    store.close()
    scripts.wait_for_recorders(tmp_path)
