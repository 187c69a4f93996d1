"""Missing published files: a rebuild restores files from the former catalog, and reports lost ones."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from builders import ENTITY, PROJECT, START, Writer, answers, apply_all, seal_all
from rebuilding import again, lose_catalog, shown

from tracker.errors import StoreVersionError
from tracker.ground import values
from tracker.ground.records import ArtifactChanged
from tracker.recorder.open_store import open_store
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.ingest.collections import change_collection
from tracker.store.objects.layout import Layout
from tracker.store.queries import artifacts
from tracker.store.recovery.missing_files import examine_files, known_files
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def write(store: Store, segment: str, run: str, *contents: bytes, start: float = START) -> Writer:
    """Write a sealed run that logs versions of an artifact."""
    writer = Writer(store.layout, segment, run, start=start, name=f"name of {run}")
    for value in range(5):
        writer.log({"x": value})
    for content in contents:
        writer.artifact("data", {"a": content}, ["best"], description="words", metadata={"a": 1})
    writer.finish()
    apply_all(store)
    seal_all(store)
    return writer


def doctor(store: Layout) -> list[str]:
    """Return the lines of `tracker doctor` about the files of a closed store."""
    known = {}
    if (store.root / "catalog.db").exists():
        with closing(sqlite3.connect(store.root / "catalog.db")) as catalog:
            known = known_files(store, catalog)
    return [*examine_files(store, known)]


def paths(layout: Layout) -> dict[str, list[Path]]:
    return {
        "run": [layout.run_file(ENTITY, PROJECT, "run1")],
        "version": [layout.version(ENTITY, PROJECT, "data", 1)],
        "aliases": layout.alias_files(ENTITY, PROJECT, "data"),
        "collection": [layout.collection_file(ENTITY, PROJECT, "data")],
    }


@pytest.mark.parametrize("how", ["gone", "damaged"])
@pytest.mark.parametrize("what", ["run", "version", "aliases", "collection"])
def test_files_are_restored_from_an_undamaged_catalog(store: Store, what: str, how: str) -> None:
    write(store, A, "run1", b"1", b"2")
    change_collection(store, ENTITY, PROJECT, "data", {"description": "of all", "tags": ["t"]})
    before, files = answers(store), paths(store.layout)[what]
    store.close()
    assert doctor(store.layout) == []
    for path in files:
        path.unlink() if how == "gone" else path.write_text("{")
    if what == "aliases" and how == "gone":
        files[0].parent.rmdir()
    if how == "gone":
        assert [line.split(" is missing: `tracker rebuild` ")[0] for line in doctor(store.layout)] == [
            str(path) for path in files
        ]
    rebuilt, found = again(store)
    assert (found.broken, sorted(found.restored)) == ([], sorted(files))
    assert shown(answers(rebuilt)) == shown(before)
    lose_catalog(rebuilt)
    assert doctor(store.layout) == []
    reopened = open_store(store.root)
    assert shown(answers(reopened)) == shown(before)
    reopened.close()


@pytest.mark.parametrize("lost", [True, False])
def test_run_files_are_restored_from_the_catalog_of_an_older_tracker(tmp_path: Path, lost: bool) -> None:
    """Its catalog also knows which artifacts a run used, which the run files of that tracker lack."""
    for name in ("opened", "rebuilt"):
        shutil.copytree(FIXTURES / "format-1" / "sealed", tmp_path / name)
    store = open_store(tmp_path / "opened")
    before = answers(store)
    store.close()
    layout = Layout(tmp_path / "rebuilt")
    layout.make()
    if lost:
        for path in layout.run_files():
            path.unlink()
    with hold_exclusively(layout) as hold:
        found = rebuild(layout, hold)
    assert found.broken == []
    lose_catalog(open_store(layout.root))
    rebuilt = open_store(layout.root)
    assert shown(answers(rebuilt)) == shown(before)
    rebuilt.close()


@pytest.mark.parametrize("newer", ["run", "version", "collection"])
def test_nothing_is_restored_where_a_newer_tracker_wrote_a_file(store: Store, newer: str) -> None:
    write(store, A, "run1", b"1", b"2")
    write(store, B, "run2", start=START + 100)
    change_collection(store, ENTITY, PROJECT, "data", {"description": "of all"})
    store.close()
    (path,) = paths(store.layout)[newer]
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    store.layout.version(ENTITY, PROJECT, "data", 0).unlink()
    store.layout.run_file(ENTITY, PROJECT, "run2").write_text("{")

    def look() -> dict[Path, bytes]:
        found = [
            *store.root.glob("catalog*"),
            *store.root.glob("runs/**/*"),
            *store.root.glob("artifacts/**/*"),
        ]
        return {path: path.read_bytes() for path in found if path.is_file()}

    before = look()
    with (
        pytest.raises(StoreVersionError, match=r"has format 2, .* Nothing was changed\.$"),
        hold_exclusively(store.layout) as hold,
    ):
        rebuild(store.layout, hold)
    assert look() == before


def test_an_unsealed_run_whose_file_is_gone_moves_no_alias_back(store: Store) -> None:
    writer = Writer(store.layout, A)
    logged = writer.artifact("data", {"a": b"1"}, ["best"])
    apply_all(store)
    change = ArtifactChanged(ENTITY, PROJECT, "data", 0, logged.digest, START + 9, aliases_removed=["best"])
    change_artifact(store, change)
    before = answers(store)
    store.layout.run_file(ENTITY, PROJECT, "run1").unlink()
    rebuilt, found = again(store)
    apply_all(rebuilt)
    assert found.broken == []
    assert shown(answers(rebuilt)) == shown(before)
    rebuilt.close()


def test_a_deleted_run_does_not_come_back(store: Store) -> None:
    write(store, A, "run1")
    tombstone = store.layout.tombstone(ENTITY, PROJECT, "run1")
    described = {"format": 1, "entity": ENTITY, "project": PROJECT, "id": "run1", "time": START + 100}
    tombstone.write_text(values.dumps(described))  # a kill before the change of the catalog
    store.layout.run_file(ENTITY, PROJECT, "run1").unlink()
    store.close()
    assert doctor(store.layout) == []
    rebuilt, found = again(store)
    assert (found.runs, found.broken, found.restored) == (0, [], [])
    rebuilt.close()


def lose_run_file(layout: Layout) -> None:
    layout.run_file(ENTITY, PROJECT, "run1").unlink()


def lose_runs(layout: Layout) -> None:
    shutil.rmtree(layout.root / "runs")


def lose_old_version(layout: Layout) -> None:
    path = layout.run_file(ENTITY, PROJECT, "run1")
    described = values.loads(path.read_bytes())
    del described["versions"]  # as an older tracker wrote the file
    path.write_text(values.dumps(described))
    layout.version(ENTITY, PROJECT, "data", 0).unlink()


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lose_run_file, "runs/team/demo/run1 has no run.json: the run is lost, its rows are in"),
        (lose_runs, "run team/demo/run1 is lost: it logged data, and"),
        (lose_old_version, "versions/0.json is missing: the version is lost"),
    ],
)
@pytest.mark.parametrize("catalog", ["lost", "damaged"])
def test_losses_that_cannot_be_recovered_are_reported(
    store: Store, lose: Callable[[Layout], None], words: str, catalog: str
) -> None:
    write(store, A, "run1", b"1", b"2")
    lose(store.layout)
    store.close()
    if catalog == "damaged":
        with closing(sqlite3.connect(store.layout.catalog)) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("DELETE FROM sqlite_master WHERE name = 'ix_versions_run'")
            connection.commit()
    else:
        lose_catalog(store)
        assert [words in line for line in doctor(store.layout)] == [True]
    rebuilt, found = again(store)
    (line,) = found.broken
    assert words in line
    assert found.restored == []
    assert found.kept == (store.root / "catalog.db.broken" if catalog == "damaged" else None)
    rebuilt.close()
    assert [words in line for line in doctor(store.layout)] == [True]


def test_missing_parts_of_a_run_are_reported(store: Store) -> None:
    write(store, A, "run1")
    store.close()
    shutil.rmtree(store.root / "runs")
    rebuilt, found = again(store)
    (line,) = found.broken
    assert line.endswith(".parquet is missing: its 5 rows are lost")
    rebuilt.close()
    assert doctor(store.layout) == [line.replace("its 5 rows", "its rows")]


def test_a_part_outside_the_store_is_not_looked_for(store: Store) -> None:
    write(store, A, "run1")
    (path,) = store.layout.run_files()
    said = values.loads(path.read_bytes())
    said.pop("checksum", None)
    said["segments"][0]["parts"][0]["path"] = "../../etc/passwd"
    path.write_text(values.dumps(said))
    (line,) = doctor(store.layout)
    assert line.startswith(f"{path} cannot be read: ")


def test_a_run_lists_the_versions_that_it_logged(store: Store) -> None:
    write(store, A, "run1", b"1", b"2")
    before = answers(store)
    folder = store.layout.collection(ENTITY, PROJECT, "data")
    shutil.rmtree(folder)
    lose_catalog(store)
    assert doctor(store.layout) == [f"{folder}/versions/0.json to 1.json are missing: the versions are lost"]
    rebuilt, found = again(store)
    assert [line.partition(" was missing")[0] for line in found.broken] == [
        f"{folder}/aliases is missing: the aliases of this collection are lost",
        f"{folder}/versions/0.json",
        f"{folder}/versions/1.json",
    ]
    with rebuilt.reading() as session:
        versions = artifacts.list_artifacts(session, ENTITY, PROJECT)
    assert [(each.version, each.aliases, each.logged_by) for each in versions] == [
        ("v1", ["latest"], "run1"),
        ("v0", [], "run1"),
    ]
    after = answers(rebuilt)
    for name in ("data:v0", "data:v1"):
        kept, lost = (each[f"{ENTITY}/{PROJECT}/{name}"] for each in (after, before))
        assert (kept["files"], kept["contents"]) == (lost["files"], lost["contents"])
        for field in ("type", "digest", "manifest", "size", "file_count", "created_at"):
            assert kept["detail"][field] == lost["detail"][field]
    rebuilt.close()
    assert doctor(store.layout) == []
    rebuilt, found = again(store)
    assert found.broken == []
    rebuilt.close()


def test_a_version_that_was_deleted_does_not_come_back(store: Store) -> None:
    write(store, A, "run1", b"1", b"2")
    with store.reading() as session:
        detail = artifacts.artifact_detail(session, ENTITY, PROJECT, "data", "v1")
    change_artifact(
        store, ArtifactChanged(ENTITY, PROJECT, "data", 1, detail.digest, START + 99, deleted=True)
    )
    store.layout.version(ENTITY, PROJECT, "data", 1).unlink()
    lose_catalog(store)
    rebuilt, found = again(store)
    assert (found.versions, found.broken) == (1, [])
    rebuilt.close()


@pytest.mark.parametrize("kept", ["first", "second"])
def test_a_version_number_that_two_merged_stores_have_is_reported(
    store: Store, tmp_path: Path, kept: str
) -> None:
    write(store, A, "run1", b"1", b"same")
    second = open_store(tmp_path / "second")
    write(second, B, "run2", b"2", b"same", start=START + 100)
    second.close()
    lost = second if kept == "first" else store
    digest = values.loads(lost.layout.version(ENTITY, PROJECT, "data", 0).read_bytes())["digest"]
    store.close()
    for path in sorted(second.root.rglob("*")):  # as `cp -r` or `cp -rn` does
        copy = store.root / path.relative_to(second.root)
        if path.parts[len(second.root.parts)] in ("runs", "artifacts", "blobs") and path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or (kept == "second" and path.suffix == ".json"):
                shutil.copy(path, copy)
    version = store.layout.version(ENTITY, PROJECT, "data", 0)
    expected = (
        f"{version} describes a different version than the file of run {ENTITY}/{PROJECT}/"
        f"{'run2' if kept == 'first' else 'run1'} (two stores may have been merged): "
        f"the version with digest {digest} is lost"
    )
    assert doctor(store.layout) == [expected]
    rebuilt, found = again(store)
    assert (found.runs, found.broken) == (2, [expected])
    rebuilt.close()
    assert doctor(store.layout) == [expected]


def test_an_automatic_rebuild_writes_no_file_that_may_still_come(store: Store, tmp_path: Path) -> None:
    """A process may open a copy of a store before all files are copied."""
    write(store, A, "run1", b"1", b"2")
    before = answers(store)
    lose_catalog(store)
    shutil.copytree(store.root, tmp_path / "copy")
    copy = Layout(tmp_path / "copy")
    shutil.rmtree(copy.collection(ENTITY, PROJECT, "data"))
    opened = open_store(copy.root)
    assert not copy.collection(ENTITY, PROJECT, "data").exists()
    with opened.reading() as session:
        versions = artifacts.list_artifacts(session, ENTITY, PROJECT)
    assert [(each.version, each.aliases) for each in versions] == [("v1", ["latest"]), ("v0", [])]
    # The numbers of the missing versions are not used again.
    writer = Writer(copy, B, "run2", start=START + 50)
    writer.artifact("data", {"a": b"3"}, ["new"])
    writer.finish()
    apply_all(opened)
    assert [path.name for path in copy.version_files()] == ["2.json"]
    opened.close()
    for path in store.layout.collection(ENTITY, PROJECT, "data").rglob("*.json"):  # the rest of the copy
        target = copy.root / path.relative_to(store.root)
        if target.stem != "latest":
            assert not target.exists()
            shutil.copy(path, target)
    rebuilt, found = again(opened)
    assert found.broken == []
    after = answers(rebuilt)
    for version in ("v0", "v1"):
        known, copied = (each[f"{ENTITY}/{PROJECT}/data:{version}"]["detail"] for each in (before, after))
        for field in ("description", "metadata", "digest", "logged_by"):
            assert copied[field] == known[field]
    rebuilt.close()
