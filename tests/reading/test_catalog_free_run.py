"""A run read from files equals the run in the catalog. The catalog answers what the files cannot answer."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from builders import ENTITY, PROJECT, Writer, apply_all, seal_all

import tracker
from tracker.errors import NotFoundError, StoreError
from tracker.ground import values
from tracker.ground.processes import host_name
from tracker.ground.records import SummaryChanged
from tracker.reading import catalog_free_run
from tracker.reading.catalog_free_run import CatalogFreeRunReader, find_catalog_free_run
from tracker.reading.local import LocalReader
from tracker.store.store import Store

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16
PLACE = (ENTITY, PROJECT, "run1")


@pytest.fixture(autouse=True)
def written_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "HOST", host_name())


def everything(reader: Any) -> str:
    detail = reader.run(*PLACE)
    found: dict[str, Any] = {
        "run": msgspec.to_builtins(detail),
        "history": reader.history(*PLACE, None, False),
        "some": reader.history(*PLACE, ["loss", "note"], False),
        "complete": reader.history(*PLACE, ["loss", "note"], True),
        "columns": reader.table(*PLACE, None, None).to_pydict(),
        "loss": reader.table(*PLACE, ["loss"], None).to_pydict(),
    }
    for segment in detail.segments:
        found[segment.id] = reader.history(*PLACE, None, False, segment.id)
        found[segment.id + " columns"] = reader.table(*PLACE, None, segment.id).to_pydict()
    return values.dumps(found, indent=1, sort_keys=True)


def refuse() -> Any:
    raise AssertionError("the catalog was asked")


def write(store: Store) -> None:
    first = Writer(store.layout, A, config={"lr": 0.1}, name="first", tags=["x"])
    for at in range(20):
        first.log({"loss": at / 2, "big": 2**70 + at})
    first.log({"loss": 7}, step=3)  # a smaller step
    first.log({"loss": None, "note": "text"}, step=25)
    first.finish("failed", 1, "ValueError: no")
    second = Writer(store.layout, B, start=first.clock + 60, attempt=1, start_step=10, notes="again")
    for at in range(20):
        second.log({"loss": -float(at), "note": {"a": [at]}} if at % 2 else {"loss": float("nan")})
    second.put(SummaryChanged({"best": float("inf")}))
    second.finish()
    other = Writer(store.layout, C, start=first.clock, rank=1, config={"lr": 9, "rank": 1})
    other.log({"gpu": 1})
    other.finish()


@pytest.mark.parametrize("state", ["not applied", "applied", "partly sealed", "sealed"])
def test_files_and_catalog_agree(store: Store, state: str) -> None:
    write(store)
    if state == "applied":
        apply_all(store)
    if state == "partly sealed":
        later = [journal.path for journal in store.layout.list_journals() if journal.segment != A]
        for path in later:
            path.rename(path.with_suffix(".later"))
        apply_all(store)
        seal_all(store)
        for path in later:
            path.with_suffix(".later").rename(path)
    if state == "sealed":
        apply_all(store)
        seal_all(store)
    by_files = everything(CatalogFreeRunReader(store.layout, refuse))
    apply_all(store)
    assert by_files == everything(LocalReader(store))


def test_a_copy_opens_no_catalog(store: Store) -> None:
    assert copy.copy(CatalogFreeRunReader(store.layout, refuse)).journals() == store.layout


def test_cases_that_need_the_catalog(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_catalog_free_run(store.layout, PLACE) is None
    with pytest.raises(NotFoundError):
        CatalogFreeRunReader(store.layout, lambda: LocalReader(store)).run(*PLACE)
    writer = Writer(store.layout, A)
    writer.log({"loss": 1.0})
    assert find_catalog_free_run(store.layout, PLACE) is None  # the run is still running
    writer.finish()
    assert find_catalog_free_run(store.layout, PLACE) is not None
    apply_all(store)
    monkeypatch.setattr(catalog_free_run, "LONGEST_JOURNALS", 100)
    assert find_catalog_free_run(store.layout, PLACE) is None
    assert CatalogFreeRunReader(store.layout, lambda: LocalReader(store)).run(*PLACE).state == "finished"
    monkeypatch.undo()
    path = store.layout.run_file(*PLACE)
    path.write_bytes(path.read_bytes()[:-20])  # a damaged file
    assert CatalogFreeRunReader(store.layout, lambda: LocalReader(store)).run(*PLACE).state == "finished"


def test_a_damaged_journal_needs_the_catalog(store: Store) -> None:
    writer = Writer(store.layout, A)
    middle = writer.log({"loss": 1.0})
    writer.log({"loss": 2.0})
    writer.finish()
    data = bytearray(writer.path.read_bytes())
    data[middle + 25] ^= 1
    writer.path.write_bytes(data)
    assert find_catalog_free_run(store.layout, PLACE) is None


@pytest.mark.parametrize("lost", ["the end of the first file", "the first file"])
def test_a_gap_between_two_files_needs_the_catalog(
    store: Store, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(store.layout, A)
    writer.log({"loss": 0.0})
    first, end = writer.path, writer.log({"loss": 1.0})
    writer.log({"loss": 2.0})
    writer.next_file()
    writer.log({"loss": 3.0})
    writer.finish()
    assert find_catalog_free_run(store.layout, PLACE) is not None
    if lost == "the first file":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:end])  # complete frames are lost, so the rest looks undamaged
    assert find_catalog_free_run(store.layout, PLACE) is None
    if lost != "the first file":
        # The catalog waits for missing records. Here the waiting time is over.
        monkeypatch.setattr("tracker.store.objects.layout.MISSED_SECONDS", -1.0)
        run = CatalogFreeRunReader(store.layout, lambda: LocalReader(store)).run(*PLACE)
        assert any("missing" in problem or "lost" in problem for problem in run.problems), run.problems


@pytest.mark.parametrize("sealed", [False, True])
def test_keys_named_like_the_columns_of_every_row(store: Store, sealed: bool) -> None:
    writer = Writer(store.layout, A)
    for at in range(3):
        writer.log({"_timestamp": 5.0 + at, "_step": "mine", "_runtime": None, "_row": at, "~_row": -at})
    writer.finish()
    if sealed:
        apply_all(store)
        seal_all(store)
    reader = CatalogFreeRunReader(store.layout, refuse)
    found = reader.table(*PLACE, None, None).to_pydict()
    assert found == {
        "_step": [0, 1, 2],
        "_runtime": [1.0, 2.0, 3.0],
        "_timestamp": [5.0, 6.0, 7.0],
        "_row": [0, 1, 2],
        "~_row": [0, -1, -2],
    }
    assert reader.history(*PLACE, None, False) == [
        {key: column[at] for key, column in found.items()} for at in range(3)
    ]


def test_a_lost_or_damaged_part_is_named_in_one_line(store: Store) -> None:
    write(store)
    apply_all(store)
    seal_all(store)
    (part,) = (store.root / "runs").rglob(f"{A}-*.parquet")
    content = part.read_bytes()
    for damaged in (b"", content[:200], bytes(len(content)), None):
        if damaged is None:
            part.unlink()
        else:
            part.write_bytes(damaged)
        for reader in (LocalReader(store), CatalogFreeRunReader(store.layout, lambda: LocalReader(store))):
            for ask in (
                lambda: reader.history(*PLACE, None, False),  # noqa: B023
                lambda: reader.table(*PLACE, ["loss"], None),  # noqa: B023
            ):
                with pytest.raises(StoreError, match="from a backup") as caught:
                    ask()
                assert part.name in str(caught.value)
                assert "\n" not in str(caught.value)
        assert [row["gpu"] for row in LocalReader(store).history(*PLACE, None, False, C)] == [1]
    path = store.layout.run_file(*PLACE)
    described = values.loads(path.read_bytes())
    path.write_text(values.dumps({**described, "segments": []}))
    assert CatalogFreeRunReader(store.layout, lambda: LocalReader(store)).run(*PLACE).attempts == 2


def test_rows_at_negative_steps_and_keys_named_twice(store: Store) -> None:
    writer = Writer(store.layout, A)
    for step in (3, -2, 5):
        writer.log({"loss": 1.0, "step": step}, step=step)
    writer.finish()
    run = tracker.Api({"store": str(store.root)}).run("/".join(PLACE))
    assert [row["step"] for row in run.scan_history()] == [-2, 3, 5]
    assert [row["step"] for row in run.scan_history(min_step=-1)] == [3, 5]
    assert list(run.scan_history(["step", "step"], max_step=5)) == [{"step": -2}, {"step": 3}]


def test_journals_of_another_host_are_visible_only_after_they_are_applied(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "HOST", "elsewhere")
    write(store)
    reader = CatalogFreeRunReader(store.layout, lambda: LocalReader(store))
    for _ in range(2):  # the answer is the same before and after the catalog was opened
        with pytest.raises(NotFoundError):
            reader.run(*PLACE)
    apply_all(store)
    assert reader.run(*PLACE).state == "finished"
    seal_all(store)
    assert everything(CatalogFreeRunReader(store.layout, refuse)) == everything(reader)


def test_unknown_segment(store: Store) -> None:
    write(store)
    with pytest.raises(NotFoundError, match="has no segment 'nowhere'"):
        CatalogFreeRunReader(store.layout, refuse).history(*PLACE, None, False, "nowhere")


def test_reading_one_run_imports_no_database(store: Store) -> None:
    write(store)
    code = """
import sys, tracker
run = tracker.Api({"store": sys.argv[1]}).run("team/demo/run1")
assert len(list(run.scan_history())) > 20
print(sorted({name.partition(".")[0] for name in sys.modules} & {"sqlalchemy", "pyarrow", "numpy"}))
"""
    for expected in ("[]", "['numpy', 'pyarrow']"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(store.root)],
            check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert (done.stderr, done.stdout.strip()) == ("", expected)
        apply_all(store)
        seal_all(store)
