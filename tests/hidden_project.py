"""A store with a private project that is connected with the other projects in all ways, and its users."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from builders import START, Writer, apply_all, artifact_record
from msgspec.structs import replace

from tracker.ground.records import ArtifactLinked
from tracker.recorder.open_store import open_store
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import make_manifest, read_manifest, write_manifest
from tracker.store.ingest.artifact_edits import link_artifact
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.documents import create_document
from tracker.store.ingest.people import Actor, changing_people
from tracker.store.store import Store
from tracker.sweeps.files import Sweep

# Every name and every content of the private project has this text. The second name has the same length and
# exists nowhere.
HIDDEN, MISSING = "zebra", "okapi"
TABLE = b'{"columns": ["a", "b"], "data": [[1, "%s"], [2, "y"]]}'
SHARED = {"notes.txt": b"used everywhere", "more.txt": b"more"}
LINKED = {"weights.bin": b"weights of the linked model"}
# Users with their roles. The first ones cannot read team/zebra.
OUTSIDERS = {
    "guest": {},
    "viewer": {("team", ""): "viewer"},
    "writer": {("team", ""): "writer", ("lab", "shared"): "viewer"},
    "other": {("lab", ""): "admin", ("team", "open"): "viewer"},
}
INSIDERS = {
    "insider": {("team", HIDDEN): "writer"},
    "boss": {("team", ""): "admin"},
    "both": {("team", HIDDEN): "viewer", ("team", "open"): "writer"},
}


def make_store(root: Path, *, hidden: bool = True, linked: bool = True) -> Store:
    """Return a store with the projects team/open, lab/shared and team/zebra.

    Args:
        root: The folder of the store.
        hidden: Whether there is the project team/zebra.
        linked: Whether team/open has contents of team/zebra: a link to a version, and a file in its pack.
    """
    store = open_store(root)
    if hidden:
        _start(store, "b", HIDDEN, "zebra-gone").finish()
        apply_all(store)
    run = _start(store, "1", "open", "run-open", tags=["good"], config={"lr": 0.1}, name="visible")
    run.artifact("data", SHARED, ["latest", "best"])
    run.artifact("data", {**SHARED, "new.txt": b"new"})
    run.finish()
    other = _start(store, "2", "shared", "run-shared", entity="lab")
    other.use("data", 0, "open")
    other.finish()
    apply_all(store)
    _link(store, ("team", "open", "data"), ("team", "open", "published"))
    if hidden:
        _log_hidden(store)
    user = _start(store, "4", "open", "run-user")
    user.use("data", 0, "open")
    user.use("zebra-model", 0, HIDDEN)
    user.finish()
    apply_all(store)
    if hidden:
        _link(store, ("team", "open", "data"), ("team", HIDDEN, "zebra-links"))
        delete_run(store, "team", HIDDEN, "zebra-gone")
        create_document(store, "team", HIDDEN, "notes", "zebra-notes", "zebra text", "zebra-owner")
        Sweep.create(store.layout, "team", HIDDEN, {"name": "zebra-sweep", "parameters": {}})
    create_document(store, "team", "open", "notes", "notes", "text")
    if linked:
        _link(store, ("team", HIDDEN, "zebra-model"), ("team", "open", "registered"))
        _share_pack(store)
    return store


def add_users(store: Store) -> dict[str, str]:
    """Make the private project private and add the users; return a key for each caller."""
    keys = {}
    with changing_people(store, Actor("test")) as change:
        change.set_private("team", HIDDEN, True)
        change.add_user("root", is_admin=True)
        for name, roles in {**OUTSIDERS, **INSIDERS}.items():
            change.add_user(name)
            for (entity, project), role in roles.items():
                change.set_role(name, entity, project, role)
            keys[name] = change.add_key(name)[1]
        keys["owner"] = change.add_key(None)[1]
        keys["limited"] = change.add_key(None, only=("team", "open"))[1]
    return keys


def hashes_of_hidden(store: Store) -> set[str]:
    """Return the digests that only the private project has."""
    content = {hashlib.sha256(b"zebra file").hexdigest()}
    for path in store.layout.version_files():
        if f"/{HIDDEN}/zebra-data/" in str(path):
            text = path.read_text()
            manifest = re.findall(r'"manifest": ?"(\w+)"', text)[0]
            content |= {manifest, *re.findall(r'"digest": ?"([^"]+)"', text)}
            content |= {
                entry.sha256
                for entry in read_manifest(store.blobs, manifest).entries
                if entry.path not in SHARED
            }
    assert len(content) == 4
    return content


def _log_hidden(store: Store) -> None:
    run = _start(
        store,
        "a",
        HIDDEN,
        "zebra-run",
        name="zebra-name",
        tags=["zebra-tag"],
        config={"zebra-key": "zebra"},
        group="zebra-group",
    )
    run.use("data", 0, "open")
    run.file("zebra.txt", b"zebra file")
    run.artifact("zebra-model", LINKED, artifact_type="model")
    run.artifact("zebra-data", {**SHARED, "zebra.txt": b"zebra content"})
    run.finish()
    apply_all(store)


def _start(
    store: Store, number: str, project: str, run_id: str, entity: str = "team", **fields: Any
) -> Writer:
    """Log rows, a table and a file of a new run.

    Args:
        store: The store.
        number: A hex digit: the segment, and the start time.
        project: The project.
        run_id: The id of the run.
        entity: The entity.
        fields: Other fields of the run.
    """
    start = START + int(number, 16) * 100
    run = Writer(store.layout, number * 32, run_id, project=project, entity=entity, start=start, **fields)
    for step in range(3):
        run.log({"x": step, f"{HIDDEN}-metric" if project == HIDDEN else "y": step / 2})
    text = TABLE % (HIDDEN if project == HIDDEN else "x").encode()
    path = f"media/table/{project}.table.json"
    run.file(path, text)
    run.log({"t": {"_type": "table-file", "path": path, "nrows": 2, "ncols": 2}})
    run.file("notes.txt", b"used everywhere")
    return run


def _link(store: Store, source: tuple[str, str, str], target: tuple[str, str, str]) -> None:
    link_artifact(store, ArtifactLinked(*source, 0, "", *target, ["prod"], START))


def _share_pack(store: Store) -> None:
    """Log an artifact of team/open whose file is in a pack together with a content of team/zebra."""
    blobs = BlobStore(store.layout)
    shared, private = b"a shared content", b"zebra content in a pack"
    pack = blobs.add_bytes(private + shared + private).sha256
    alone = artifact_record(blobs, "packed", {"small.txt": shared}, [], START)
    entries = read_manifest(blobs, alone.manifest).entries
    manifest = make_manifest(replace(entry, pack=pack, offset=len(private)) for entry in entries)
    run = Writer(store.layout, "5" * 32, "run-packed", project="open", start=START + 500)
    stored = write_manifest(blobs, manifest).sha256
    run.put(replace(alone, manifest=stored, aliases=["latest"], time=START + 501))
    run.finish()
    apply_all(store)
