"""Saved views, reports and notes: through the store and over HTTP, two editors, crashes, a rebuild."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import ENTITY, PROJECT, Writer, apply_all
from serving import command, serving

from tracker.errors import EditConflictError, NotFoundError, UsageError
from tracker.reading.local import LocalReader
from tracker.reading.reader import Reader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.store.ingest import documents
from tracker.store.objects.layout import Layout
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

PLACE = (ENTITY, PROJECT)
VIEW = {"columns": ["loss", "größe ✓"], "filters": {"config.lr": {"$gt": 0.1}}, "nested": [1, 2.5, None]}
REPORT = [
    {"type": "markdown", "text": "# Title\n<script>alert(1)</script>"},
    {"type": "panel", "panel": {"kind": "line", "keys": ["loss"]}},
]
CONTENTS = {"views": VIEW, "reports": REPORT, "notes": "Some *notes*"}


def fill(store: Store) -> None:
    """Log a run, so that the project exists."""
    Writer(store.layout, "aa" * 16).finish()
    apply_all(store)


@pytest.fixture(params=["store", "server"])
def reader(request: pytest.FixtureRequest, store: Store) -> Iterator[Reader]:
    """A reader of a store with a project."""
    fill(store)
    if request.param == "store":
        yield LocalReader(store, follows=False)
        return
    with serving(store.root) as server:
        yield RemoteReader(Remote(server.url, "none"), Layout(store.root / "outbox"))
    assert server.errors == []


def test_documents_are_created_changed_and_deleted(reader: Reader, store: Store) -> None:
    made = {
        kind: reader.create_document(*PLACE, kind, f"my {kind}", content, "ada")
        for kind, content in CONTENTS.items()
    }
    for kind, each in made.items():
        assert (each.name, each.owner, each.version, each.content) == (f"my {kind}", "ada", 1, CONTENTS[kind])
        assert reader.document(*PLACE, kind, each.id) == each
        assert [info.id for info in reader.documents(*PLACE, kind)] == [each.id]
    assert made["notes"].id == "notes"
    with pytest.raises(EditConflictError, match="has notes already"):
        reader.create_document(*PLACE, "notes", "more", "text")
    view = reader.update_document(*PLACE, "views", made["views"].id, 1, content={"columns": []})
    assert (view.version, view.name, view.content) == (2, "my views", {"columns": []})
    with pytest.raises(EditConflictError, match="has version 2, and the change is for version 1"):
        reader.update_document(*PLACE, "views", view.id, 1, name="mine")
    with pytest.raises(EditConflictError):
        reader.delete_document(*PLACE, "views", view.id, 1)
    renamed = reader.update_document(*PLACE, "views", view.id, 2, name="mine")
    assert (renamed.name, renamed.content, renamed.created_at) == ("mine", {"columns": []}, view.created_at)
    reader.delete_document(*PLACE, "views", view.id, 3)
    for question in (reader.document, reader.delete_document):
        with pytest.raises(NotFoundError, match=f"no document views/{view.id}"):
            question(*PLACE, "views", view.id, *([3] if question == reader.delete_document else []))
    assert reader.documents(*PLACE, "views") == []


INVALID: list[tuple[str, str, Any, str]] = [
    ("views", "", {}, "name is a string of 1 to 1000"),
    ("views", "x" * 1001, {}, "name is a string of 1 to 1000"),
    ("views", "x", [], "content of a view is an object"),
    ("notes", "x", {}, "content of notes is Markdown text"),
    ("reports", "x", [{"type": "html", "text": "x"}], "content of a report is a list of"),
    ("reports", "x", [{"type": "markdown", "text": "x", "more": 1}], "content of a report is a list of"),
    ("notes", "x", "x" * documents.LARGEST_CONTENT, "content has 1048578 bytes, more than 1048576"),
]


def test_invalid_documents(reader: Reader) -> None:
    for kind, name, content, message in INVALID:  # one test, because each starts a server
        with pytest.raises(UsageError, match=message):
            reader.create_document(*PLACE, kind, name, content)
        assert reader.documents(*PLACE, kind) == []
    with pytest.raises(NotFoundError, match="there is no project team/other"):
        reader.create_document(ENTITY, "other", "views", "x", {})


def test_a_project_has_a_limited_number_of_documents(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    monkeypatch.setattr(documents, "LARGEST_NUMBER_OF_DOCUMENTS", 2)
    reader = LocalReader(store, follows=False)
    for _ in range(2):
        reader.create_document(*PLACE, "views", "x", {})
    with pytest.raises(UsageError, match="has 2 views, the limit"):
        reader.create_document(*PLACE, "views", "x", {})


def test_two_editors_lose_nothing(store: Store) -> None:
    """Editors in two processes' stores append lines. An editor whose version is old repeats its change."""
    fill(store)
    LocalReader(store, follows=False).create_document(*PLACE, "notes", "n", "")

    def append(editor: int) -> None:
        own = open_store(store.root, create=False)
        reader = LocalReader(own, follows=False)
        for line in range(10):
            while True:
                seen = reader.document(*PLACE, "notes", "notes")
                try:
                    text = f"{seen.content}{editor}-{line}\n"
                    reader.update_document(*PLACE, "notes", "notes", seen.version, content=text)
                    break
                except EditConflictError:
                    continue
        own.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append, range(2)))
    found = LocalReader(store, follows=False).document(*PLACE, "notes", "notes")
    assert found.version == 21
    assert sorted(found.content.split()) == sorted(
        f"{editor}-{line}" for editor in (0, 1) for line in range(10)
    )


def test_versions_over_http(store: Store) -> None:
    fill(store)
    path = f"/projects/{ENTITY}/{PROJECT}/documents/views"
    with serving(store.root) as server, server.client() as api:
        made = api.post(path, json={"name": "v", "content": VIEW})
        assert (made.status_code, made.headers["etag"]) == (201, '"1"')
        one = f"{path}/{made.json()['id']}"
        first, second = (api.get(one).headers["etag"] for _ in range(2))
        assert api.patch(one, json={"name": "first"}, headers={"If-Match": first}).headers["etag"] == '"2"'
        refused = api.patch(one, json={"name": "second"}, headers={"If-Match": second})
        assert (refused.status_code, api.get(one).json()["name"]) == (412, "first")
        for header in ({}, {"If-Match": "*"}, {"If-Match": '"x"'}):
            assert api.delete(one, headers=header).status_code == 400
        assert api.get(f"/projects/{ENTITY}/{PROJECT}/documents/other").status_code == 422
        assert api.post(path, json={"name": "v", "content": VIEW, "more": 1}).status_code == 422
        assert api.delete(one, headers={"If-Match": '"2"'}).status_code == 200
        assert api.get(one).status_code == 404


def test_documents_survive_a_kill_and_a_rebuild(store: Store) -> None:
    fill(store)
    reader = LocalReader(store, follows=False)
    view = reader.create_document(*PLACE, "views", "v", VIEW)
    crashing = (
        "import os, sys\nfrom pathlib import Path\nfrom tracker.recorder.open_store import open_store\n"
        "from tracker.reading.local import LocalReader\n"
        "reader = LocalReader(open_store(Path(sys.argv[1]), create=False), follows=False)\n"
        "os.replace = lambda *paths: os._exit(9)\n"
        "reader.update_document('team', 'demo', 'views', sys.argv[2], 1, content={'lost': 1})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", crashing, str(store.root), view.id], env=scripts.environment(), timeout=60
    )
    assert done.returncode == 9
    assert reader.document(*PLACE, "views", view.id) == view
    store.close()
    layout = Layout(store.root)
    with hold_exclusively(layout) as hold:
        hold.catalog.unlink()
        assert rebuild(layout, hold).broken == []
    again = open_store(layout.root, create=False)
    reader = LocalReader(again, follows=False)
    assert reader.document(*PLACE, "views", view.id) == view
    assert reader.update_document(*PLACE, "views", view.id, 1, name="w").version == 2
    again.close()
    path = layout.document(*PLACE, "views", view.id)
    assert json.loads(path.read_bytes())["name"] == "w"
    path.write_bytes(path.read_bytes().replace(b'"w"', b'"x"'))
    found = command("verify", "--all", "--store", str(layout.root), folder=Path(layout.root).parent)
    assert found.returncode == 1 and os.fspath(path) in found.stdout + found.stderr
