"""Tables on the server: pages, sort, filter, groups and comparison, compared with plain Python; local and
remote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from builders import Writer, apply_all
from exact import exact
from readers import READERS, reading_with
from serving import Server, serving

from tracker.errors import NotFoundError, UsageError
from tracker.ground import values
from tracker.recorder.open_store import open_store

RUN = ("team", "demo", "run1")
COLUMNS: list[Any] = ["id", "score", "label", "mixed", "none", 7]
MIXED = [
    1,
    2.5,
    "text",
    "10",
    None,
    True,
    False,
    2**70,
    2**53 + 1,
    math.nan,
    math.inf,
    {"a": 1},
    [1],
    -0.5,
    "Text",
]
LABELS = ["cat", "dog", "=SUM(1)", "größe ✓", "", None]
ROWS = 400


def make_rows(seed: int) -> list[list[Any]]:
    chance = Random(seed)
    return [
        [at, chance.choice([chance.randint(-5, 5) / 4, math.nan, None]), chance.choice(LABELS),
         chance.choice(MIXED), None, at % 3]
        for at in range(ROWS)
    ]  # fmt: skip


TABLE = make_rows(1)


def picture(path: str, digest: str) -> dict[str, Any]:
    return {"_type": "image-file", "path": path, "sha256": digest * 64, "size": 1}


LEFT = [
    ["a", 1, picture("p/1", "0"), 5.0],
    ["b", 2, picture("p/2", "1"), math.nan],
    ["b", 3, None, 7.0],
    ["c", 4, None, 8],
]
RIGHT = [
    [5.0, picture("q/1", "0"), "a", 1.0],
    [math.nan, picture("q/2", "2"), "b", 2],
    ["7", None, "d", 9],
    [7.0, None, "b", 33],
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = open_store(tmp_path_factory.mktemp("tables") / "tracker-store")
    writer = Writer(store.layout, "aa" * 16)
    other = Writer(store.layout, "bb" * 16, "run2")

    def log(by: Writer, key: str, content: dict[str, Any], kind: str = "table-file") -> None:
        path = f"media/table/{key}_{by.steps.step}.table.json"
        by.file(path, values.dumps(content).encode(), "application/json")
        by.log({key: {"_type": kind, "path": path}})

    log(writer, "t", {"columns": COLUMNS, "data": TABLE})
    log(writer, "left", {"columns": ["key", "n", "image", "x"], "data": LEFT})
    log(writer, "left", {"columns": ["key", "n", "image", "x"], "data": LEFT[:1]})
    log(other, "right", {"data": RIGHT, "columns": ["x", "image", "key", "m"]})
    for at in range(3):
        log(writer, "growing", {"columns": ["n"], "data": [[at]]}, "incremental-table-file")
    log(writer, "bad", {"data": [1, 2]})
    apply_all(store)
    store.close()
    with serving(store.root) as server:
        yield server


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, served: Server) -> Iterator[Any]:
    with reading_with(request.param, served) as found:
        yield found


def test_pages_have_the_logged_rows(reader: Any) -> None:
    page = reader.table_page(*RUN, "t", offset=7, limit=100)
    assert (page.columns, page.total, page.found, page.step) == (COLUMNS, ROWS, ROWS, 0)
    assert exact(page.rows) == exact(TABLE[7:107])
    assert exact(reader.table_page(*RUN, "growing").rows) == exact([[0], [1], [2]])
    assert reader.table_page(*RUN, "t", offset=ROWS).rows == []


def number(cell: Any) -> float | None:
    if not isinstance(cell, (int, float)):
        return None
    return float(cell)


FILTERS: list[tuple[dict[str, Any], Callable[[list[Any]], bool]]] = [
    ({"id": 5}, lambda row: row[0] == 5),
    ({"score": {"$gt": 0, "$lte": 1}}, lambda row: (n := number(row[1])) is not None and 0 < n <= 1),
    ({"score": {"$not": {"$gt": 0}}}, lambda row: not ((n := number(row[1])) is not None and n > 0)),
    ({"score": None}, lambda row: row[1] is None),
    ({"score": math.nan}, lambda row: row[1] is not None and math.isnan(row[1])),
    ({"mixed": {"$gte": 1}}, lambda row: (n := number(row[3])) is not None and n >= 1),
    ({"mixed": True}, lambda row: number(row[3]) == 1.0),
    ({"mixed": 2**70}, lambda row: number(row[3]) == 2.0**70),
    ({"mixed": {"$gt": "a"}}, lambda row: isinstance(row[3], str) and row[3] > "a"),
    ({"mixed": {"$in": ["text", 2.5, None]}}, lambda row: row[3] in ("text", None) or number(row[3]) == 2.5),
    ({"mixed": {"$nin": ["text", 2.5]}}, lambda row: not (row[3] == "text" or number(row[3]) == 2.5)),
    ({"mixed": {"$ne": 1}}, lambda row: number(row[3]) != 1.0),
    ({"mixed": {"$exists": True}}, lambda row: row[3] is not None),
    (
        {"mixed": {"$regex": "^[tT]e"}},
        lambda row: isinstance(row[3], str) and row[3][:1] in "tT" and row[3] != "",
    ),
    ({"label": {"$regex": "ö"}, "7": 1}, lambda row: row[2] == "größe ✓" and row[5] == 1),
    ({"$or": [{"id": {"$lt": 3}}, {"label": ""}]}, lambda row: row[0] < 3 or row[2] == ""),
    ({"$nor": [{"id": {"$lt": 300}}, {"label": "cat"}]}, lambda row: not (row[0] < 300 or row[2] == "cat")),
    ({"$not": {"none": None}}, lambda row: False),
]


@pytest.mark.parametrize("at", range(len(FILTERS)))
def test_filters_select_rows(reader: Any, at: int) -> None:
    filters, matches = FILTERS[at]
    page = reader.table_page(*RUN, "t", filters=filters, limit=1000)
    meant = [row for row in TABLE if matches(row)]
    assert exact(page.rows) == exact(meant)
    assert (page.found, page.total) == (len(meant), ROWS)


def sort_key(cell: Any, sign: int) -> tuple[Any, ...]:
    if isinstance(cell, (int, float)):
        return (1, 0) if math.isnan(cell) else (0, sign * float(cell))
    if isinstance(cell, str):
        return (2, [sign * ord(letter) for letter in cell] + ([math.inf] if sign < 0 else []))
    return (4, 0) if cell is None else (3, 0)


@pytest.mark.parametrize(
    "order", [["score"], ["-score", "label"], ["-label", "-id"], ["mixed"], ["-mixed", "7", "-id"]]
)
def test_rows_are_sorted_by_several_columns(reader: Any, order: list[str]) -> None:
    at = {str(name): index for index, name in enumerate(COLUMNS)}
    meant = list(TABLE)
    for each in reversed(order):
        meant.sort(key=lambda row: sort_key(row[at[each.lstrip("-")]], -1 if each[0] == "-" else 1))
    page = reader.table_page(*RUN, "t", order=order, offset=20, limit=200)
    assert exact(page.rows) == exact(meant[20:220])


def test_rows_are_grouped(reader: Any) -> None:
    found = reader.table_groups(*RUN, "t", by=["label", "7"], columns=["score"], filters={"id": {"$gte": 9}})
    meant: dict[Any, list[list[Any]]] = {}
    for row in TABLE[9:]:
        meant.setdefault((row[2], row[5]), []).append(row)
    ordered = sorted(meant.items(), key=lambda each: -len(each[1]))
    assert (found.total, found.rows, found.by) == (len(meant), ROWS - 9, ["label", "7"])
    assert [tuple(group.values) for group in found.groups] == [key for key, _ in ordered]
    for group, (_, rows) in zip(found.groups, ordered, strict=True):
        scores = [row[1] for row in rows if row[1] is not None and not math.isnan(row[1])]
        own = group.columns["score"]
        assert group.rows == len(rows)
        assert (own.count, own.min, own.max) == (len(scores), min(scores), max(scores))
        assert own.mean == pytest.approx(sum(scores) / len(scores))
    mixed = reader.table_groups(*RUN, "t", by=["mixed"], limit=1000)
    assert mixed.total == len(MIXED) - 1  # True equals 1
    assert set(mixed.groups[0].columns) == {"id", "score", "7"}


def test_tables_are_compared_by_key(reader: Any) -> None:
    """Rows with the same key are joined in their order; media are equal if their content is."""
    found = reader.compare_tables(
        *RUN[:2], ("run1", "left", 1), ("run2", "right", None), on=["key"], show="all"
    )
    assert found.columns == ["key", "image", "x"]
    assert (found.left.only, found.right.only) == (["n"], ["m"])
    assert found.counts == {"same": 2, "changed": 1, "left": 1, "right": 1}
    assert found.changed == {"image": 1}
    assert [(row.status, (row.left or row.right)[0], row.changed) for row in found.rows] == [
        ("same", "a", []), ("changed", "b", ["image"]), ("same", "b", []), ("left", "c", []), ("right", "d",
        [])
    ]  # fmt: skip
    differences = reader.compare_tables(
        *RUN[:2], ("run1", "left", 1), ("run2", "right", None), on=["key"], limit=2
    )
    assert (differences.total, [row.status for row in differences.rows]) == (3, ["changed", "left"])
    steps = reader.compare_tables(*RUN[:2], ("run1", "left", 1), ("run1", "left", 2))
    assert (steps.counts["same"], steps.counts["left"], steps.left.rows, steps.right.rows) == (1, 3, 4, 1)


def test_random_tables_are_compared_like_dicts(reader: Any) -> None:
    whole = reader.compare_tables(
        *RUN[:2], ("run1", "t", None), ("run1", "t", None), on=["mixed", "7"], show="all"
    )
    assert whole.counts == {"same": ROWS, "changed": 0, "left": 0, "right": 0}


def test_wrong_questions_are_refused(reader: Any) -> None:
    with pytest.raises(NotFoundError, match="has no table 'x'"):
        reader.table_page(*RUN, "x")
    with pytest.raises(NotFoundError, match="at step 9"):
        reader.table_page(*RUN, "t", 9)
    with pytest.raises(UsageError, match=r"cannot join by 'n'"):
        reader.compare_tables(*RUN[:2], ("run1", "left", 1), ("run2", "right", None), on=["n"])
    for filters, message in (
        ({"nope": 1}, "the table has no column 'nope': it has id, score"),
        ({"id": {"$near": 1}}, r"id: unknown operator '\$near'"),
        ({"$xor": []}, r"unknown operator \$xor"),
        ({"label": {"$regex": "("}}, r"label: '\(' is not a valid RE2 pattern"),
        ({"label": {"$in": "cat"}}, r"label: \$in takes a list"),
        ({"label": {"$gt": None}}, r"label: \$gt takes a number or a string"),
        ({"id": {"$in": [0] * 10_001}}, "more than 10000 values"),
        ({"$and": [{"id": 1}] * 401}, "more than 400 conditions"),
    ):
        with pytest.raises(UsageError, match=message):
            reader.table_page(*RUN, "t", filters=filters)
    with pytest.raises(UsageError, match="no column 'nope'"):
        reader.table_page(*RUN, "t", order=["-nope"])
    with pytest.raises(UsageError, match="no column 'nope'"):
        reader.table_groups(*RUN, "t", by=["nope"])


def test_a_server_adds_addresses_and_reports_damage(served: Server) -> None:
    with served.client() as client:
        place = "/projects/team/demo/runs/run1/table"
        found = client.get(
            f"{place}/compare", params={"key": "left", "step": 1, "with_run": "run2", "with_key": "right"}
        )
        image = found.json()["rows"][0]
        assert image["left"][1]["url"] == "/api/v1/projects/team/demo/runs/run1/files/p/2"
        assert image["right"][1]["url"] == "/api/v1/projects/team/demo/runs/run2/files/q/2"
        bad = client.get(place, params={"key": "bad"})
        assert (bad.status_code, bad.json()["error"]["message"]) == (
            503,
            "the file is not a table: a row is not a list",
        )
        for filters in ("[1]", "{", json.dumps("x")):
            assert client.get(place, params={"key": "t", "filters": filters}).status_code == 400
