"""Tests of the rights of senders: users with roles, journals that name other projects, and hashes."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import scripts
from builders import ENTITY
from sending import add_key, add_user, expire_key, outbox_journals, sent, set_role
from serving import Server, command, serving
from sqlalchemy import event

from server.app import create_app
from server.settings import ServerSettings
from tracker.ground.records import (
    ArtifactChanged,
    ArtifactLinked,
    ArtifactLogged,
    ArtifactUsed,
    FileSaved,
    Process,
    Record,
    Row,
    RunFinished,
    RunStarted,
    pack,
)
from tracker.journal.format import HEADER, checksum_seed, pack_frame, pack_header
from tracker.recorder.open_store import open_store
from tracker.store.blobs.manifest import Entry, make_manifest

BINARY = {"Content-Type": "application/octet-stream"}
EMPTY = {"offset": 0, "digest": hashlib.sha256().hexdigest()}
NOTHING = {**EMPTY, "encodings": ["gzip"]}
TIME = 1_700_000_000.0
PROCESS = Process("node1", "boot", 1, 42, 7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server. Ada writes to project a, Bob to the private project b; Vic can only read project a."""
    with serving(tmp_path_factory.mktemp("rights") / "store", key=True) as server:
        for name, project, role in (("ada", "a", "writer"), ("bob", "b", "writer"), ("vic", "a", "viewer")):
            add_user(server.store, name)
            set_role(server.store, name, ENTITY, project, role)
        yield server
    assert server.errors == [], "".join(server.errors)


@pytest.fixture(scope="module")
def clients(server: Server) -> Iterator[dict[str, httpx.Client]]:
    """Return a client for each user, and one with all rights."""
    found = {"owner": server.client()}
    for name in ("ada", "bob", "vic"):
        found[name] = server.client(Authorization=f"Bearer {add_key(server.store, name)}")
    yield found
    for client in found.values():
        client.close()


@pytest.fixture
def ada(clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["ada"]


@pytest.fixture
def bob(clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["bob"]


class Journal:
    """A journal with given records after the first record of a run.

    Args:
        project: Project of the run.
        records: The records after the first one.
        begins: Whether the journal has the first record.
        number: Number of the journal in its segment.
        segment: Id of the segment; None for a new one.
    """

    def __init__(
        self,
        project: str,
        *records: Record,
        begins: bool = True,
        number: int = 0,
        segment: str | None = None,
    ) -> None:
        self.segment = segment or secrets.token_hex(16)
        self.run_id = f"run-{self.segment}"
        self.name = f"{self.segment}-{number:06d}"
        first = [RunStarted(ENTITY, project, self.run_id, TIME, PROCESS)] if begins else []
        self.seed = checksum_seed(self.segment)
        self.data = pack_header(self.segment, number)
        self.ends = [HEADER.size]
        for at, record in enumerate([*first, *records]):
            self.data += pack_frame(pack(record), at, self.seed)
            self.ends.append(len(self.data))


def post(client: httpx.Client, name: str, data: bytes, before: bytes = b"") -> httpx.Response:
    """Append ``data`` to a journal after the bytes ``before``."""
    asked = {"offset": len(before), "digest": hashlib.sha256(before).hexdigest()}
    return client.post(f"/ingest/journals/{name}", params=asked, content=data, headers=BINARY)


def put(client: httpx.Client, content: bytes) -> str:
    """Send a content; return its SHA-256."""
    sha256 = hashlib.sha256(content).hexdigest()
    answer = client.put(f"/ingest/blobs/{sha256}", content=content, headers=BINARY)
    assert answer.status_code == 201, answer.text
    return sha256


def missing(client: httpx.Client, *names: str) -> list[str]:
    """Return those contents that the server reports as missing."""
    found: list[str] = client.post("/ingest/blobs/missing", json={"sha256": [*names]}).json()["missing"]
    return found


def places(client: httpx.Client, *names: str) -> dict[str, Any]:
    """Return the places of contents that the server reports."""
    found: dict[str, Any] = client.post("/ingest/blobs/places", json={"sha256": [*names]}).json()["places"]
    return found


def detail(answer: httpx.Response) -> str:
    """Return the text of an error."""
    return str(answer.json()["detail"])


def row(value: int) -> Row:
    """Return a row."""
    return Row(value, value, 1, TIME + value, {"x": value})


def manifest_of(*entries: Entry) -> bytes:
    """Return the bytes of a manifest."""
    return msgspec.json.encode(make_manifest(entries))


def logged(manifest: str, name: str = "model", **fields: Any) -> ArtifactLogged:
    """Return a record of an artifact with one file."""
    return ArtifactLogged(name, "model", secrets.token_hex(16), manifest, 1, 1, [], "client", TIME, **fields)


def unreadable(project: str) -> list[Record]:
    """Return records that reach a project: one for each kind of record."""
    return [
        RunStarted(ENTITY, project, "other", TIME, PROCESS),
        logged("", entity=ENTITY, project=project),
        ArtifactUsed(ENTITY, project, "model", 0, TIME),
        ArtifactChanged(ENTITY, project, "model", 0, "", TIME, ["best"]),
        ArtifactChanged(ENTITY, project, "model", 0, "", TIME, deleted=True),
        ArtifactLinked(ENTITY, project, "model", 0, "", ENTITY, "a", "copy", [], TIME),
        ArtifactLinked(ENTITY, "a", "model", 0, "", ENTITY, project, "copy", [], TIME),
    ]


@pytest.mark.parametrize("kind", range(len(unreadable(""))))
def test_records_for_an_unreadable_project_are_refused_before_they_are_stored(
    server: Server, ada: httpx.Client, bob: httpx.Client, kind: int
) -> None:
    assert post(bob, (known := Journal("b", row(0))).name, known.data).status_code == 200
    texts = []
    for project in ("b", "absent"):
        journal = Journal("a", row(0), unreadable(project)[kind], row(1))
        answer = post(ada, journal.name, journal.data)
        assert answer.status_code == 404
        texts.append(detail(answer).replace(project, "PROJECT"))
        assert ada.get(f"/ingest/journals/{journal.name}").json() == NOTHING
        assert not list(server.store.rglob(f"{journal.segment}*"))
        # The same in two requests: the first one is stored.
        end = journal.ends[2]
        assert post(ada, journal.name, journal.data[:end]).status_code == 200
        assert post(ada, journal.name, journal.data[end:], journal.data[:end]).status_code == 404
        assert ada.get(f"/ingest/journals/{journal.name}").json()["offset"] == end
    assert texts[0] == texts[1] == f"there is no project {ENTITY}/PROJECT that you can read"


def test_run_in_an_unreadable_project_is_refused(ada: httpx.Client, bob: httpx.Client) -> None:
    assert post(bob, (known := Journal("b", row(0))).name, known.data).status_code == 200
    for project in ("b", "absent"):
        journal = Journal(project, row(0))
        answer = post(ada, journal.name, journal.data)
        assert (answer.status_code, detail(answer)) == (
            404,
            f"there is no project {ENTITY}/{project} that you can read",
        )


def test_viewer_gets_the_missing_role_and_can_use_artifacts(
    clients: dict[str, httpx.Client],
) -> None:
    vic = clients["vic"]
    journal = Journal("a", row(0))
    answer = post(vic, journal.name, journal.data)
    assert (answer.status_code, detail(answer)) == (
        403,
        f"You are viewer of {ENTITY}/a. This needs the role writer. Ask an administrator of the project.",
    )
    begin = RunStarted("vic", "own", "run", TIME, PROCESS)  # a user is the admin of the entity with its name
    use = ArtifactUsed(ENTITY, "a", "model", 0, TIME)
    change = ArtifactChanged(ENTITY, "a", "model", 0, "", TIME, ["best"])
    allowed = Journal("", begin, use, begins=False)
    assert post(vic, allowed.name, allowed.data).status_code == 200
    refused = Journal("", begin, use, change, begins=False)
    assert post(vic, refused.name, refused.data).status_code == 403


def test_user_who_may_write_nowhere_stores_nothing(server: Server) -> None:
    add_user(server.store, "mia")
    set_role(server.store, "mia", "mia", "", "viewer")
    keys = [add_key(server.store, "mia"), add_key(server.store, "ada", only=(ENTITY, "absent"))]
    sha256 = hashlib.sha256(b"content").hexdigest()
    draft = {"manifest": "", "digest": "", "size": 0, "file_count": 0, "problem": "none"}
    for key in keys:
        with server.client(Authorization=f"Bearer {key}") as client:
            answers = [
                client.put(f"/ingest/blobs/{sha256}", content=b"content", headers=BINARY),
                client.post(f"/ingest/drafts/{secrets.token_hex(16)}", json=draft),
                post(client, (journal := Journal("a")).name, journal.data[: HEADER.size]),
            ]
        assert [answer.status_code for answer in answers] == [403] * 3


@pytest.mark.parametrize("place", [("ada", ""), ("ada", "a/b"), ("ada", "a\0b"), ("ada", "a" * 5000)])
def test_project_that_no_script_can_create_is_refused(ada: httpx.Client, place: tuple[str, str]) -> None:
    """No address reaches a project with such a name, so no user could delete its runs."""
    begin = RunStarted("ada", "own", "run", TIME, PROCESS)
    link = ArtifactLinked("ada", "own", "model", 0, "", *place, "copy", [], TIME)
    for records in ([RunStarted(*place, "run", TIME, PROCESS)], [begin, link]):
        journal = Journal("", *records, begins=False)
        assert post(ada, journal.name, journal.data).status_code == 400
    journal = Journal("", RunStarted("ada", "own", "a/b", TIME, PROCESS), begins=False)
    assert post(ada, journal.name, journal.data).status_code == 400


def test_artifact_that_names_only_an_entity_is_refused(ada: httpx.Client) -> None:
    """The name of its project would be that of the run: here a private project of the other entity."""
    begin = RunStarted("ada", "b", "run", TIME, PROCESS)  # a user is the admin of the entity with its name
    for fields in ({"entity": ENTITY}, {"project": "b"}):
        journal = Journal("", begin, logged("", **fields), begins=False)
        answer = post(ada, journal.name, journal.data)
        assert (answer.status_code, "names half a project" in detail(answer)) == (400, True)


def test_segment_of_another_project_is_like_an_unknown_one(ada: httpx.Client, bob: httpx.Client) -> None:
    theirs, unknown = Journal("b", row(0), row(1)), Journal("b", row(0))
    begun = theirs.data[: theirs.ends[1]]
    assert post(bob, theirs.name, begun).status_code == 200

    def answers(journal: Journal) -> list[tuple[int, str]]:
        found = [
            ada.get(f"/ingest/journals/{journal.name}"),
            ada.get(f"/ingest/journals/{journal.segment}-000007"),
            post(ada, journal.name, journal.data[journal.ends[1] :], begun),
            post(ada, journal.name, b""),
            post(ada, journal.name, b"", begun),
            ada.post("/ingest/segments/known", json={"segments": [journal.segment]}),
            ada.post(f"/ingest/segments/{journal.segment}/end", json={"state": "crashed"}),
        ]
        return [(answer.status_code, answer.text.replace(journal.segment, "SEGMENT")) for answer in found]

    assert answers(theirs) == answers(unknown)
    for number in (0, 1, 3):
        attack = Journal("a", row(5), segment=theirs.segment, number=number)
        refused = post(ada, attack.name, attack.data)
        assert refused.status_code == 404
        assert "project" not in detail(refused)
    path = f"/projects/{ENTITY}/b/runs/{theirs.run_id}"
    assert bob.get(path).json()["state"] == "running"
    assert post(bob, theirs.name, theirs.data[len(begun) :], begun).status_code == 200
    finished = Journal("b", row(0), RunFinished(TIME + 9, "finished"))
    assert post(bob, finished.name, finished.data).status_code == 200
    ask = {"segments": [finished.segment]}
    assert bob.post("/ingest/segments/known", json=ask).json() == {"known": {finished.segment: "stored"}}
    assert ada.post("/ingest/segments/known", json=ask).json() == {"known": {}}


def test_later_journals_belong_to_the_project_of_their_segment(
    ada: httpx.Client, clients: dict[str, httpx.Client]
) -> None:
    first = Journal("a", row(0))
    second = Journal("", row(1), begins=False, segment=first.segment, number=1)
    alone = post(ada, second.name, second.data)
    assert (alone.status_code, "does not begin with the record of its run" in detail(alone)) == (400, True)
    header = first.data[: HEADER.size]
    assert post(ada, first.name, header).status_code == 200  # a journal without a record yet
    assert post(ada, first.name, first.data[first.ends[1] :], header).status_code == 400
    assert post(ada, first.name, first.data[len(header) :], header).status_code == 200
    assert post(clients["vic"], second.name, second.data).status_code == 403
    assert clients["vic"].get(f"/ingest/journals/{second.name}").status_code == 403
    ending = clients["vic"].post(f"/ingest/segments/{first.segment}/end", json={"state": "crashed"})
    assert ending.status_code == 403
    assert post(ada, second.name, second.data).status_code == 200
    assert ada.post(f"/ingest/segments/{first.segment}/end", json={"state": "crashed"}).status_code == 200
    assert ada.get(f"/projects/{ENTITY}/a/runs/{first.run_id}").json()["state"] == "crashed"


def test_record_of_a_newer_tracker_is_refused(ada: httpx.Client, clients: dict[str, httpx.Client]) -> None:
    journal = Journal("a", row(0))
    newer = journal.data + pack_frame(b"\x92\x7f\x00", 2, journal.seed)
    answer = post(ada, journal.name, newer)
    assert answer.status_code == 400
    assert "Upgrade airgap-tracker on the server" in detail(answer)
    assert ada.get(f"/ingest/journals/{journal.name}").json() == NOTHING
    assert post(clients["owner"], journal.name, newer).status_code == 200  # applied after an upgrade


def test_hash_of_another_content_gives_nothing(server: Server, ada: httpx.Client, bob: httpx.Client) -> None:
    """Each answer about a content of Bob equals the answer about a content that does not exist."""
    secret, small = b"secret of bob", b"small secret"
    theirs, piece = put(bob, secret), hashlib.sha256(small).hexdigest()
    box = put(bob, b"box" + small)
    listed = put(
        bob,
        manifest_of(
            Entry("file", "md5", len(secret), theirs), Entry("small", "md5", len(small), piece, box, 3)
        ),
    )
    version = Journal("b", logged(listed), FileSaved("file.txt", theirs, len(secret), "text/plain"))
    assert post(bob, version.name, version.data).status_code == 200
    assert places(bob, piece) == {piece: [box, 3]}
    assert missing(bob, theirs, box, listed) == []
    absent = hashlib.sha256(b"absent").hexdigest()

    def answers(name: str, pack: str, manifest: str) -> list[Any]:
        naming = put(ada, manifest_of(Entry("stolen", "md5", 1, name)))
        packing = put(ada, manifest_of(Entry("stolen", "md5", len(small), piece, pack, 3)))
        token = secrets.token_hex(16)
        draft = {"digest": "0", "size": 1, "file_count": 1}
        claim = {"sha256": [name, pack, piece], "versions": [f"{ENTITY}/b/model:v0"]}
        found = [
            missing(ada, name, pack, manifest),
            places(ada, name, piece),
            ada.post("/ingest/blobs/missing", json=claim).json()["missing"],
            ada.post("/ingest/blobs/places", json=claim).json(),
        ]
        for stolen in (naming, packing, manifest):
            answer = ada.post(f"/ingest/drafts/{token}", json={"manifest": stolen, **draft})
            assert answer.status_code == 409
            found.append(detail(answer))
            journal = Journal("a", logged(stolen))
            answer = post(ada, journal.name, journal.data)
            assert answer.status_code == 409
            found.append(detail(answer))
        journal = Journal("a", FileSaved("stolen", name, 1, "text/plain"))
        answer = post(ada, journal.name, journal.data)
        assert answer.status_code == 409
        found.append(detail(answer))
        journal = Journal("a", logged("", draft=token))
        answer = post(ada, journal.name, journal.data)
        assert answer.status_code == 409
        found.append(detail(answer).replace(token, "TOKEN"))
        text = repr(found)
        for at, part in enumerate((name, pack, manifest)):
            text = text.replace(part, f"NAME{at}")
        return [text]

    other = [hashlib.sha256(text).hexdigest() for text in (b"absent 1", b"absent 2")]
    assert answers(theirs, box, listed) == answers(absent, *other)
    # A caller that sends the content has it.
    first = ada.put(f"/ingest/blobs/{theirs}", content=secret, headers=BINARY)
    fresh = b"fresh"
    second = ada.put(f"/ingest/blobs/{hashlib.sha256(fresh).hexdigest()}", content=fresh, headers=BINARY)
    assert [answer.status_code for answer in (first, second)] == [201, 201]
    assert first.json() == {"sha256": theirs, "size": len(secret)}
    assert missing(ada, theirs, box) == [box]
    wrong = ada.put(f"/ingest/blobs/{box}", content=b"guess", headers=BINARY)
    nothing = ada.put(f"/ingest/blobs/{absent}", content=b"guess", headers=BINARY)
    assert wrong.status_code == nothing.status_code == 400
    assert wrong.text.replace(box, "") == nothing.text.replace(absent, "")
    assert missing(ada, box) == [box]


def test_place_in_a_pack_is_checked(ada: httpx.Client, bob: httpx.Client) -> None:
    """A wrong place would give other senders wrong bytes, because they rely on the places in the catalog."""
    parts = [b"first", b"second", b""]
    box = put(ada, b"".join(parts))
    names = [hashlib.sha256(part).hexdigest() for part in parts]
    stranger = hashlib.sha256(b"stranger").hexdigest()
    right = [
        Entry("first", "md5", 5, names[0], box, 0),
        Entry("again", "md5", 5, names[0], box, 0),
        Entry("second", "md5", 6, names[1], box, 5),
        Entry("empty", "md5", 0, names[2], box, 5),
    ]
    for wrong in (
        Entry("x", "md5", 5, stranger, box, 0),
        Entry("x", "md5", 5, names[0], box, 1),
        Entry("x", "md5", 4, names[0], box, 0),
        Entry("x", "md5", 5, "", box, 0),
        Entry("x", "md5", 500, names[1], box, 5),
        Entry("x", "md5", 5, names[0], box, 2**40),
        Entry("x", "md5", 11, box, box, 0),  # overlaps the others: reading the pack takes one pass
    ):
        manifest = put(ada, manifest_of(*right, wrong))
        journal = Journal("a", logged(manifest))
        answer = post(ada, journal.name, journal.data)
        assert answer.status_code == 400, wrong
        assert "send it again" in detail(answer)
    assert places(ada, names[0], stranger) == {}
    manifest = put(ada, manifest_of(*right))
    journal = Journal("a", logged(manifest, "packed"))
    assert post(ada, journal.name, journal.data).status_code == 200
    assert places(ada, *names, stranger) == {names[0]: [box, 0], names[1]: [box, 5], names[2]: [box, 5]}
    files = f"/projects/{ENTITY}/a/artifacts/packed/v0/files"
    assert ada.get(f"{files}/second").content == b"second"
    assert bob.get(f"{files}/second").status_code == 404


def test_reading_a_version_proves_no_other_content_of_its_pack(
    clients: dict[str, httpx.Client], ada: httpx.Client
) -> None:
    """A pack can contain small files of several projects. The hash of one gives no access."""
    owner, shared, secret = clients["owner"], b"shared", b"secret in the same pack"
    first, second = (hashlib.sha256(part).hexdigest() for part in (shared, secret))
    box = put(owner, shared + secret)
    readable = Entry("shared", "md5", len(shared), first, box, 0)
    hidden = Entry("secret", "md5", len(secret), second, box, len(shared))
    for project, entry in (("a", readable), ("b", hidden)):
        journal = Journal(project, logged(put(owner, manifest_of(entry)), "boxed"))
        assert post(owner, journal.name, journal.data).status_code == 200
    ask = {"sha256": [box, first, second], "versions": [f"{ENTITY}/a/boxed:v0"]}
    assert ada.post("/ingest/blobs/missing", json=ask).json() == {"missing": [second]}
    assert ada.post("/ingest/blobs/places", json=ask).json() == {"places": {first: [box, 0]}}
    stolen = Journal("a", logged(put(ada, manifest_of(readable, hidden)), "stolen"))
    answer = post(ada, stolen.name, stolen.data)
    assert (answer.status_code, second in detail(answer)) == (409, True)
    again = Journal("a", logged(put(ada, manifest_of(readable)), "again"))
    assert post(ada, again.name, again.data).status_code == 200
    files = f"/projects/{ENTITY}/a/artifacts/again/v0/files"
    assert ada.get(f"{files}/shared").content == shared


def test_key_of_one_project_reaches_only_this_project(server: Server, ada: httpx.Client) -> None:
    set_role(server.store, "ada", ENTITY, "c", "writer")
    for user in ("ada", None):
        key = add_key(server.store, user, only=(ENTITY, "a"))
        with server.client(Authorization=f"Bearer {key}") as limited:
            inside, outside = Journal("a", row(0)), Journal("c", row(0))
            assert post(limited, inside.name, inside.data).status_code == 200
            assert post(limited, outside.name, outside.data).status_code == 404
            content = secrets.token_bytes(20)
            sha256 = put(limited, content)
            assert missing(limited, sha256) == []
            assert missing(ada, sha256) == [sha256]
            theirs = put(ada, secrets.token_bytes(20))  # perhaps a file of project c
            assert missing(limited, theirs) == [theirs]
            saved = Journal("a", FileSaved("file.bin", sha256, 20, "application/octet-stream"))
            assert post(limited, saved.name, saved.data).status_code == 200
            path = f"/projects/{ENTITY}/a/runs/{saved.run_id}/files/file.bin"
            assert limited.get(path).content == content


@pytest.mark.slow
def test_number_of_statements_does_not_depend_on_the_number_of_records(tmp_path: Path) -> None:
    """A sender without all rights costs one to three statements more for each request."""
    path = tmp_path / "store"
    open_store(path).close()
    add_user(path, "ada")
    keys = {"owner": add_key(path, None), "ada": add_key(path, "ada")}
    store = open_store(path)
    app = create_app(store, ServerSettings(path))
    executed: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *given: executed.append(given[2]))

    async def send(requests: list[tuple[str, str, dict[str, Any]]], key: str) -> list[int]:
        counts = []
        headers = {"Authorization": f"Bearer {key}"}
        url = "http://localhost/api/v1"
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=url, headers=headers
        ) as client:
            for method, path, request in requests:
                executed.clear()
                answer = await client.request(method, path, **request)
                assert answer.status_code in (200, 201), answer.text
                counts.append(len([each for each in executed if not each.startswith(("BEGIN", "PRAGMA"))]))
        return counts

    def upload(content: bytes) -> tuple[str, str, dict[str, Any]]:
        sha256 = hashlib.sha256(content).hexdigest()
        return "PUT", f"/ingest/blobs/{sha256}", {"content": content, "headers": BINARY}

    def append(journal: Journal) -> tuple[str, str, dict[str, Any]]:
        request = {"params": EMPTY, "content": journal.data, "headers": BINARY}
        return "POST", f"/ingest/journals/{journal.name}", request

    def requests(count: int, owner: str) -> list[tuple[str, str, dict[str, Any]]]:
        contents = [f"{owner} {count} {at}".encode() for at in range(count)]
        names = [hashlib.sha256(content).hexdigest() for content in contents]
        listed = manifest_of(*(Entry(f"f{at}", "md5", 1, name) for at, name in enumerate(names)))
        manifest = hashlib.sha256(listed).hexdigest()
        begin = RunStarted("ada", "own", f"run-{owner}-{count}", TIME, PROCESS)
        rows = Journal("", begin, *map(row, range(count)), begins=False)
        saved = [FileSaved(f"f{at}", name, 1, "text/plain") for at, name in enumerate(names)]
        files = Journal("", begin, *saved, begins=False)
        artifact = Journal("", begin, logged(manifest, f"artifact-{owner}-{count}"), begins=False)
        return [
            *map(upload, contents),
            upload(listed),
            ("POST", "/ingest/blobs/missing", {"json": {"sha256": names}}),
            ("POST", "/ingest/blobs/places", {"json": {"sha256": names}}),
            ("GET", f"/ingest/journals/{rows.name}", {}),
            append(rows),
            append(files),
            append(artifact),
            ("POST", "/ingest/segments/known", {"json": {"segments": [rows.segment]}}),
        ]

    asyncio.run(send(requests(1, "owner"), keys["owner"]))  # makes the project
    for count in (2, 200):
        found = {name: asyncio.run(send(requests(count, name), key)) for name, key in keys.items()}
        extra = [mine - theirs for mine, theirs in zip(found["ada"], found["owner"], strict=True)]
        assert extra == [*[2] * (count + 1), 1, 0, 1, 1, 2, 3, 0]
    store.close()


def script(
    server: Server, folder: Path, key: str, code: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script that sends its runs to the server with a key."""
    return scripts.run(code, folder, TRACKER_BASE_URL=server.url, TRACKER_API_KEY=key, **variables)


def run_code(entity: str, project: str, run_id: str) -> str:
    """Return a script that logs three rows, a file and an artifact."""
    return f"""
import tracker
run = tracker.init(entity={entity!r}, project={project!r}, id={run_id!r})
for value in range(3):
    run.log({{"x": value}})
open("note.txt", "w").write("a note")
run.save("note.txt")
artifact = tracker.Artifact("data", "dataset")
for name, size in (("small", 100), ("large", 400_000)):
    with artifact.new_file(name, "wb") as file:
        file.write(name.encode() * size)
run.log_artifact(artifact)
run.finish()
"""


def values(client: httpx.Client, entity: str, project: str, run_id: str) -> list[int]:
    """Return the logged values of a run; no values if the server does not show it."""
    answer = client.get(f"/projects/{entity}/{project}/runs/{run_id}/history")
    return [row["x"] for row in answer.json()["rows"]] if answer.status_code == 200 else []


VIEWER = f"You are viewer of {ENTITY}/a. This needs the role writer. Ask an administrator of the project."


@pytest.mark.timeout(400)  # on a slow machine the recorder's pauses have become long
def test_run_of_a_viewer_waits_and_is_sent_after_the_role_was_given(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    add_user(server.store, "eve")
    set_role(server.store, "eve", ENTITY, "a", "viewer")
    code = run_code(ENTITY, "a", "of-eve")
    # The recorder tries until the role was given.
    refused = script(server, tmp_path, add_key(server.store, "eve"), code, TRACKER_SENDING_SECONDS="600")
    lines = [line for line in refused.stderr.splitlines() if "was not sent" in line]
    assert len(lines) == 1, refused.stderr
    assert lines[0].startswith(f"tracker: run of-eve was not sent ({server.url}: {VIEWER}). Its ")
    assert len(outbox_journals(tmp_path)) == 1
    owner = clients["owner"]
    assert values(owner, ENTITY, "a", "of-eve") == []
    set_role(server.store, "eve", ENTITY, "a", "writer")
    scripts.wait_for(lambda: not outbox_journals(tmp_path), "the recorder to try again")
    assert values(owner, ENTITY, "a", "of-eve") == [0, 1, 2]
    files = f"/projects/{ENTITY}/a/artifacts/data/latest/files"
    assert owner.get(f"{files}/small").content == b"small" * 100
    assert owner.get(f"{files}/large").content == b"large" * 400_000
    assert owner.get(f"/projects/{ENTITY}/a/runs/of-eve/files/note.txt").content == b"a note"


def test_refused_run_does_not_stop_the_other_runs_of_an_outbox(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    key = add_key(server.store, "vic")
    script(server, tmp_path, key, run_code(ENTITY, "a", "of-vic"))
    allowed = script(server, tmp_path, key, run_code("vic", "own", "allowed"))
    assert "not sent" not in allowed.stderr
    assert values(clients["vic"], "vic", "own", "allowed") == [0, 1, 2]
    assert values(clients["vic"], ENTITY, "a", "of-vic") == []
    synced = command("sync", folder=tmp_path)
    assert (synced.returncode, synced.stderr) == (1, f"tracker: {server.url}: {VIEWER}\n")
    assert len(outbox_journals(tmp_path)) == 1
    done = command("sync", folder=tmp_path, TRACKER_BASE_URL=server.url, TRACKER_API_KEY=server.key or "")
    assert done.returncode == 0, done.stderr
    assert values(clients["vic"], ENTITY, "a", "of-vic") == [0, 1, 2]


def test_writers_of_two_projects_send_the_same_contents(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    for user, project in (("ada", "a"), ("bob", "b")):
        (tmp_path / user).mkdir()
        done = script(
            server, tmp_path / user, add_key(server.store, user), run_code(ENTITY, project, f"same-{user}")
        )
        assert "not sent" not in done.stderr
        sent(tmp_path / user)
        path = f"/projects/{ENTITY}/{project}/artifacts/data/latest/files/small"
        assert clients[user].get(path).content == b"small" * 100
    assert clients["ada"].get(f"/projects/{ENTITY}/b/artifacts/data/latest/files/small").status_code == 404


def test_draft_takes_files_from_a_readable_version_of_another_user(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    for user in ("ada", "dan"):
        (tmp_path / user).mkdir()
    script(server, tmp_path / "ada", add_key(server.store, "ada"), run_code(ENTITY, "a", "base"))
    sent(tmp_path / "ada")
    add_user(server.store, "dan")
    set_role(server.store, "dan", ENTITY, "a", "viewer")
    code = f"""
import tracker
run = tracker.init(entity="dan", project="own", id="extended")
draft = run.use_artifact("{ENTITY}/a/data:latest").new_draft()
with draft.new_file("added") as file:
    file.write("added by dan")
run.log_artifact(draft)
run.finish()
"""
    done = script(server, tmp_path / "dan", add_key(server.store, "dan"), code)
    assert "not sent" not in done.stderr
    sent(tmp_path / "dan")
    files = "/projects/dan/own/artifacts/data/latest/files"
    for name, content in (
        ("small", b"small" * 100),
        ("large", b"large" * 400_000),
        ("added", b"added by dan"),
    ):
        assert clients["owner"].get(f"{files}/{name}").content == content


def test_run_continues_with_a_new_key_after_the_old_one_expired(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    old = add_key(server.store, "ada", name="short")
    code = f"""
import tracker
run = tracker.init(entity={ENTITY!r}, project="a", id="long")
run.log({{"x": 0}})
run.log({{"x": 1}})
input()
run.log({{"x": 2}})
run.finish()
"""
    with scripts.start(code, tmp_path, TRACKER_BASE_URL=server.url, TRACKER_API_KEY=old) as process:
        owner = clients["owner"]
        scripts.wait_for(lambda: values(owner, ENTITY, "a", "long")[:1] == [0], "the first row")
        expire_key(server.store, "short")
        _, errors = process.communicate("\n", timeout=120)
    assert process.returncode == 0, errors
    lines = [line for line in errors.splitlines() if "run long was not sent" in line]
    assert len(lines) == 1, errors
    assert "Invalid API key. Check TRACKER_API_KEY" in lines[0]
    assert len(outbox_journals(tmp_path)) == 1
    # The recorder of the first run is alive. It takes the new key from the outbox.
    new = add_key(server.store, "ada")
    script(server, tmp_path, new, run_code(ENTITY, "a", "next"))
    sent(tmp_path)
    assert values(owner, ENTITY, "a", "long") == [0, 1, 2]
    assert values(owner, ENTITY, "a", "next") == [0, 1, 2]


def test_script_with_a_key_of_one_project(
    server: Server, clients: dict[str, httpx.Client], tmp_path: Path
) -> None:
    key = add_key(server.store, None, only=(ENTITY, "a"))
    script(server, tmp_path, key, run_code(ENTITY, "a", "inside"))
    sent(tmp_path)
    assert values(clients["owner"], ENTITY, "a", "inside") == [0, 1, 2]
    outside = script(server, tmp_path, key, run_code(ENTITY, "b", "outside"))
    assert f"there is no project {ENTITY}/b that you can read" in outside.stderr
    assert values(clients["owner"], ENTITY, "b", "outside") == []
    assert len(outbox_journals(tmp_path)) == 1
