"""When a journal cannot be applied, its run shows the error until applying works again."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import Writer
from sqlalchemy import select

from tracker.recorder.follow import Follower
from tracker.store.catalog.models import Run, Segment
from tracker.store.queries.changes import change_batch
from tracker.store.queries.runs import revision, run_detail
from tracker.store.store import Store

A, B = "a" * 32, "b" * 32


def shown(store: Store) -> tuple[list[str], int, int]:
    """Return a run's problems, its rows and the store's revision."""
    with store.reading() as session:
        detail = run_detail(session, "team", "demo", "run1")
        return detail.problems, sum(each.rows for each in detail.segments), revision(session)


def make_unreadable(path: Path) -> Path:
    """Replace a journal by a directory, so that it cannot be read. Return the new path of the journal."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.mkdir()
    return aside


@pytest.fixture
def writer(store: Store) -> Writer:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    writer.log({"x": 2})
    return writer


def test_a_fault_is_shown_with_its_run_until_applying_works(store: Store, writer: Writer) -> None:
    follower = Follower(store)
    follower.poll()
    problems, rows, before = shown(store)
    assert problems == []
    aside = make_unreadable(writer.path)
    follower.poll()
    assert list(follower.faults) == [A]
    (problem,), still, noted = shown(store)
    assert problem.startswith("records wait to be applied: ")
    assert "directory" in problem.lower()
    assert (still, noted) == (rows, before + 1)
    with store.reading() as session:
        assert [each.id for each in change_batch(session, before).runs] == ["run1"]

    follower.poll()
    Follower(store).poll()
    assert shown(store)[2] == noted  # nothing is written while nothing changes

    writer.path.rmdir()
    aside.rename(writer.path)
    writer.log({"x": 3})
    writer.finish()
    follower.poll()
    assert shown(store)[:2] == ([], 3)
    with store.reading() as session:
        assert session.scalar(select(Segment.fault)) is None
        assert session.scalar(select(Run.state)) == "finished"


def test_another_follower_clears_a_fault(store: Store, writer: Writer) -> None:
    follower = Follower(store)
    follower.poll()
    aside = make_unreadable(writer.path)
    follower.poll()
    assert len(shown(store)[0]) == 1
    writer.path.rmdir()
    aside.rename(writer.path)
    Follower(store).poll()
    assert shown(store)[0] == []


def test_a_fault_before_the_first_record_does_not_stop_other_segments(store: Store, writer: Writer) -> None:
    other = Writer(store.layout, B, "run2")
    other.log({"x": 1})
    make_unreadable(writer.path)
    follower = Follower(store)
    follower.poll()
    assert list(follower.faults) == [A]
    with store.reading() as session:
        assert session.scalars(select(Segment.segment)).all() == [B]
        assert run_detail(session, "team", "demo", "run2").problems == []
