"""Table files are read piece by piece: any JSON text of a table gives its rows, however it is cut."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import numpy as np
import pytest

from tracker.errors import StoreError
from tracker.ground import values
from tracker.store.history import json_tables
from tracker.store.history.json_tables import convert_tables

CELLS = [
    *(1, 2.5, None, True, math.nan, 2**70, -(2**63), "a\\", '"[{', ']}\\"', "data", '"data":[', "ö\\\\"),
    *({"a": [1, {"data": [[1]]}]}, [], {"_type": "number", "value": "NaN"}, [[["]"]]]),
]
NAMES = ["x", '"data":[', "[", 3, "y\\"]


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("seed", range(100))
def test_a_table_has_its_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(seed)
    monkeypatch.setattr(json_tables, "PIECE", chance.choice([1, 2, 7, 50, 1000]))
    columns = [chance.choice(NAMES) for _ in range(chance.randint(1, 4))]
    rows = [[chance.choice(CELLS) for _ in columns] for _ in range(chance.randint(0, 20))]
    fields: list[tuple[str, Any]] = [("columns", columns), ("data", rows), ("other", {"data": [[5]]})]
    chance.shuffle(fields)
    # The form of a run (marked NaN, no spaces), or that of other programs (bare NaN, spaces).
    text = values.dumps(dict(fields)) if chance.random() < 0.5 else json.dumps(dict(fields), indent=1)
    if "_type" in text and " " in text:
        rows = values.loads(text)["data"]
    found = convert_tables([pieces(text.encode(), chance.choice([1, 3, 64, 10_000]))] * 2)
    assert found.columns == columns
    assert repr(found.rows(np.arange(2 * len(rows)))) == repr(rows + rows)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nonsense", '{"columns": 3, "data": []}', '{"columns": ["a"], "data": [[1], 2]}',
     '{"columns": ["a"], "data": [[1,]]}', '{"columns": ["a"], "data": [["a]}', '{"data": [[1]]}'],
)  # fmt: skip
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(StoreError, match="the file is not a table"):
        convert_tables([[text.encode()]])
