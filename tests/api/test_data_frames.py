"""The history as a DataFrame: every number has its logged value."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")

pandas = pytest.importorskip("pandas")

BIG = 2**53 + 1
MISSING = object()

# For each key: the values of three rows, the type of the column, and the cells of the column.
COLUMNS: dict[str, tuple[list[Any], str, list[Any]]] = {
    "ints": ([BIG, 2, 3], "int64", [BIG, 2, 3]),
    "ints with a gap": ([BIG, MISSING, 3], "Int64", [BIG, MISSING, 3]),
    "ints and None": ([BIG, None, -(2**63)], "Int64", [BIG, MISSING, -(2**63)]),
    "huge ints with a gap": ([2**63, MISSING, 2**70], "object", [2**63, MISSING, 2**70]),
    "unsigned ints with a gap": ([2**63, MISSING, 1], "object", [2**63, MISSING, 1]),
    "floats with a gap": ([0.5, MISSING, math.inf], "float64", [0.5, MISSING, math.inf]),
    "ints among floats": ([1, 2.5, MISSING], "float64", [1.0, 2.5, MISSING]),
    "big ints among floats": ([BIG, 2.5, MISSING], "object", [BIG, 2.5, MISSING]),
    "huge ints among floats": ([10**400, 2.5, 1], "object", [10**400, 2.5, 1]),
    "text among ints": ([BIG, "a", MISSING], "object", [BIG, "a", MISSING]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_a_frame_is_exact(name: str) -> None:
    logged, kind, meant = COLUMNS[name]
    with tracker.init(project="p", settings={"silent": True}) as run:
        for value in logged:
            run.log({"other": 1} if value is MISSING else {"k": value, "other": 1})
    frame = tracker.Api().run(f"p/{run.id}").history()
    assert str(frame["k"].dtype) == kind
    found = [MISSING if pandas.isna(cell) else cell for cell in frame["k"].tolist()]
    assert repr(found) == repr(meant)
    assert frame["_step"].tolist() == [0, 1, 2]
    assert str(frame["other"].dtype) == "int64"


def test_a_run_without_rows_is_an_empty_frame() -> None:
    tracker.init(project="p", settings={"silent": True}).finish()
    (run,) = tracker.Api().runs("p")
    assert len(run.history()) == 0
