"""Exports of a run's history: every format has the rows of ``history``, in memory that does not grow with the
rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from builders import Writer, apply_all, get_run, read_history, seal_all, segment_id
from exact import exact
from exported import FORMATS, as_csv, read_export
from sqlalchemy import select

from tracker.ground.records import CHILD
from tracker.reading.local import LocalReader
from tracker.store.catalog.models import Part
from tracker.store.history import compaction, export, ordered, parquet
from tracker.store.history.arrow_tables import source_table
from tracker.store.history.compaction import compact_all
from tracker.store.history.export import csv_text, encode_history
from tracker.store.ingest import apply
from tracker.store.queries import history
from tracker.store.store import Store

numbers = itertools.count(1)
RUN = ("team", "demo")
VALUES = [
    *(0.5, float("nan"), float("inf"), -0.0, 1e300, 7, 2**53 + 1, 2**63 - 1, 2**64, -(10**30), True, None),
    *("", "text", "null", "NaN", "=1+1", "+1", "-1", "@x", "'", "\tx", "\r\n", 'a "quoted", word', "größe ✓"),
    *({"a": {"b": [1, None, float("nan")]}}, [], {}, [2**70], {"_type": "number", "value": "NaN"}),
    {"_type": "image-file", "path": "media/images/a_0.png", "sha256": "0" * 64, "size": 10},
]
KEYS = ["loss", "mixed", "~exact:mixed", "_row", "_step", "a/b.c, d", "=key"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of a few rows, row groups of five rows, and tables and sorted ranges of a few hundred
    bytes."""
    monkeypatch.setattr(apply, "HOT_ROWS", 12)
    monkeypatch.setattr(apply, "BATCH_BYTES", 600)
    monkeypatch.setattr(compaction, "SMALLEST_CLASS", 12)
    for module in (compaction, parquet):
        monkeypatch.setattr(module, "rows_per_group", lambda _columns: 5)
    monkeypatch.setattr(ordered, "_batch_rows", lambda _chunk: 3)
    monkeypatch.setattr(ordered, "SORTED_BYTES", 500)
    monkeypatch.setattr(export, "PIECE", 300)
    monkeypatch.setattr(export, "GROUP_CELLS", 50)
    monkeypatch.setattr(export, "FEWEST_ROWS", 1)


def make_run(store: Store, chance: Random, values: list[Any] = VALUES) -> str:
    """Log a run with a resume at an earlier step, a child, late rows, parts and rows in the catalog."""
    run_id = f"run{next(numbers)}"
    names = iter(f"{next(numbers):032x}" for _ in range(3))
    first = Writer(store.layout, next(names), run_id)
    child = Writer(store.layout, next(names), run_id, rank=CHILD)
    second = Writer(store.layout, next(names), run_id, attempt=1, start_step=30)

    def log(writer: Writer, step: int | None) -> None:
        keys = chance.sample(KEYS, chance.randint(0, 4))
        writer.log({key: chance.choice(values) for key in keys}, step)

    for at in range(40):
        log(first, chance.choice([None, None, None, chance.randint(-5, at)]))
        if chance.random() < 0.3:
            log(child, at)
    apply_all(store)
    first.finish()
    child.finish()
    for at in range(chance.randint(1, 40)):
        log(second, None if at == 0 or chance.random() < 0.8 else chance.randint(30, 30 + at))
    apply_all(store)
    if chance.random() < 0.3:
        second.finish()
        apply_all(store)
        seal_all(store)
    return run_id


def exported(store: Store, run_id: str, format: str, **options: Any) -> list[dict[str, Any]]:
    reader = LocalReader(store, follows=False)
    pieces = list(reader.export_history(*RUN, run_id, format, **options))  # type: ignore[arg-type]
    assert all(len(piece) <= export.PIECE for piece in pieces[:-1])
    return read_export(format, b"".join(pieces))


@pytest.mark.parametrize("seed", range(4))
def test_all_formats_have_the_rows_of_history(store: Store, seed: int) -> None:
    run_id = make_run(store, Random(seed))
    for options in (
        {},
        {"keys": ["mixed", "loss"]},
        {"keys": ["mixed", "loss", "mixed"], "complete": True},
        {"keys": ["_step"]},
        {"keys": ["absent"]},
        {"segment": get_segments(store, run_id)[0]},
    ):
        expected = read_history(store, run_id, **options)
        for format in FORMATS:
            meant = [as_csv(row) for row in expected] if format == "csv" else expected
            found = exported(store, run_id, format, **options)
            assert list(map(exact, found)) == list(map(exact, meant)), (format, options)


def get_segments(store: Store, run_id: str) -> list[str]:
    return [each.id for each in LocalReader(store, follows=False).run(*RUN, run_id).segments]


@pytest.mark.parametrize("seed", range(3))
def test_a_range_of_steps_includes_both_limits(store: Store, seed: int) -> None:
    run_id = make_run(store, Random(seed))
    rows = read_history(store, run_id)
    for first, last in ((10, 35), (31, 31), (20, None), (None, 5), (9, 8), (-(2**62), 2**62)):
        inside = [
            row for row in rows
            if (first is None or row["_step"] >= first) and (last is None or row["_step"] <= last)
        ]  # fmt: skip
        found = exported(store, run_id, "jsonl", min_step=first, max_step=last)
        assert list(map(exact, found)) == list(map(exact, inside))


def test_without_exact_columns_the_file_has_the_columns_of_the_table(store: Store) -> None:
    run_id = make_run(store, Random(1))
    with store.reading() as session:
        pieces = history.visible_sources(session, get_run(store, run_id), store.root)
        table = source_table(pieces)
    content = b"".join(LocalReader(store, follows=False).export_history(*RUN, run_id, "arrow", exact=False))
    found = pa.ipc.open_stream(content).read_all()
    assert found.schema.equals(table.schema, check_metadata=True)
    assert repr(found.to_pylist()) == repr(table.to_pylist())


@pytest.mark.slow
def test_rows_of_a_long_run_are_read_in_small_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One late row in each row group makes all row groups overlap. Ranges keep the sorted tables small."""
    monkeypatch.setattr(ordered, "SORTED_BYTES", 4000)
    monkeypatch.setattr(ordered, "SAMPLED_STEPS", 50)
    writer = Writer(store.layout, "aa" * 16)
    for at in range(1000):
        writer.log({"x": float(at)}, at % 7 and at)  # every seventh row has step 0
    writer.finish()
    apply_all(store)
    with store.reading() as session:
        opened = history.open_history(session, get_run(store), store.root)
    with opened:
        sizes = [len(table) for table in opened.tables()]
    assert sum(sizes) == 1000
    assert max(sizes) < 400
    assert [row["x"] for row in exported(store, "run1", "parquet")] == [
        row["x"] for row in read_history(store)
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_a_compaction_during_an_export_changes_nothing(store: Store, format: Any) -> None:
    writer = Writer(store.layout, "aa" * 16)
    for at in range(200):
        writer.log({"x": float(at), "text": f"row {at}"})
    apply_all(store)
    expected = read_history(store)
    content = LocalReader(store, follows=False).export_history(*RUN, "run1", format)
    pieces = [next(content)]
    before = parts_of(store)
    compact_all(store, segment_id(store, "aa" * 16))
    assert len(before) > len(parts_of(store))
    assert not [path for path in before if path.exists() and path not in parts_of(store)]
    pieces += content
    assert len(pieces) > 10
    assert list(map(exact, read_export(format, b"".join(pieces)))) == list(map(exact, expected))


def parts_of(store: Store) -> list[Path]:
    with store.reading() as session:
        return [store.root / path for path in session.scalars(select(Part.path))]


def test_an_export_that_is_not_read_to_its_end_closes_its_files(store: Store) -> None:
    writer = Writer(store.layout, "aa" * 16)
    for at in range(200):
        writer.log({"x": float(at)})
    apply_all(store)
    with store.reading() as session:
        opened = history.open_history(session, get_run(store), store.root)
    held = [chunk.part.held for chunk in opened._chunks if chunk.part is not None]
    content = encode_history(opened, "jsonl")
    next(content)
    assert held
    assert not any(file.closed for file in held if file is not None)
    content.close()  # type: ignore[attr-defined]
    assert all(file is not None and file.closed for file in held)


STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "'=", "\uff1d", "\uff0b", "\uff0d", "\uff20"]


@pytest.mark.parametrize("start", STARTS)
def test_a_spreadsheet_calculates_no_cell(start: str) -> None:
    assert csv_text(f"{start}1") == f'"\'{start}1"'


def test_text_that_is_no_formula_is_not_changed() -> None:
    assert csv_text('a "b"=1') == '"a ""b""=1"'
