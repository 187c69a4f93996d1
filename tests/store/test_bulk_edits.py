"""Changes of many runs at once: through the store and over HTTP, with runs that cannot be changed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all
from serving import serving

from tracker.errors import UsageError
from tracker.ground.bulk_edits import RunResult
from tracker.reading.local import LocalReader
from tracker.reading.reader import Reader
from tracker.reading.remote import RemoteReader
from tracker.recorder.outbox import Remote
from tracker.store.ingest import bulk_edits
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

PLACE = (ENTITY, PROJECT)
ARCHIVED = {"archived": True}


@pytest.fixture(params=["store", "server"])
def reader(request: pytest.FixtureRequest, store: Store) -> Iterator[Reader]:
    """A reader of a store with four ended runs and a running one."""
    for at in range(5):
        writer = Writer(store.layout, f"{at:032x}", f"r{at}", start=START + at, config={"lr": at}, tags=["t"])
        writer.log({"loss": at})
        if at < 4:
            writer.finish()
    apply_all(store)
    if request.param == "store":
        yield LocalReader(store, follows=False)
        return
    with serving(store.root) as server:
        yield RemoteReader(Remote(server.url, "none"), Layout(store.root / "outbox"))
    assert server.errors == []


def ids(reader: Reader, **filters: object) -> list[str]:
    """Return the ids of the runs that match a filter, oldest first."""
    page = reader.runs(*PLACE, limit=100, offset=0, order="created_at", filters=filters)
    assert page.total == len(page.runs)
    return [run.id for run in page.runs]


def test_many_runs_are_changed(reader: Reader) -> None:
    wanted = {"config.lr": {"$gte": 2}}
    counted = reader.change_runs(*PLACE, "edit", filters=wanted, values=ARCHIVED, dry_run=True)
    assert (counted.total, counted.changed, counted.results) == (3, 0, [])
    assert ids(reader) == ["r0", "r1", "r2", "r3", "r4"]
    done = reader.change_runs(*PLACE, "edit", filters=wanted, values={**ARCHIVED, "tags_added": ["new"]})
    assert (done.total, done.changed) == (3, 3)
    assert done.results == [RunResult("r4"), RunResult("r3"), RunResult("r2")]
    assert ids(reader) == ["r0", "r1"]
    assert ids(reader, archived=True) == ["r2", "r3", "r4"]
    assert ids(reader, **{"$or": [{"archived": False}, {"config.lr": 3}]}) == ["r0", "r1", "r3"]
    assert ids(reader, tags="new") == []  # a filter that does not name `archived` finds no archived run
    assert ids(reader, tags="new", archived={"$in": [True, False]}) == ["r2", "r3", "r4"]
    ordered = reader.runs(*PLACE, limit=1, offset=1, order="config.lr")
    assert (ordered.total, [run.id for run in ordered.runs]) == (2, ["r1"])
    assert reader.run(*PLACE, "r3").archived and reader.run(*PLACE, "r3").tags == ["t", "new"]
    reader.change_runs(
        *PLACE, "edit", runs=["r2", "r3", "r4"], values={"archived": False, "tags_removed": ["t"]}
    )
    assert ids(reader, tags="new") == ["r2", "r3", "r4"] and ids(reader, tags="t") == ["r0", "r1"]


def test_errors_of_some_runs_do_not_stop_the_others(reader: Reader) -> None:
    done = reader.change_runs(*PLACE, "delete", runs=["r0", "r4", "no", "r1", "r0"])
    assert (done.total, done.changed) == (4, 2)
    assert [each.id for each in done.results if each.error is None] == ["r0", "r1"]
    errors = {each.id: each.error for each in done.results}
    assert errors["r4"] == "run team/demo/r4 is still running: end it first"
    assert errors["no"] == "there is no run team/demo/no in this store"
    assert ids(reader) == ["r2", "r3", "r4"]
    assert [each.id for each in reader.deleted_runs(*PLACE).runs] == ["r1", "r0"]
    back = reader.change_runs(*PLACE, "restore", runs=["r1", "r2"])
    assert [each.error is None for each in back.results] == [True, False]
    assert ids(reader) == ["r1", "r2", "r3", "r4"]
    reader.purge_run(*PLACE, "r0")
    assert reader.deleted_runs(*PLACE).total == 0
    gone = reader.change_runs(*PLACE, "delete", filters={"state": "finished"}, now=True)
    assert (gone.changed, ids(reader), reader.deleted_runs(*PLACE).total) == (3, ["r4"], 0)


@pytest.mark.parametrize(
    ("action", "options", "message"),
    [
        ("edit", {"values": ARCHIVED}, "give either runs"),
        ("edit", {"runs": ["r0"], "filters": {}, "values": ARCHIVED}, "give either runs"),
        ("edit", {"runs": ["r0"]}, "values belong to the action edit"),
        ("delete", {"runs": ["r0"], "values": ARCHIVED}, "values belong to the action edit"),
        ("edit", {"runs": ["r0"], "values": {"archived": "yes"}}, "archived is true or false, not 'yes'"),
        ("edit", {"runs": ["r0"], "values": {"tags_added": [""]}}, "tags_added are a list of non-empty"),
        ("edit", {"filters": {"colour": 1}, "values": ARCHIVED}, "cannot filter by 'colour'"),
        ("edit", {"filters": {"archived": 1}, "values": ARCHIVED}, "archived: can be compared with true or"),
        ("edit", {"filters": {"archived": {"$gt": True}}, "values": ARCHIVED}, "archived: is true or false"),
        ("restore", {"filters": {}}, "a filter finds no deleted runs"),
        ("edit", {"runs": ["r0"], "values": ARCHIVED, "now": True}, "belong to the action delete"),
        ("edit", {"runs": [f"x{at}" for at in range(1001)], "values": ARCHIVED}, "1001 runs are more than"),
    ],
)
def test_invalid_changes(reader: Reader, action: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reader.change_runs(*PLACE, action, **options)  # type: ignore[arg-type]
    assert ids(reader) == ["r0", "r1", "r2", "r3", "r4"]


def test_tags_that_many_people_add_are_all_kept(store: Store) -> None:
    Writer(store.layout, "aa" * 16, "r0", tags=["t"]).finish()
    apply_all(store)
    reader = LocalReader(store, follows=False)

    def add(at: int) -> None:
        removed = {"tags_removed": ["t"]} if at == 3 else {}
        reader.edit(*PLACE, "r0", {"tags_added": [f"tag{at}"], **removed})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    assert sorted(reader.run(*PLACE, "r0").tags) == sorted(f"tag{at}" for at in range(12))


def test_a_fault_in_one_run_leaves_it_unchanged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run whose change is interrupted keeps all its values."""
    for at in range(3):
        Writer(store.layout, f"{at:032x}", f"r{at}", config={"lr": at}).finish()
    apply_all(store)
    real = bulk_edits.apply_edit

    def fail(store: Store, edit) -> None:  # type: ignore[no-untyped-def]
        if edit.run_id == "r1":
            raise UsageError("no")
        real(store, edit)

    monkeypatch.setattr(bulk_edits, "apply_edit", fail)
    done = bulk_edits.change_runs(
        store, *PLACE, "edit", filters={}, values={"name": "new", "config": {"lr": 9}}
    )
    assert [(each.id, each.error) for each in done.results] == [("r2", None), ("r1", "no"), ("r0", None)]
    reader = LocalReader(store, follows=False)
    assert [(run.name, run.config) for run in (reader.run(*PLACE, f"r{at}") for at in range(3))] == [
        ("new", {"lr": 9}),
        ("r1", {"lr": 1}),
        ("new", {"lr": 9}),
    ]
