"""Parquet parts: any rows are read back exactly, and other programs can read the files."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.runstate.fold import FinishedRow
from tracker.store.history.parquet import column_roles, last_number, read_numbers, read_part_rows, write_rows


def finished(cells: list[dict[str, Any]]) -> list[FinishedRow]:
    return [FinishedRow(at, at * 2, 1000.5 + at, 0.5 + at, data) for at, data in enumerate(cells)]


def through(path: Path, cells: list[dict[str, Any]], keys: list[str] | None = None) -> list[dict[str, Any]]:
    write_rows(path, finished(cells))
    return [row.data for row in read_part_rows(path, keys)]


def column(path: Path, values: list[Any]) -> tuple[str, list[Any]]:
    """Write one key; return its column's kind and the values that are read back."""
    back = [data["k"] for data in through(path, [{"k": value} for value in values])]
    return column_roles(pq.ParquetFile(path))["k"]["kind"], back


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "part.parquet"


COLUMNS: dict[str, tuple[list[Any], str]] = {
    "floats": ([0.1, -0.0, 5e-324, 1.7e308], "double"),
    "floats that are not finite": ([math.nan, math.inf, -math.inf, 1.0], "double"),
    "ints": ([0, 2**53 + 1, 2**63 - 1, -(2**63)], "int64"),
    "ints beyond 64 bits": ([1, 2**63, 2**64, -(2**70), 10**400], "double"),
    "ints among floats": ([1, 2.0, 2**53 + 1, 0.5], "double"),
    "bool among floats": ([True, 1.0, False, 0.0, 1], "double"),
    "bool among ints": ([True, 1, False, 0], "int64"),
    "None among floats": ([None, 1.5], "double"),
    "text among numbers": (["1", 1, "word", 1.0, [1], {"a": 1}], "double"),
    "bools": ([True, False], "bool"),
    "bools and None": ([True, None], "bool"),
    "text": (["", "word", "größe", "\x00"], "string"),
    "text and None": (["null", None], "string"),
    "nothing but None": ([None, None], "json"),
    "nested": ([{"a": {"b": [1, None, 2**70]}}, [], [[math.nan]], {}], "json"),
    "bool and text": ([True, "true"], "json"),
    "like our own marks": ([{"_type": "number", "value": "5"}, {"_type": "histogram"}], "json"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_exact(path: Path, name: str) -> None:
    values, kind = COLUMNS[name]
    assert repr(column(path, values)) == repr((kind, values))


def test_keys_that_were_not_logged_stay_absent(path: Path) -> None:
    cells = [{"a": 1.0}, {"b": None}, {"a": None, "c": "x"}, {"a": 2, "b": 3}]
    assert through(path, cells) == cells


def test_keys_may_have_the_names_of_fixed_columns(path: Path) -> None:
    cells = [
        {"_step": 99, "_row": "mine", "_runtime": None, "_timestamp": 1.5, "~_step": 2, "~exact:_step": 3}
    ]
    write_rows(path, finished(cells))
    assert list(read_part_rows(path)) == finished(cells)
    assert pq.read_table(path).column("_step").to_pylist() == [0]


@pytest.mark.parametrize(
    "key", ["a.b", "a", "a/b", "~a", "~~a", "~exact:a", "", " ", "größe", "list.item", "\x00"]
)
def test_key_names(path: Path, key: str) -> None:
    cells: list[dict[str, Any]] = [{key: 1, "a.b.c": 2, "~exact:x": 3.0}, {key: None, "x": "y"}, {key: 2**70}]
    assert through(path, cells) == cells
    assert through(path, cells, [key]) == [{key: 1}, {key: None}, {key: 2**70}]


def test_only_some_keys(path: Path) -> None:
    cells = [{"a": 1, "b": 1}, {"b": 2}, {"c": 3}, {"a": None}]
    assert through(path, cells, ["a", "nowhere"]) == [{"a": 1}, {"a": None}]
    assert [row.row for row in read_part_rows(path, ["a"])] == [0, 3]
    assert list(read_part_rows(path, [])) == []


def test_no_rows_and_rows_without_keys(path: Path) -> None:
    assert through(path, []) == []
    assert through(path, [{}, {}]) == [{}, {}]


def test_size_is_that_of_the_file(path: Path) -> None:
    assert write_rows(path, finished([{"a": 1}])) == path.stat().st_size


def test_more_rows_than_one_batch(path: Path) -> None:
    cells: list[dict[str, Any]] = [{"loss": at / 3, "even": at % 2 == 0} for at in range(70_000)]
    cells[69_999]["loss"] = "last"
    assert through(path, cells) == cells


# Random rows

keys = st.one_of(
    st.sampled_from(["loss", "a.b", "~x", "~exact:loss", "_step", "_row", "~_row", "a", ""]),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63, 2**64, -(2**63) - 1, 10**400]),
        st.floats(),
        st.text(st.characters(codec="utf-8"), max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab_", max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(
    cells=st.lists(st.dictionaries(keys, plain, max_size=5), max_size=6),
    places=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(0, 1e10)), min_size=6, max_size=6),
)
def test_random_rows_come_back(
    tmp_path: Path, cells: list[dict[str, Any]], places: list[tuple[int, float]]
) -> None:
    rows = [
        FinishedRow(at, step, time, time / 2, data)
        for at, (data, (step, time)) in enumerate(zip(cells, places, strict=False))
    ]
    path = tmp_path / "random.parquet"
    write_rows(path, rows)
    back = [row._replace(data=dict(sorted(row.data.items()))) for row in read_part_rows(path)]
    assert repr(back) == repr([row._replace(data=dict(sorted(row.data.items()))) for row in rows])


# For other programs

MIXED: list[dict[str, Any]] = [
    {"loss": 0.5, "epoch": 0, "note": "start", "ok": True, "n": {"y": 1}, "mixed": 1.5},
    {"loss": math.nan, "epoch": 1, "n": {"y": 2}, "mixed": 2**53 + 1},
    {"loss": 0.25, "epoch": 2, "note": "end", "ok": False, "mixed": "text", "~odd": 1},
]


def test_plain_pyarrow_reads_a_part(path: Path) -> None:
    write_rows(path, finished(MIXED))
    table = pq.read_table(path)
    assert table.schema.names == [
        *("_row", "_step", "_runtime", "_timestamp"),
        *("loss", "epoch", "note", "ok", "n", "mixed", "~exact:mixed", "~~odd"),
    ]
    types = {name: table.schema.field(name).type for name in table.schema.names}
    assert types["loss"] == pa.float64()
    assert types["epoch"] == pa.int64()
    assert types["ok"] == pa.bool_()
    assert types["note"] == types["n"] == types["~exact:mixed"] == pa.string()
    assert table.column("epoch").to_pylist() == [0, 1, 2]
    assert table.column("n").to_pylist() == ['{"y":1}', '{"y":2}', None]
    assert table.column("mixed").to_pylist() == [1.5, float(2**53), None]
    assert table.column("~exact:mixed").to_pylist() == [None, str(2**53 + 1), '"text"']
    assert pc.min(table.column("loss")).as_py() == 0.25
    assert table.column("_step").to_pylist() == [0, 2, 4]


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_pandas_reads_a_part(path: Path) -> None:
    import pandas

    write_rows(path, finished(MIXED))
    frame = pandas.read_parquet(path)
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame["loss"].min() == 0.25


def test_numbers_without_python_objects(path: Path) -> None:
    write_rows(path, finished(MIXED))
    found = read_numbers(path, "epoch", ["loss", "mixed", "note", "ok", "nowhere", "~odd"])
    assert found.x.tolist() == [0.0, 1.0, 2.0]
    assert found.steps.tolist() == [0, 2, 4]
    assert set(found.columns) == {"loss", "mixed", "~odd"}
    assert repr(found.columns["loss"][0].tolist()) == "[0.5, nan, 0.25]"
    assert found.columns["loss"][1] is None  # a logged NaN counts as a value
    assert found.columns["mixed"][0].tolist()[:2] == [1.5, float(2**53)]
    present = found.columns["mixed"][1]
    assert present is not None
    assert present.tolist() == [True, True, False]
    for axis, expected in (
        ("_step", [0, 2, 4]),
        ("_runtime", [0.5, 1.5, 2.5]),
        ("_timestamp", [1000.5, 1001.5, 1002.5]),
    ):
        assert read_numbers(path, axis, ["loss"]).x.tolist() == expected
        assert read_numbers(path, "loss", [axis]).columns[axis][0].tolist() == expected
    assert np.isnan(read_numbers(path, "note", ["loss"]).x).all()


def test_the_last_number_before_a_row(path: Path) -> None:
    cells = [{"x": value} for value in (1, math.inf, 2.5, None, "4", math.nan)]
    write_rows(path, finished([*cells, {}]))
    assert last_number(path, "x") == 2.5
    assert [last_number(path, "x", row) for row in (3, 2, 1)] == [2.5, 1, 1]
    assert math.isnan(last_number(path, "x", 0))
    assert math.isnan(last_number(path, "nowhere"))
    assert last_number(path, "_runtime") == 6.5
