"""A catalog that is rebuilt from published files and journals gives the same answers as the former one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import (
    ENTITY,
    PROJECT,
    START,
    Writer,
    all_rows,
    answers,
    apply_all,
    end_segments,
    problems,
    read_history,
    seal_all,
)
from rebuilding import again, everything, lose_catalog, shown, small_parts  # noqa: F401 - a fixture among them
from sqlalchemy import select

from tracker.errors import StoreError, StoreVersionError
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.recorder.open_store import open_store
from tracker.store.catalog.locks import is_held
from tracker.store.catalog.models import ApiKey, Part
from tracker.store.ingest.apply import apply_journal
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.ingest.salvage import clear_forgotten, salvage
from tracker.store.queries import artifacts, captured, runs
from tracker.store.recovery import open_catalog as catalog_module
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

pytestmark = pytest.mark.usefixtures("small_parts")

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
A, B, C, D = (name * 16 for name in ("a1", "b2", "c3", "d4"))


def spoil(writer: Writer, end: int) -> None:
    """Flip a bit in the record that ends before byte ``end``."""
    data = bytearray(writer.path.read_bytes())
    data[end - 5] ^= 1
    writer.path.write_bytes(data)


def write_all(store: Store) -> None:
    """Fill a store: sealed and unsealed segments, resumes, artifacts, aliases that moved, uses, edits."""
    first = Writer(store.layout, A, "alpha", name="first", tags=["t"], config={"lr": 0.1, "big": 2**70})
    for value in range(20):
        first.log({"loss": 1 / (value + 1), "nan": float("nan")})
    first.file("media/a.txt", b"a")
    first.artifact("data", {"a": b"1"}, ["best"])
    first.artifact("data", {"a": b"1"}, ["same"])  # no new version
    first.artifact("data", {"a": b"2"}, ["best"])
    first.artifact("data", {"a": b"1"}, ["old content"])
    first.use("data", 0)
    first.log({"open": 1}, commit=False)
    first.finish()
    Writer(store.layout, B, "alpha", attempt=1, start=START + 100, start_step=10, runtime_base=40.0).log(
        {"loss": 7.0}
    )
    other = Writer(store.layout, C, "beta", start=START, project="other")
    for value in range(20):
        other.log({"x": value})
    other.use("data", 1)
    other.artifact("model", {"w": b"w"}, ["latest"])
    other.finish("failed", 3, "ValueError: it broke")
    Writer(store.layout, D, "gamma", start=START).log({"x": 1})
    apply_all(store)
    apply_edit(store, make_edit(ENTITY, PROJECT, "alpha", {"name": "edited", "tags": ["mine"]}))
    apply_edit(store, make_edit(ENTITY, "other", "beta", {"notes": "remark"}))


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("lost", ["nothing", "catalog", "catalog and its log", "everything in it"])
def test_same_answers(store: Store, sealed: bool, lost: str) -> None:
    write_all(store)
    if sealed:
        seal_all(store)
    before = everything(store)
    with store.reading() as session:
        clock = runs.revision(session)
    store.close()
    if lost == "everything in it":
        store.layout.catalog.write_bytes(os.urandom(9000))
    elif lost != "nothing":
        for path in store.root.glob("catalog.db*" if lost.endswith("log") else "catalog.db"):
            path.unlink()
    found_store, found = again(store)
    apply_all(found_store)
    assert clear_forgotten(found_store, found.forgotten, set()) == []
    assert found.broken == []
    assert (found.runs, found.versions) == (3, 4)
    assert shown(everything(found_store)) == shown(before)
    with found_store.reading() as session:
        assert runs.revision(session) > clock  # so that a waiting dashboard gets the changes
        named = set(session.scalars(select(Part.path)))
    assert {str(path.relative_to(store.root)) for path in store.root.rglob("*.parquet")} == named
    assert [path.name for path in store.layout.temporary.iterdir()] == []
    again_store, _ = again(found_store)  # from the files that the rebuilt store has published
    apply_all(again_store)
    assert shown(everything(again_store)) == shown(before)
    again_store.close()


@pytest.mark.parametrize("version", sorted(path.name for path in FIXTURES.glob("format-*")))
def test_stores_of_every_format(version: str, tmp_path: Path) -> None:
    root, lost = tmp_path / "sealed", tmp_path / "lost"
    for copy in (root, lost):
        shutil.copytree(FIXTURES / version / "sealed", copy)
    store = open_store(root)  # an old catalog is migrated, and its published files are written again
    before = answers(store)
    store, found = again(store)
    assert found.broken == []
    assert shown(answers(store)) == shown(before)
    store.close()
    store.layout.catalog.unlink()
    reopened = open_store(root)
    assert shown(answers(reopened)) == shown(before)
    reopened.close()
    (lost / "catalog.db").unlink()
    without = open_store(lost)
    if version == "format-1":  # its run files lacked the artifacts that a run used
        for answer in before.values():
            if isinstance(answer, dict) and "used_by" in answer.get("detail", {}):
                answer["detail"]["used_by"] = []
    assert shown(answers(without)) == shown(before)
    without.close()


def test_a_lost_catalog_is_never_started_empty(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    write_all(store)
    seal_all(store)
    before = everything(store)
    published = store.layout.run_file(ENTITY, PROJECT, "alpha").read_bytes()
    store.close()
    for path in store.root.glob("catalog.db*"):
        path.unlink()
    reopened = open_store(store.root)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "catalog.db was gone: rebuilt from published files (3 runs, 4 artifact versions)" in said
    assert store.layout.run_file(ENTITY, PROJECT, "alpha").read_bytes() == published
    apply_all(reopened)
    assert shown(everything(reopened)) == shown(before)
    reopened.close()


@pytest.mark.parametrize("content", [b"", "tables of another program"])
def test_an_empty_catalog_counts_as_lost(store: Store, content: bytes | str) -> None:
    write_all(store)
    store.close()
    store.layout.catalog.unlink()
    if content == b"":
        store.layout.catalog.write_bytes(b"")
    else:
        connection = sqlite3.connect(store.layout.catalog)
        connection.execute("CREATE TABLE nobodys (x)")
        connection.close()
    reopened = open_store(store.root)
    with reopened.reading() as session:
        assert {project.name for project in runs.list_projects(session)} == {PROJECT, "other"}
    reopened.close()


def test_a_catalog_that_is_removed_while_it_is_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(store)
    store.layout.catalog.unlink()
    monkeypatch.setattr(catalog_module, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(
        StoreError, match=r"catalog.db is gone while another program has the store open"
    ) as raised:
        open_store(store.root)
    assert "\n" not in str(raised.value)
    store.close()
    open_store(store.root).close()


def test_a_rebuild_is_refused_while_the_store_is_open(store: Store) -> None:
    write_all(store)
    with pytest.raises(
        StoreError, match="is in use: a server or another program has it open; stop it"
    ) as raised:
        with hold_exclusively(store.layout):
            raise AssertionError
    assert "\n" not in str(raised.value)


def test_a_rebuild_is_refused_while_another_program_has_the_catalog_open(store: Store) -> None:
    write_all(store)
    store.close()
    other = sqlite3.connect(store.layout.catalog)
    other.execute("SELECT * FROM runs").fetchall()
    with pytest.raises(StoreError, match="in use by another program"), hold_exclusively(store.layout) as hold:
        rebuild(store.layout, hold)
    other.close()
    again(store)[0].close()


def test_malformed_catalog_names_the_command(store: Store) -> None:
    write_all(store)
    before = everything(store)
    store.close()
    data = bytearray(store.layout.catalog.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    store.layout.catalog.write_bytes(data)
    with pytest.raises(StoreError, match=r"malformed.*; `tracker rebuild` makes a new catalog") as raised:
        damaged = open_store(store.root)
        try:
            answers(damaged)
        finally:
            damaged.close()
    assert "\n" not in str(raised.value)
    rebuilt, found = again(store)
    assert found.kept == store.root / "catalog.db.broken"
    assert found.kept.read_bytes() == data
    apply_all(rebuilt)
    assert shown(everything(rebuilt)) == shown(before)
    rebuilt.close()


def test_newer_files_and_catalogs_are_refused_and_nothing_changed(store: Store) -> None:
    write_all(store)
    store.close()
    connection = sqlite3.connect(store.layout.catalog)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with (
        pytest.raises(StoreVersionError, match="catalog revision 9999"),
        hold_exclusively(store.layout) as hold,
    ):
        rebuild(store.layout, hold)
    store.layout.catalog.unlink()
    file = store.layout.run_file(ENTITY, PROJECT, "alpha")
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with (
        pytest.raises(StoreVersionError, match=r"run.json has format 2, this tracker reads up to 1"),
        hold_exclusively(store.layout) as hold,
    ):
        rebuild(store.layout, hold)
    assert not store.layout.catalog.exists()
    assert list(store.layout.temporary.iterdir()) == []


def test_keys_come_from_the_former_catalog_and_then_from_their_file(store: Store) -> None:
    with store.writing() as session:
        session.add(ApiKey(sha256="ab" * 32, created_at=5.0))
    rebuilt, found = again(store)
    assert found.keys == 1
    with rebuilt.reading() as session:
        assert [(key.sha256, key.created_at) for key in session.scalars(select(ApiKey))] == [("ab" * 32, 5.0)]
    rebuilt.close()
    for keys in (1, None):
        store.layout.catalog.write_bytes(b"garbage" * 1000)
        rebuilt, found = again(store)
        assert found.keys == keys
        rebuilt.close()
        store.layout.people.unlink(missing_ok=True)


@pytest.mark.parametrize("step", ["building", "moving"])
def test_a_rebuild_that_fails_leaves_the_former_catalog(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_all(store)
    before = everything(store)
    store.close()

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            "tracker.store.recovery.catalog_builder.fields_of"
            if step == "building"
            else "tracker.store.recovery.rebuild.install",
            fail,
        )
        with pytest.raises(OSError, match="No space left"), hold_exclusively(store.layout) as hold:
            rebuild(store.layout, hold)
    assert list(store.layout.temporary.iterdir()) == []
    reopened = open_store(store.root)
    assert shown(everything(reopened)) == shown(before)
    reopened.close()


def test_killed_between_moving_the_broken_catalog_away_and_the_new_one_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(store)
    seal_all(store)
    before = everything(store)
    store.close()
    store.layout.catalog.write_bytes(b"garbage" * 1000)
    (store.root / "catalog.db-wal").write_bytes(b"an old log must not meet the new catalog" * 100)
    replace: Callable[..., None] = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == store.layout.catalog:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt), hold_exclusively(store.layout) as hold:
            rebuild(store.layout, hold)
    reopened = open_store(store.root)
    apply_all(reopened)
    assert shown(everything(reopened)) == shown(before)
    reopened.close()


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "zeros": lambda text: "\0" * len(text),
    "no object": lambda text: "[1]",
    "another type": lambda text: text.replace('"tags": [', '"tags": 5, "x": ['),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_run_file_loses_only_its_run(store: Store, how: str) -> None:
    write_all(store)
    seal_all(store)
    before = answers(store)
    file = store.layout.run_file(ENTITY, "other", "beta")
    damaged = DAMAGE[how](file.read_text())
    file.write_text(damaged)
    lose_catalog(store)
    rebuilt, found = again(store)
    apply_all(rebuilt)
    (line,) = found.broken
    assert line.startswith(f"{file} cannot be read and was left out: ")
    assert "\n" not in line
    after = answers(rebuilt)
    assert after["team/demo/alpha"] == before["team/demo/alpha"]
    assert "team/other/beta" not in after
    assert after["team/other/model:v0"]["detail"]["logged_by"] is None
    Writer(store.layout, "ee" * 16, "beta", start=START + 500, project="other").finish()
    apply_all(rebuilt)
    assert file.with_name("run.json.broken").read_text() == damaged  # although the run was published again
    rebuilt.close()


def test_damaged_versions_and_aliases_and_missing_parts(store: Store) -> None:
    write_all(store)
    seal_all(store)
    with store.reading() as session:
        part = session.scalars(select(Part.path)).first()
    assert part is not None
    (store.root / part).unlink()
    store.layout.version(ENTITY, PROJECT, "data", 1).write_text("{")
    store.layout.alias(ENTITY, "other", "model", "latest").write_text("{")
    copy = store.root / "runs" / ENTITY / PROJECT / "copied"
    shutil.copytree(store.layout.run(ENTITY, PROJECT, "alpha"), copy)
    lose_catalog(store)
    rebuilt, found = again(store)
    lines = sorted(found.broken)
    assert len(lines) == 6, lines
    for words in (
        "versions/1.json cannot be read",
        "aliases/best.json was left out: the collection has no version 1",
        "aliases/latest.json cannot be read",
        "copied/run.json was left out: it describes run team/demo/alpha",
        "is missing: its",
        "used team/demo/data:v1, which does not exist",
    ):
        assert sum(words in line for line in lines) == 1, words
    with rebuilt.reading() as session:
        found_versions = artifacts.list_artifacts(session, ENTITY, PROJECT)
    assert [info.version for info in found_versions] == ["v2", "v0"]
    # The number of the damaged version is not used again.
    writer = Writer(store.layout, "ee" * 16, "delta", start=START + 500)
    record = writer.artifact("data", {"a": b"new"}, ["latest"])
    writer.finish()
    apply_all(rebuilt)
    with rebuilt.reading() as session:
        newest = artifacts.list_artifacts(session, ENTITY, PROJECT)[0]
    assert (newest.version, newest.digest, newest.aliases) == ("v3", record.digest, ["latest"])
    rebuilt.close()


@pytest.mark.parametrize("described", ["whole", "damaged"])
def test_old_records_that_are_applied_again_do_not_move_aliases_back(store: Store, described: str) -> None:
    first = Writer(store.layout, A, "first")
    first.artifact("data", {"a": b"1"}, ["best", "first"])
    second = Writer(store.layout, B, "second", start=START + 50)
    second.artifact("data", {"a": b"2"}, ["best"])
    apply_all(store)
    before = answers(store)
    if described == "damaged":
        store.layout.run_file(ENTITY, PROJECT, "first").write_text("{")
    rebuilt, _ = again(store)
    apply_all(rebuilt)
    assert answers(rebuilt) == before
    first.artifact("data", {"a": b"3"}, ["best"])  # a new record of the same journal
    apply_all(rebuilt)
    with rebuilt.reading() as session:
        found = artifacts.list_artifacts(session, ENTITY, PROJECT)
    assert [(info.version, info.aliases) for info in found] == [
        ("v1", []),
        ("v2", ["best", "latest"]),
        ("v0", ["first"]),
    ]
    rebuilt.close()


def test_records_that_are_newer_than_the_run_file_are_applied(store: Store) -> None:
    """A run file may be some seconds old. Records of its journals that are newer are applied as new ones."""
    writer = Writer(store.layout, A)
    apply_all(store)
    writer.file("late.txt", b"late")
    writer.log({"x": 1})
    apply_all(store)
    assert json.loads(store.layout.run_file(ENTITY, PROJECT, "run1").read_text())["files"] == []
    before = everything(store)
    rebuilt, _ = again(store)
    apply_all(rebuilt)
    assert shown(everything(rebuilt)) == shown(before)
    rebuilt.close()


def test_rows_in_parquet_survive_a_lost_journal(store: Store) -> None:
    writer = Writer(store.layout, A, name="named", config={"lr": 1})
    for value in range(7):
        writer.log({"x": value})
    apply_all(store)
    with store.reading() as session:
        assert session.scalars(select(Part.path)).all()
    journal = writer.path.read_bytes()
    writer.path.unlink()
    lose_catalog(store)
    rebuilt, found = again(store)
    (line,) = found.broken
    assert f"run team/demo/run1: the journal of segment {A} is gone" in line
    rows = read_history(rebuilt)
    assert [row["x"] for row in rows] == list(range(len(rows)))
    assert len(rows) >= 6
    assert problems(rebuilt, A) == [
        "the journal is gone: records that were not in Parquet files yet are lost"
    ]
    with rebuilt.reading() as session:
        detail = runs.run_detail(session, ENTITY, PROJECT, "run1")
    assert (detail.name, detail.config, detail.keys[0].count) == ("named", {"lr": 1}, len(rows))
    assert detail.state == "crashed"
    # If the journal comes back, no record is applied twice, nothing is deleted, and a rebuild applies the
    # journal.
    writer.path.write_bytes(journal)
    assert apply_all(rebuilt) == 0
    rebuilt, found = again(rebuilt)
    apply_all(rebuilt)
    assert found.broken == []
    assert [row["x"] for row in read_history(rebuilt)] == list(range(7))
    rebuilt.close()


def test_records_in_the_former_catalog_survive_a_lost_journal(store: Store) -> None:
    writer = Writer(store.layout, A, name="named", config={"lr": 1})
    for value in range(9):
        writer.log({"x": value})
    logged = writer.artifact("data", {"a": b"1"})
    writer.put(SystemSample(writer.tick(), {"cpu": 5.0}))
    writer.put(ConsoleLines(writer.tick(), [(0, 1, "printed")]))
    apply_all(store)
    for value in range(9, 12):  # some are in a part, some are not; the run's file is a few seconds old
        writer.log({"x": value})
    writer.log({"open": 1}, commit=False)
    apply_all(store)
    writer.path.unlink()
    rebuilt, found = again(store)
    (line,) = found.broken
    assert f"the journal of segment {A} is gone; records that are not in the former catalog are lost" in line
    for _ in range(2):
        assert [row.get("x") for row in read_history(rebuilt)] == [*range(12), None]
        with rebuilt.reading() as session:
            detail = runs.run_detail(session, ENTITY, PROJECT, "run1")
            (version,) = artifacts.list_artifacts(session, ENTITY, PROJECT)
            run = runs.get_run(session, ENTITY, PROJECT, "run1")
            (metrics,) = captured.system(session, run, rebuilt.root)
            assert [each.text for each in captured.console(session, run, rebuilt.root).lines] == ["printed"]
        assert (detail.name, detail.config, detail.state) == ("named", {"lr": 1}, "crashed")
        assert (version.digest, metrics.rows[0]["cpu"]) == (logged.digest, 5.0)
        (problem,) = problems(rebuilt, A)
        assert problem == "the journal is gone: records that were not in the former catalog yet are lost"
        seal_all(rebuilt)
    rebuilt, found = again(rebuilt)
    assert found.broken == []
    assert [row.get("x") for row in read_history(rebuilt)] == [*range(12), None]
    rebuilt.close()


def test_rows_that_a_damaged_journal_has_lost_are_copied_from_parquet(store: Store) -> None:
    writer = Writer(store.layout, A)
    ends = [writer.log({"x": value}) for value in range(8)]
    apply_all(store)
    spoil(writer, ends[2])
    writer.log({"x": 8})
    writer.finish()
    lose_catalog(store)
    rebuilt, found = again(store)
    apply_all(rebuilt, final=True)
    assert [row["x"] for row in read_history(rebuilt)] == [0, 1, 3, 4, 5, 6, 7, 8]
    assert clear_forgotten(rebuilt, found.forgotten, set()) == [
        f"the journal of segment {A} lacks 1 rows: they were copied from Parquet files"
    ]
    assert [row["x"] for row in read_history(rebuilt)] == list(range(9))
    assert not any(path.exists() for path in found.forgotten)
    rebuilt.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_lost_catalog_loses_no_row_that_only_a_part_has(store: Store, killed: bool) -> None:
    """Also without the command, and when the rebuilding process is killed before it has copied the rows."""
    writer = Writer(store.layout, A)
    ends = [writer.log({"x": value}) for value in range(8)]
    apply_all(store)
    spoil(writer, ends[2])
    writer.log({"x": 8})
    store.close()
    store.layout.catalog.unlink()
    if killed:
        with hold_exclusively(store.layout) as hold:
            assert rebuild(store.layout, hold).forgotten
    reopened = open_store(store.root)
    if not killed:
        assert [row["x"] for row in read_history(reopened)] == list(range(9))
    writer.finish()
    apply_all(reopened, final=True)
    seal_all(reopened)
    assert [row["x"] for row in read_history(reopened)] == list(range(9))
    assert reopened.layout.list_journals() == []
    (part,) = reopened.layout.run(ENTITY, PROJECT, "run1").rglob("*.parquet")
    assert len(all_rows(reopened, A)) == 9
    assert part.is_file()
    reopened.close()


def test_other_processes_wait_until_a_lost_catalog_has_all_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(store.layout, A)
    for value in range(8):
        writer.log({"x": value})
    apply_all(store)
    store.close()
    store.layout.catalog.unlink()
    seen = []
    plain = salvage

    def look(*arguments: Any) -> list[str]:
        seen.append(is_held(store.layout.store_lock))
        return plain(*arguments)

    monkeypatch.setattr("tracker.recorder.open_store.salvage", look)
    reopened = open_store(store.root)
    assert seen == [True]
    assert not is_held(store.layout.store_lock)
    reopened.close()


def test_a_rebuilt_catalog_skips_damage_that_was_skipped_before(store: Store) -> None:
    """After a rebuild, known damage is skipped immediately. New damage is waited for as usual."""
    writer = Writer(store.layout, A)
    ends = [writer.log({"x": value}) for value in range(4)]
    spoil(writer, ends[1])
    (journal,) = store.layout.list_journals()
    assert apply_journal(store, journal, skip=True).records == 5  # the damage counts as one
    ends = [writer.log({"x": value}) for value in range(4, 7)]
    spoil(writer, ends[1])
    rebuilt, _ = again(store)
    apply_all(rebuilt)
    assert [row["x"] for row in read_history(rebuilt)] == [0, 2, 3, 4]
    (problem,) = problems(rebuilt, A)
    assert "records 2 to 2 are lost" in problem
    rebuilt.close()


def test_runs_that_are_equal_in_the_order_keep_their_order(store: Store) -> None:
    for at, segment in enumerate(("ff", "aa", "cc", "bb")):
        Writer(store.layout, segment * 16, f"run {at}", name="same").finish()
        apply_all(store)
    seal_all(store)

    def order(store: Store) -> list[str]:
        with store.reading() as session:
            return [run.id for run in runs.list_runs(session, ENTITY, PROJECT, order="name").runs]

    before = order(store)
    rebuilt, _ = again(store)
    assert order(rebuilt) == before
    rebuilt.close()


def test_segments_that_ended_without_a_last_record_end_again(store: Store) -> None:
    Writer(store.layout, A).log({"x": 1})
    apply_all(store)
    end_segments(store)
    rebuilt, _ = again(store)
    apply_all(rebuilt)
    end_segments(rebuilt)
    with rebuilt.reading() as session:
        assert runs.run_detail(session, ENTITY, PROJECT, "run1").state == "crashed"
    rebuilt.close()
