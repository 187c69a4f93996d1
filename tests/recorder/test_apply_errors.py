"""A segment whose journal cannot be applied says so with its run, until it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import Writer
from sqlalchemy import select

from tracker.recorder.follow import Follower
from tracker.store.catalog.models import Run, Segment
from tracker.store.queries.runs import changes_since, revision, run_detail
from tracker.store.store import Store

A, B = "a" * 32, "b" * 32


def shown(store: Store) -> tuple[list[str], int, int]:
    """Return a run's problems, its rows and the store's revision."""
    with store.reading() as session:
        detail = run_detail(session, "team", "demo", "run1")
        return detail.problems, sum(each.rows for each in detail.segments), revision(session)


def in_the_way(path: Path) -> Path:
    """Put a directory where a journal was, as a failing disk would: it cannot be read; return the journal."""
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


def test_a_fault_shows_with_its_run_and_goes_away_when_applying_works(store: Store, writer: Writer) -> None:
    follower = Follower(store)
    follower.poll()
    problems, rows, before = shown(store)
    assert problems == []
    aside = in_the_way(writer.path)
    follower.poll()
    assert list(follower.faults) == [A]
    (problem,), still, noted = shown(store)
    assert problem.startswith("records wait to be applied: ")
    assert "directory" in problem.lower()
    assert (still, noted) == (rows, before + 1)
    with store.reading() as session:
        assert [each.id for each in changes_since(session, before).runs] == ["run1"]

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


def test_another_follower_takes_a_fault_back(store: Store, writer: Writer) -> None:
    follower = Follower(store)
    follower.poll()
    aside = in_the_way(writer.path)
    follower.poll()
    assert len(shown(store)[0]) == 1
    writer.path.rmdir()
    aside.rename(writer.path)
    Follower(store).poll()
    assert shown(store)[0] == []


def test_a_fault_before_the_first_record_is_known_only_here_and_stops_nobody(
    store: Store, writer: Writer
) -> None:
    other = Writer(store.layout, B, "run2")
    other.log({"x": 1})
    in_the_way(writer.path)
    follower = Follower(store)
    follower.poll()
    assert list(follower.faults) == [A]
    with store.reading() as session:
        assert session.scalars(select(Segment.segment)).all() == [B]
        assert run_detail(session, "team", "demo", "run2").problems == []
