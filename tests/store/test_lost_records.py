"""Journals that lack applied records: a rebuild recovers records from other files, and reports lost ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import (
    ENTITY,
    PROJECT,
    Writer,
    answers,
    apply_all,
    end_segments,
    problems,
    read_history,
    seal_all,
)
from rebuilding import again, lose_catalog, shown, small_parts  # noqa: F401 - a fixture among them
from sqlalchemy import select

from tracker.ground.records import ConfigChanged
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run
from tracker.store.ingest.salvage import clear_forgotten
from tracker.store.published.runs import publish_run
from tracker.store.queries import runs
from tracker.store.recovery.rebuild import Rebuilt
from tracker.store.store import Store

pytestmark = pytest.mark.usefixtures("small_parts")

A = "aa" * 16


def write(store: Store) -> Writer:
    """Write an unsealed run with two journal files. Its run.json is older than its last records."""
    writer = Writer(store.layout, A, name="named", config={"lr": 1})
    for value in range(7):
        writer.log({"x": value})
    apply_all(store)
    writer.next_file()
    writer.put(ConfigChanged({"late": 2}))
    for value in range(7, 10):
        writer.log({"x": value})
    writer.file("late.txt", b"late")
    apply_all(store)
    return writer


def first(writer: Writer) -> Path:
    return writer.path.with_name(writer.path.name.replace("-000001.", "-000000."))


def cut_last(writer: Writer) -> None:
    writer.path.write_bytes(writer.path.read_bytes()[:-200])


def empty_last(writer: Writer) -> None:
    writer.path.write_bytes(b"")


def lose_first(writer: Writer) -> None:
    first(writer).unlink()


def lose_last(writer: Writer) -> None:
    writer.path.unlink()


def spoil_first(writer: Writer) -> None:
    data = bytearray(first(writer).read_bytes())
    data[-5] ^= 1
    first(writer).write_bytes(data)


def lose_all(writer: Writer) -> None:
    lose_first(writer)
    lose_last(writer)


WAYS = [cut_last, empty_last, lose_first, lose_last, spoil_first, lose_all]


def follow(store: Store, found: Rebuilt) -> list[str]:
    """Apply the journals, as the command does after a rebuild; return the lines that the command prints."""
    apply_all(store)
    return [*found.broken, *clear_forgotten(store, found.forgotten, set())]


def look(store: Store) -> dict[str, Any]:
    """Return the answers of the queries, without problems and without the state of the writer."""
    found = answers(store)
    run = found["team/demo/run1"]["run"]
    for state in (found["team/demo"]["runs"][0], run, *run["segments"]):
        state.update(problems=None, state=None, finished_at=None, ended_at=None)
    return found


@pytest.mark.parametrize("lose", WAYS)
def test_an_undamaged_catalog_has_the_records_that_journals_lack(
    store: Store, lose: Callable[[Writer], None]
) -> None:
    writer = write(store)
    before = look(store)
    store.close()
    lose(writer)
    rebuilt, found = again(store)
    said = follow(rebuilt, found)
    assert shown(look(rebuilt)) == shown(before)
    how = "is gone" if lose is lose_all else "lacks records that had been applied"
    lost = "records that are not in the former catalog are lost"
    line = f"run team/demo/run1: the journal of segment {A} {how}; {lost}"
    # If only the first journal is damaged, the applied offset still exists, so no record is lost.
    assert said == ([] if lose in (lose_first, spoil_first) else [line])
    assert [line.partition(":")[0] for line in problems(rebuilt, A)] == [f"the journal {how}"] * len(said)
    rebuilt, found = again(rebuilt)
    assert follow(rebuilt, found) == (said if lose in (lose_last, lose_all) else [])
    assert shown(look(rebuilt)) == shown(before)
    end_segments(rebuilt)
    seal_all(rebuilt)
    lose_catalog(rebuilt)
    reopened = open_store(store.root)
    assert shown(look(reopened)) == shown(before)
    reopened.close()


@pytest.mark.parametrize("lose", [cut_last, lose_first])
def test_a_writer_that_continues_after_the_rebuild_is_followed(
    store: Store, lose: Callable[[Writer], None]
) -> None:
    writer = write(store)
    store.close()
    lose(writer)
    rebuilt, found = again(store)
    follow(rebuilt, found)
    writer.log({"x": 10})
    writer.finish()
    apply_all(rebuilt)
    assert [row["x"] for row in read_history(rebuilt)] == list(range(11))
    with rebuilt.reading() as session:
        assert runs.run_detail(session, ENTITY, PROJECT, "run1").state == "finished"
    rebuilt.close()


@pytest.mark.parametrize("lose", WAYS)
def test_without_a_catalog_lost_records_are_reported(store: Store, lose: Callable[[Writer], None]) -> None:
    writer = write(store)
    with store.writing() as session:  # as if some seconds had passed: run.json is up to date
        publish_run(store.layout, session, session.scalars(select(Run)).one())
    lose_catalog(store)
    lose(writer)
    rebuilt, found = again(store)
    assert any(f"run team/demo/run1: the journal of segment {A} " in line for line in follow(rebuilt, found))
    with rebuilt.reading() as session:
        detail = runs.run_detail(session, ENTITY, PROJECT, "run1")
    assert (detail.name, detail.config["lr"]) == ("named", 1)
    assert [row["x"] for row in read_history(rebuilt)][:6] == list(range(6))  # the rows of the part
    rebuilt.close()


def test_a_catalog_that_is_older_than_the_run_file_is_not_used(store: Store) -> None:
    writer = Writer(store.layout, A, name="named")
    writer.log({"x": 0})
    apply_all(store)
    store.close()
    old = store.layout.catalog.read_bytes()
    store = open_store(store.root)
    for value in range(1, 8):
        writer.log({"x": value})
    apply_all(store)
    with store.writing() as session:
        publish_run(store.layout, session, session.scalars(select(Run)).one())
    lose_catalog(store)
    store.layout.catalog.write_bytes(old)
    writer.path.unlink()
    rebuilt, found = again(store)
    (line,) = found.broken
    assert line.endswith("records that are not in Parquet files are lost")
    assert [row["x"] for row in read_history(rebuilt)] == list(range(8))
    rebuilt.close()
