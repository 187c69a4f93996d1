"""No answer shows a caller anything of a project that the caller cannot read.

The routes are those of the OpenAPI document, so that a new route is tested too.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from builders import seal_all
from fastapi import FastAPI
from hidden_project import HIDDEN, MISSING, OUTSIDERS, add_users, hashes_of_hidden, make_store
from serving import read_events, serving
from sqlalchemy import event, select

from server.app import API, create_app, describe
from server.settings import ServerSettings
from tracker.bundles.bundle_file import BundleFile
from tracker.bundles.staging import Staging
from tracker.ground.people import ROLES, Rights
from tracker.store.catalog.models import Project
from tracker.store.ingest.people import Actor, changing_people
from tracker.store.queries.changes import change_batch
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.store import Store
from tracker.sweeps.files import Sweep

CALLERS = [*OUTSIDERS, "limited"]
# Values of the parameters of addresses. All combinations of a project are asked for.
OPEN: dict[str, list[str]] = {
    "entity": ["team"],
    "project": ["open"],
    "run_id": ["run-open", "run-user"],
    "name": ["data", "published", "registered", "packed"],
    "reference": ["v0"],
    "path": ["notes.txt"],
    "key": ["x", "t"],
    "to": ["v0"],
}
LAB = {**OPEN, "entity": ["lab"], "project": ["shared"], "run_id": ["run-shared"]}
GUESSED = {
    **OPEN,
    "run_id": [f"{HIDDEN}-run"],
    "name": [f"{HIDDEN}-model"],
    "path": [f"{HIDDEN}.txt"],
    "to": [f"team/{HIDDEN}/{HIDDEN}-model:v0"],
}
PRIVATE = {
    "entity": ["team"],
    "project": [HIDDEN],
    "run_id": [f"{HIDDEN}-run", f"{HIDDEN}-gone"],
    "name": [f"{HIDDEN}-model", f"{HIDDEN}-data"],
    "reference": ["v0"],
    "path": [f"{HIDDEN}.txt"],
}
OTHER_VALUES = {
    "kind": "notes",
    "document_id": "notes",
    "sweep_id": "none",
    "by": "state",
    "project": f"team/{HIDDEN}",
    "since": 0,
    "timeout": 0,
    "user_name": "insider",
}
BODIES: dict[str, Any] = {
    "/chart": {"runs": [f"{HIDDEN}-run"], "keys": ["x"]},
    "/curves": {"groups": {"all": [f"{HIDDEN}-run"]}, "keys": ["x"]},
    "/distribution": {"runs": [f"{HIDDEN}-run"], "key": "x"},
    "/metrics": {"runs": [f"{HIDDEN}-run"]},
    "/runs/change": {"action": "edit", "runs": [f"{HIDDEN}-run"], "values": {"notes": "changed"}},
    "/documents/{kind}": {"name": "new", "content": "text"},
}
Sent = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store that no test changes."""
    opened = make_store(tmp_path_factory.mktemp("visible") / "tracker-store")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def keys(store: Store) -> dict[str, str]:
    """Return a key of each user."""
    return add_users(store)


@pytest.fixture(scope="module")
def app(store: Store) -> FastAPI:
    """Return the application. Its watcher does not run."""
    return create_app(store, ServerSettings(store.root))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[FastAPI, dict[str, str], Store]]:
    """Return an application, the keys and the store, for a test that changes the store."""
    opened = make_store(tmp_path / "tracker-store")
    yield create_app(opened, ServerSettings(opened.root)), add_users(opened), opened
    opened.close()


def send(app: FastAPI, key: str, sent: list[Sent]) -> list[httpx.Response]:
    """Return the answers to requests."""

    async def send_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://localhost{API}", headers=headers
        ) as client:
            return [await client.request(method, url, **options) for method, url, options in sent]

    return asyncio.run(send_all())


def ask(app: FastAPI, key: str, method: str, url: str, **options: Any) -> httpx.Response:
    """Return the answer to one request."""
    return send(app, key, [(method, url, options)])[0]


def operations(*methods: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the method, the path and the description of the operations with some methods."""
    return [
        (method, path.removeprefix(API), operation)
        for path, of_path in describe()["paths"].items()
        for method, operation in of_path.items()
        if method in methods
    ]


def reading_requests(values: dict[str, list[str]]) -> list[Sent]:
    """Return requests of all GET routes, with all combinations of some values."""
    found = []
    for _, path, operation in operations("get"):
        parameters = {each["name"]: each for each in operation.get("parameters", [])}
        in_path = re.findall(r"{(\w+)}", path)
        asked = [
            name
            for name, each in parameters.items()
            if each["in"] == "query" and (each.get("required") or name in ("since", "timeout", "project"))
        ]
        names = [*in_path, *asked]
        choices = [_choices(name, parameters[name], values, in_path) for name in names]
        for chosen in product(*choices):
            given = dict(zip(names, chosen, strict=True))
            url = path.format(**{name: quote(given[name]) for name in in_path})
            found.append(("GET", url, {"params": {name: given[name] for name in asked}}))
    # Optional parameters that name something of another project.
    place = f"/projects/{values['entity'][0]}/{values['project'][0]}"
    found += [
        ("GET", f"{place}/artifacts", {"params": {"run": f"{HIDDEN}-run"}}),
        ("GET", "/registries/team", {"params": {"search": HIDDEN}}),
        ("GET", f"{place}/runs", {"params": {"search": HIDDEN}}),
        ("GET", f"{place}/artifact-sizes", {"params": {"name": f"{HIDDEN}-data"}}),
        (
            "GET",
            f"{place}/runs/run-open/table/compare",
            {"params": {"key": "t", "with_run": f"{HIDDEN}-run"}},
        ),
    ]
    return found


def _choices(
    name: str, parameter: dict[str, Any], values: dict[str, list[str]], in_path: list[str]
) -> list[Any]:
    if name in values and (name in in_path or name in ("key", "to")):
        return values[name]
    if name in OTHER_VALUES:
        return [OTHER_VALUES[name]]
    schema = parameter["schema"]
    return [schema["enum"][0]] if "enum" in schema else ["x"]


def writing_requests() -> list[Sent]:
    """Return requests of all routes that change something of the private project."""
    found = []
    for method, path, _ in operations("post", "put", "patch", "delete"):
        if path.startswith("/projects/{entity}/{project}/"):
            names = re.findall(r"{(\w+)}", path)
            url = path.format(**{name: PRIVATE.get(name, [OTHER_VALUES.get(name, "x")])[0] for name in names})
            body = next((body for ending, body in BODIES.items() if path.endswith(ending)), {})
            headers = {"If-Match": '"1"'}
            found.append((method.upper(), url, {"json": body, "headers": headers}))
    return found


def renamed(sent: list[Sent]) -> list[Sent]:
    """Return the same requests for a project, runs and artifacts that do not exist."""
    found: list[Sent] = json.loads(json.dumps(sent).replace(HIDDEN, MISSING))
    return found


def as_compared(answer: httpx.Response) -> tuple[Any, ...]:
    """Return the status, the headers and the body of an answer, with one name for both projects."""
    headers = {name: value.replace(HIDDEN, MISSING) for name, value in answer.headers.items()}
    return answer.status_code, headers, answer.content.replace(HIDDEN.encode(), MISSING.encode())


@pytest.mark.slow
def test_the_private_project_is_connected(app: FastAPI, keys: dict[str, str]) -> None:
    """Check the store of these tests: its owner sees each connection that the tests look for."""
    seen = [ask(app, keys["owner"], *sent[:2], **sent[2]).text for sent in reading_requests(OPEN)]
    shown = {sent[1] for sent, text in zip(reading_requests(OPEN), seen, strict=True) if HIDDEN in text}
    assert shown >= {
        "/projects",
        "/live",
        "/live/events",
        "/registries/team",
        "/projects/team/open/runs/run-user/used-artifacts",
        "/projects/team/open/runs/run-user/lineage",
        "/projects/team/open/artifacts",
        "/projects/team/open/artifacts/data/v0",
        "/projects/team/open/artifacts/data/v0/links",
        "/projects/team/open/artifacts/data/v0/lineage",
        "/projects/team/open/artifacts/registered/v0",
    }


@pytest.mark.parametrize(("caller", "method"), [*((caller, "GET") for caller in CALLERS), ("viewer", "HEAD")])
def test_no_answer_shows_the_private_project(
    store: Store, app: FastAPI, keys: dict[str, str], caller: str, method: str
) -> None:
    sent: list[Sent] = [(method, *rest) for _, *rest in reading_requests(OPEN) + reading_requests(LAB)]
    answers = send(app, keys[caller], sent)
    digests = hashes_of_hidden(store)
    answered = 0
    for (_, url, options), answer in zip(sent, answers, strict=True):
        assert answer.status_code < 500, (url, answer.text)
        answered += answer.status_code == 200
        if HIDDEN in f"{url} {options}":
            continue  # the answer may repeat the name in the request: the next test compares it
        body = answer.content + str(answer.headers).encode()
        assert HIDDEN.encode() not in body, (url, options, body)
        assert not [digest for digest in digests if digest.encode() in body], (url, options)
    assert answered > (3 if caller == "guest" else 30)


@pytest.mark.parametrize(
    "caller", [pytest.param(each, marks=() if each == "other" else pytest.mark.slow) for each in CALLERS]
)
def test_the_private_project_looks_like_one_that_does_not_exist(
    app: FastAPI, keys: dict[str, str], caller: str
) -> None:
    sent = [each for each in reading_requests(GUESSED) if HIDDEN in str(each)]
    sent += [
        ("GET", "/projects/team/open/artifacts/data/v0/difference", {"params": {"to": GUESSED["to"][0]}})
    ]
    sent += reading_requests(PRIVATE) + writing_requests()
    sent += [("HEAD", *rest) for _, *rest in reading_requests(PRIVATE)]
    sent += [
        ("POST", f"/projects/team/open{ending}", {"json": body})
        for ending, body in BODIES.items()
        if HIDDEN in str(body)
    ]
    version = {"entity": "team", "project": HIDDEN, "name": f"{HIDDEN}-model", "version": 0, "digest": ""}
    target = {"target_entity": "team", "target_project": "open", "target_name": "stolen", "aliases": []}
    sent += [
        ("POST", "/artifacts/change", {"json": {**version, "time": 0, "aliases_added": ["good"]}}),
        ("POST", "/artifacts/link", {"json": {**version, **target, "time": 0}}),
    ]
    answers, expected = (send(app, keys[caller], each) for each in (sent, renamed(sent)))
    for each, answer, other in zip(sent, answers, expected, strict=True):
        assert as_compared(answer) == as_compared(other), each
        if f"/team/{HIDDEN}/" in each[1]:
            assert answer.status_code == 404, each


@pytest.mark.parametrize("caller", ["insider", "boss", "owner"])
def test_members_see_the_private_project(app: FastAPI, keys: dict[str, str], caller: str) -> None:
    answers = send(app, keys[caller], reading_requests(PRIVATE))
    assert sum(answer.status_code == 200 for answer in answers) > 20
    projects = ask(app, keys[caller], "GET", "/projects").json()["projects"]
    assert HIDDEN in [each["name"] for each in projects]


def plain(answer: httpx.Response, root: Path) -> Any:
    """Return an answer without times, revisions, numbers that the catalog counts, and the store's path."""
    kind = answer.headers.get("content-type", "")
    text = re.sub(r'("?(revision|id)"?: ?)\d+', r"\1N", answer.text) if "event-stream" in kind else ""
    if "json" not in kind:
        return text or answer.content
    return without_times(json.loads(answer.text.replace(str(root), "store")))


def without_times(value: Any) -> Any:
    """Return a JSON value without its times and revisions, and without the numbers of rows of the catalog."""
    if isinstance(value, dict):
        return {
            key: without_times(each)
            for key, each in value.items()
            if not (key.endswith("_at") or key in ("revision", "time") or (key == "id" and type(each) is int))
        }
    return [without_times(each) for each in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_answers_are_those_of_a_store_without_the_private_project(tmp_path: Path) -> None:
    found = []
    for hidden in (True, False):
        store = make_store(tmp_path / "stores" / str(hidden), hidden=hidden, linked=False)
        keys, app = add_users(store), create_app(store, ServerSettings(store.root))
        sent = [each for each in reading_requests(OPEN) + reading_requests(LAB) if HIDDEN not in str(each)]
        found.append(
            {
                (caller, url, str(options)): (answer.status_code, plain(answer, store.root))
                for caller in ("viewer", "other", "limited")
                for (_, url, options), answer in zip(sent, send(app, keys[caller], sent), strict=True)
                if not url.startswith(("/ingest", "/session", "/openapi", "/docs", "/keys", "/me", "/audit"))
                and not url.endswith("/bundle")  # it has a random id: the next test looks at its content
            }
        )
        store.close()
    with_project, without = found
    assert with_project.keys() == without.keys()
    assert {
        key: (with_project[key], without[key]) for key in without if with_project[key] != without[key]
    } == {}


@pytest.mark.slow
def test_a_bundle_has_nothing_of_other_projects(
    own: tuple[FastAPI, dict[str, str], Store], tmp_path: Path
) -> None:
    app, keys, store = own
    seal_all(store)
    found = 0
    for caller, run in product(CALLERS, ("run-open", "run-user", "run-packed")):
        answer = ask(app, keys[caller], "GET", f"/projects/team/open/runs/{run}/bundle")
        if answer.status_code != 200:
            continue
        (tmp_path / "bundle").write_bytes(answer.content)
        with Staging(tmp_path / "staging") as staging:
            bundle = BundleFile(tmp_path / "bundle", staging)
            bundle.verify()
            data = [bundle.journal(each.segment).read_bytes() for each in bundle.manifest.journals]
            data += [b"".join(chunks) for _, chunks in bundle.contents()]
        data.append(msgspec.json.encode(bundle.manifest))
        found += len(data)
        for word in (HIDDEN.encode(), b"zebra"):
            assert not any(word in each for each in data), (caller, run)
        if run == "run-packed":
            assert b"a shared content" in data
    assert found > 12


def test_a_link_shows_the_contents_of_its_source_and_not_the_source(
    app: FastAPI, keys: dict[str, str]
) -> None:
    """A collection that the caller can read is shared by those who link to it, as a registry in wandb is."""
    place = "/projects/team/open/artifacts/registered/v0"
    shown = ask(app, keys["viewer"], "GET", place).json()
    full = ask(app, keys["owner"], "GET", place).json()
    assert (full["source"], full["logged_by"]) == (f"team/{HIDDEN}/{HIDDEN}-model:v0", f"{HIDDEN}-run")
    assert shown == {**full, "source": None, "logged_by": None, "logged_in": None, "used_by": []}
    assert (
        ask(app, keys["viewer"], "GET", f"{place}/files/weights.bin").content
        == b"weights of the linked model"
    )
    assert ask(app, keys["viewer"], "GET", f"{place}/manifest").status_code == 200
    registry = ask(app, keys["viewer"], "GET", "/registries/team").json()
    assert [(each["name"], each["links"], each["source"]) for each in registry["collections"]] == [
        ("published", 1, "team/open/data:v0"),
        ("registered", 1, None),
    ]
    assert registry["total"] == 2
    assert ask(app, keys["boss"], "GET", "/registries/team").json()["total"] == 3


def test_a_pack_shows_only_the_files_of_the_version(app: FastAPI, keys: dict[str, str]) -> None:
    place = "/projects/team/open/artifacts/packed/v0"
    (entry,) = ask(app, keys["viewer"], "GET", f"{place}/manifest").json()["entries"]
    blob, start, end = f"{place}/blobs/{entry['pack']}", entry["offset"], entry["offset"] + entry["size"]
    whole = ask(app, keys["owner"], "GET", blob).content
    assert whole.count(HIDDEN.encode()) == 2
    expected = bytes(start) + whole[start:end] + bytes(len(whole) - end)
    shown = ask(app, keys["viewer"], "GET", blob)
    assert (shown.status_code, shown.content) == (200, expected)
    for first, last in ((start, end - 1), (0, start + 2), (end - 3, end + 4), (2, start - 2), (end, end + 1)):
        answer = ask(app, keys["viewer"], "GET", blob, headers={"Range": f"bytes={first}-{last}"})
        assert (answer.status_code, answer.content) == (206, expected[first : last + 1])
    answer = ask(app, keys["viewer"], "GET", blob, headers={"Range": f"bytes=-{len(whole) - end}"})
    assert answer.content == bytes(len(whole) - end)
    assert ask(app, keys["viewer"], "GET", blob, headers={"Range": "bytes=0-3,9-12"}).content == expected
    assert ask(app, keys["viewer"], "GET", f"{place}/files/small.txt").content == whole[start:end]
    size = ask(app, keys["viewer"], "GET", "/projects/team/open/artifact-sizes?name=packed").json()[
        "disk_size"
    ]
    full = ask(app, keys["owner"], "GET", "/projects/team/open/artifact-sizes?name=packed").json()[
        "disk_size"
    ]
    assert full - size == len(whole) - entry["size"]


def test_times_of_contents_do_not_show_that_another_project_stored_them(
    own: tuple[FastAPI, dict[str, str], Store],
) -> None:
    app, keys, store = own
    place = "/projects/team/open/runs/run-open/files"

    def times() -> list[Any]:
        listed, content = (
            ask(app, keys["viewer"], "GET", place),
            ask(app, keys["viewer"], "GET", f"{place}/notes.txt"),
        )
        return [[each["updated_at"] for each in listed.json()["files"]], content.headers["last-modified"]]

    before = times()
    (sha256,) = {
        each["sha256"]
        for each in ask(app, keys["viewer"], "GET", place).json()["files"]
        if each["path"] == "notes.txt"
    }
    path = store.blobs.path(sha256)
    old = path.stat().st_mtime
    assert store.blobs.touch(sha256)  # as each process does that stores the content again
    assert path.stat().st_mtime > old
    assert times() == before


def test_a_run_is_deleted_without_the_links_in_projects_that_the_caller_cannot_change(
    own: tuple[FastAPI, dict[str, str], Store],
) -> None:
    app, keys, _ = own

    def versions() -> list[tuple[str, str]]:
        return [
            (project, each["name"])
            for project in ("open", HIDDEN)
            for each in ask(app, keys["owner"], "GET", f"/projects/team/{project}/artifacts").json()[
                "artifacts"
            ]
        ]

    before = versions()
    gone = {("open", "data"), ("open", "published")}
    run = "/projects/team/open/runs/run-open"
    assert ask(app, keys["writer"], "DELETE", f"{run}?artifacts=true").status_code == 200
    assert versions() == [each for each in before if each not in gone]
    assert (HIDDEN, f"{HIDDEN}-links") in versions()
    assert (
        ask(app, keys["writer"], "POST", "/projects/team/open/deleted-runs/run-open/restore").status_code
        == 200
    )
    assert sorted(versions()) == sorted(before)
    body = {"action": "delete", "runs": ["run-open"], "artifacts": True}
    assert ask(app, keys["boss"], "POST", "/projects/team/open/runs/change", json=body).json()["changed"] == 1
    assert versions() == [each for each in before if each not in gone | {(HIDDEN, f"{HIDDEN}-links")}]


def test_records_of_artifacts_need_roles_in_their_projects(
    own: tuple[FastAPI, dict[str, str], Store],
) -> None:
    app, keys, _ = own
    version = {"entity": "team", "project": "open", "name": "data", "version": 0, "digest": "", "time": 0.0}
    target = {"target_entity": "team", "target_name": "linked", "aliases": []}

    def status(caller: str, project: str, to: str | None = None) -> int:
        body = {**version, "project": project}
        body |= {**target, "target_project": to} if to else {"aliases_added": ["good"]}
        return ask(
            app, keys[caller], "POST", f"/artifacts/{'link' if to else 'change'}", json=body
        ).status_code

    assert [status(caller, "open") for caller in ("guest", "viewer", "other", "writer")] == [
        404,
        403,
        403,
        200,
    ]
    assert [status(caller, "open", "open") for caller in ("guest", "viewer", "writer")] == [404, 403, 200]
    assert [status("writer", "open", to) for to in (HIDDEN, "created")] == [404, 200]
    assert [status("viewer", "open", to) for to in (HIDDEN, MISSING)] == [404, 404]
    # A version in a private project is linked by those who can read it.
    model = {**version, "project": HIDDEN, "name": f"{HIDDEN}-model", "target_project": "open", **target}
    answers = [
        ask(app, keys[caller], "POST", "/artifacts/link", json=model) for caller in ("insider", "both")
    ]
    assert [answer.status_code for answer in answers] == [404, 200]
    changed = ask(app, keys["both"], "PATCH", "/projects/team/open/artifacts/linked/v0", json={"tags": ["a"]})
    assert (changed.json()["source"], changed.json()["tags"]) == ("team/open/data:v0", ["a"])
    shown = ask(app, keys["writer"], "PATCH", "/projects/team/open/artifacts/linked/v1", json={"tags": ["b"]})
    assert (shown.json()["source"], shown.json()["logged_by"], shown.json()["tags"]) == (None, None, ["b"])


@pytest.mark.parametrize("name", ["x" * 5000, "%00", "%2e%2e", "%ff", "\u00fc", "a b"])
def test_an_odd_name_is_a_project_that_does_not_exist(app: FastAPI, keys: dict[str, str], name: str) -> None:
    answer = ask(app, keys["viewer"], "GET", f"/projects/team/{name}/runs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_sweeps_of_a_project_without_runs_are_visible(own: tuple[FastAPI, dict[str, str], Store]) -> None:
    app, keys, store = own
    place = "/projects/team/planned/sweeps"
    assert [ask(app, keys[caller], "GET", place).status_code for caller in ("viewer", "boss")] == [404, 200]
    Sweep.create(store.layout, "team", "planned", {"name": "first", "parameters": {}})
    assert [each["name"] for each in ask(app, keys["viewer"], "GET", place).json()["sweeps"]] == ["first"]
    assert ask(app, keys["other"], "GET", place).status_code == 404


def test_the_owner_of_a_document_is_the_caller(own: tuple[FastAPI, dict[str, str], Store]) -> None:
    app, keys, _ = own

    def owner(caller: str, **given: str) -> Any:
        body = {"name": "a view", "content": {}, **given}
        return ask(app, keys[caller], "POST", "/projects/team/open/documents/views", json=body).json()[
            "owner"
        ]

    assert owner("writer") == owner("writer", owner="boss") == "writer"
    assert owner("limited", owner="boss") is None
    assert (owner("owner"), owner("owner", owner="boss")) == (None, "boss")


def test_a_project_becomes_visible_with_a_role(own: tuple[FastAPI, dict[str, str], Store]) -> None:
    app, keys, store = own

    def names() -> list[str]:
        return sorted(
            each["name"] for each in ask(app, keys["viewer"], "GET", "/projects").json()["projects"]
        )

    runs = f"/projects/team/{HIDDEN}/runs"
    assert names() == ["open"]
    assert ask(app, keys["viewer"], "GET", runs).status_code == 404
    with changing_people(store, Actor("test")) as change:
        change.set_role("viewer", "team", HIDDEN, "viewer")
    assert names() == ["open", HIDDEN]
    assert ask(app, keys["viewer"], "GET", runs).json()["total"] == 1
    with changing_people(store, Actor("test")) as change:
        change.set_role("viewer", "team", HIDDEN, None)
    assert names() == ["open"]
    assert ask(app, keys["viewer"], "GET", runs).status_code == 404


def random_rights(choose: random.Random, places: list[tuple[str, str]]) -> Rights:
    """Return random rights."""
    of_entities = [(entity, "") for entity, _ in places]
    roles = {
        place: choose.choice(ROLES) for place in choose.sample(places + of_entities, choose.randrange(5))
    }
    return Rights(
        everything=choose.random() < 0.2,
        roles=roles,
        private=frozenset(choose.sample(places, choose.randrange(4))),
        scope=choose.choice(["read", "write"]),
        only=choose.choice([None, None, choose.choice(places)]),
    )


@pytest.mark.parametrize("needed", ROLES)
def test_queries_select_the_projects_of_the_rules(store: Store, needed: Any) -> None:
    """The condition of the queries selects the same projects as ``Rights.role``."""
    choose = random.Random(needed)
    places = [("team", "open"), ("team", HIDDEN), ("lab", "shared")]
    kept: dict[Visible, list[tuple[str, str]]] = {}
    for _ in range(300):
        rights = random_rights(choose, [*places, ("team", MISSING), ("none", "none")])
        visible = Visible(rights, needed)
        with store.reading() as session:
            query = visible.limit_names(select(Project.entity, Project.name), Project.entity, Project.name)
            found = sorted((entity, name) for entity, name in session.execute(query))
            batch = change_batch(session, 0, visible=visible)
        assert found == sorted(place for place in places if rights.may(needed, *place)), rights
        assert {(each.entity, each.project) for each in [*batch.runs, *batch.removed]} == set(found)
        assert kept.setdefault(visible, found) == found  # equal objects have equal answers
        assert visible.everything == (visible == EVERYTHING)
    assert 10 < len(kept) < 300


def test_members_need_as_many_statements_as_administrators(store: Store, keys: dict[str, str]) -> None:
    app = create_app(store, ServerSettings(store.root))
    counted: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *given: counted.append(given[2]))
    pages = [f"/projects/team/open/runs?limit={limit}" for limit in range(40, 45)]  # no page is kept yet
    others = [
        "/projects",
        "/registries/team",
        "/projects/team/open/artifacts/data/v0",
        "/live?since=0&timeout=0",
    ]
    found: dict[str, list[int]] = {}
    for caller, page in zip(("owner", "owner", "viewer", "boss"), pages, strict=False):
        ask(app, keys[caller], "GET", "/projects/team/open/runs/run-open")  # the project is known now
        for url in (page, *others):
            counted.clear()
            assert ask(app, keys[caller], "GET", url).status_code == 200
            found.setdefault(url.partition("?")[0], []).append(len(counted))
    _, owner, viewer, boss = found["/projects/team/open/runs"]
    assert owner == viewer == boss
    assert all(max(counts[2:]) <= counts[1] for url, counts in found.items() if url != "/live"), found
    assert max(found["/live"][2:]) <= found["/live"][1] + 1  # a deleted run is an answer for members


def test_streams_follow_the_rights_of_their_caller(own: tuple[FastAPI, dict[str, str], Store]) -> None:
    _, keys, store = own
    with (
        serving(store.root, key=True) as server,
        server.client() as owner,
        server.client(Authorization=f"Bearer {keys['viewer']}") as viewer,
    ):

        def edit(*runs: str) -> None:
            for run in runs:
                place = f"/projects/team/{HIDDEN if HIDDEN in run else 'open'}/runs/{run}"
                assert owner.patch(place, json={"notes": str(random.random())}).status_code == 200

        def set_role(role: str | None) -> None:
            with changing_people(store, Actor("test")) as change:
                change.set_role("viewer", "team", HIDDEN, role)

        def names(answer: dict[str, Any]) -> list[str]:
            return [each["id"] for each in [*answer["runs"], *answer.get("removed", [])]]

        secret = f"{HIDDEN}-run"
        since = viewer.get("/live").json()["revision"]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(viewer.get, "/live", params={"since": since, "timeout": 60})
            edit(secret, "run-user")
            # The change of the private project does not end the wait.
            assert names(waiting.result().json()) == ["run-user"]
        with viewer.stream("GET", "/live/events", params={"since": 0}) as answer:
            events = read_events(answer)
            assert sorted(names(next(events)[2])) == ["run-open", "run-packed", "run-user"]
            edit(secret, "run-open")
            assert names(next(events)[2]) == ["run-open"]
            set_role("viewer")
            edit(secret)
            assert names(next(events)[2]) == [secret]
            set_role(None)
            edit(secret, "run-user")
            assert names(next(events)[2]) == ["run-user"]
            with changing_people(store, Actor("test")) as change:
                change.edit_user("viewer", disabled=True)
            edit("run-open")
            assert list(events) == []
    assert server.errors == []
