"""The overview of a project: days, states, and sizes without links and deleted versions."""

from __future__ import annotations

from builders import START, Writer, apply_all

from tracker.store.ingest.people import Actor, changing_people
from tracker.store.queries.project_overview import DAY, project_overview
from tracker.store.store import Store

DAY_OF_START = START // DAY * DAY


def test_runs_are_counted_on_their_day(store: Store) -> None:
    for at, (days, state) in enumerate([(0, "finished"), (0, "failed"), (2, "finished"), (5, "finished")]):
        writer = Writer(store.layout, f"{at}" * 32, f"run{at}", start=START + days * DAY)
        writer.finish(state)
    Writer(store.layout, "9" * 32, "other", project="other").finish()
    apply_all(store)
    with store.reading() as session:
        found = project_overview(session, "team", "demo", days=4, now=START + 3 * DAY)
        assert found.first_day == DAY_OF_START
        assert found.runs_per_day == [2, 0, 1, 1]  # the clock of the last run's host is two days ahead
        assert found.states == {"failed": 1, "finished": 3}
        later = project_overview(session, "team", "demo", days=2, now=START + 3 * DAY)
        assert later.runs_per_day == [1, 1]


def test_size_is_that_of_the_versions_of_the_project(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    writer.artifact("data", {"a": b"x" * 100, "b": b"y" * 50})
    writer.artifact("data", {"a": b"x" * 100})
    writer.finish()
    apply_all(store)
    with store.reading() as session:
        found = project_overview(session, "team", "demo", days=1, now=START)
    assert (found.versions, found.artifact_bytes, found.private) == (2, 250, False)


def test_private_project_is_marked(store: Store) -> None:
    with changing_people(store, Actor("test")) as change:
        change.set_private("team", "demo", True)
    with store.reading() as session:
        assert project_overview(session, "team", "demo", days=1, now=START).private
        assert not project_overview(session, "team", "other", days=1, now=START).private
