"""Conversion of logged values to plain values, and of plain values to JSON and back."""

from __future__ import annotations

import datetime
import enum
import json
import math
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.ground.values import LONGEST_LIST, dumps, loads, to_plain

text = st.text(st.characters(codec="utf-8"), max_size=12)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**50), text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(text | st.just("_type"), inner, max_size=4)
    ),
    max_leaves=10,
)


class Color(enum.IntEnum):
    RED = 3


class Word(str, enum.Enum):
    YES = "yes"


class Shade(enum.Enum):
    DARK = (1,)


@dataclass
class Point:
    x: int
    y: tuple[int]


class Opaque:
    pass


@given(plain)
def test_plain_values_are_equal_after_json(value: Any) -> None:
    text = dumps(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not in standard JSON"))
    assert repr(loads(text)) == repr(value)
    assert repr(loads(dumps(value, indent=1).encode())) == repr(value)


@given(plain)
def test_plain_values_stay_unchanged(value: Any) -> None:
    assert repr(to_plain(value)) == repr(value)


def test_json_of_nan_infinity_and_large_integers() -> None:
    assert dumps({"a": math.nan, "b": [math.inf, -math.inf], "c": 2**70}) == (
        '{"a":{"_type":"number","value":"NaN"},"b":[{"_type":"number","value":"Infinity"},'
        '{"_type":"number","value":"-Infinity"}],"c":1180591620717411303424}'
    )


@pytest.mark.parametrize(
    "value",
    [
        {"_type": "number", "value": "five"},
        {"_type": "number", "value": "5"},
        {"_type": "number", "value": ""},
        {"_type": "number", "value": 5},
        {"_type": "number", "value": "nan"},
        {"_type": "number", "value": "NaN", "unit": "m"},
        {"_type": "number"},
        {"_type": "number", "value": "NaN"},
        {"value": "-Infinity", "_type": "number"},
        {"_type": "number", "value": ["NaN"]},
        {"_type": "number", "value": [["Infinity"]]},
        {"_type": "number", "value": ["NaN", "NaN"]},
        {"_type": "number", "value": []},
        {"_type": "number", "value": {"_type": "number", "value": "NaN"}},
    ],
    ids=str,
)
def test_a_users_dict_that_looks_like_a_marked_number(value: dict[str, Any]) -> None:
    assert repr(loads(dumps({"x": value}))) == repr({"x": value})
    assert repr(loads(dumps([value, math.nan], indent=1))) == repr([value, math.nan])


def test_json_of_a_dict_that_looks_like_a_marked_number() -> None:
    # A reader that does not know these lists returns the dict unchanged.
    assert dumps({"_type": "number", "value": "NaN"}) == '{"_type":"number","value":["NaN"]}'
    assert dumps({"_type": "number", "value": math.nan}) == (
        '{"_type":"number","value":{"_type":"number","value":"NaN"}}'
    )


def test_keys_can_be_sorted() -> None:
    assert dumps({"b": 1, "a": {"d": 1, "c": 2}}, sort_keys=True) == '{"a":{"c":2,"d":1},"b":1}'


CASES = {
    "numpy float": (np.float32(0.5), 0.5),
    "numpy double": (np.float64(0.1), 0.1),
    "numpy half": (np.float16(2), 2.0),
    "numpy int": (np.int64(2**60 + 1), 2**60 + 1),
    "numpy unsigned": (np.uint64(2**64 - 1), 2**64 - 1),
    "numpy bool": (np.bool_(True), True),
    "numpy text": (np.str_("word"), "word"),
    "numpy nan": (np.float32("inf"), math.inf),
    "numpy scalar array": (np.array(7), 7),
    "numpy one element": (np.array([7.5]), 7.5),
    "numpy list": (np.arange(3), [0, 1, 2]),
    "numpy table": (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "numpy empty": (np.array([]), []),
    "numpy date": (np.datetime64("2024-05-06"), "2024-05-06"),
    "torch scalar": (torch.tensor(0.5), 0.5),
    "torch int": (torch.tensor(2**60 + 1), 2**60 + 1),
    "torch bool": (torch.tensor(False), False),
    "torch bfloat16": (torch.tensor([1.5, 2.5], dtype=torch.bfloat16), [1.5, 2.5]),
    "torch half": (torch.tensor(1.5, dtype=torch.float16), 1.5),
    "torch with gradient": (torch.ones(2, requires_grad=True), [1.0, 1.0]),
    "torch table": (torch.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "tuple": ((1, (2, 3)), [1, [2, 3]]),
    "set": ({3, 1, 2}, [1, 2, 3]),
    "frozenset": (frozenset(["b", "a"]), ["a", "b"]),
    "bytes": (b"caf\xc3\xa9", "café"),
    "bytes that are not text": (bytearray(b"\xff"), "\ufffd"),
    "date": (datetime.date(2024, 5, 6), "2024-05-06"),
    "datetime": (datetime.datetime(2024, 5, 6, 7, 8, 9), "2024-05-06T07:08:09"),
    "datetime in UTC": (datetime.datetime(2024, 5, 6, tzinfo=datetime.timezone.utc), "2024-05-06T00:00:00Z"),
    "duration": (datetime.timedelta(seconds=3), "PT3S"),
    "long duration": (datetime.timedelta(days=1, seconds=3700), "P1DT1H1M40S"),
    "duration back": (datetime.timedelta(days=-1, seconds=5), "-PT23H59M55S"),
    "no duration": (datetime.timedelta(0), "PT0S"),
    "decimal": (Decimal("0.5"), "0.5"),
    "fraction": (Fraction(1, 2), "1/2"),
    "complex": (-1 - 2j, "-1-2j"),
    "function": (len, "builtins.len"),
    "class": (OrderedDict, "collections.OrderedDict"),
    "generator": ((each for each in (1, 2)), [1, 2]),
    "dataclass": (Point(1, (2,)), {"x": 1, "y": [2]}),
    "enum": (Shade.DARK, [1]),
    "numpy cube": (np.arange(8).reshape(2, 2, 2), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    "path": (Path("/a/b"), "/a/b"),
    "pure path": (PurePosixPath("a/b"), "a/b"),
    "int enum": (Color.RED, 3),
    "text enum": (Word.YES, "yes"),
    "mapping": (OrderedDict(b=1, a=(2,)), {"b": 1, "a": [2]}),
    "keys that are not text": ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
    "nested": ({"n": {"y": [np.float32(1), {torch.tensor(2).item()}]}}, {"n": {"y": [1.0, [2]]}}),
}


@pytest.mark.parametrize("name", CASES)
def test_logged_values_become_plain(name: str) -> None:
    value, expected = CASES[name]
    found = to_plain(value)
    assert repr(found) == repr(expected)  # types must be equal too: True is not 1
    assert all(type(each) in (list, dict, str, int, float, bool) for each in [found])


def test_longest_list_and_shortest_histogram() -> None:
    assert to_plain(np.arange(LONGEST_LIST)) == list(range(32))
    assert to_plain(torch.zeros(4, 8)) == [[0.0] * 8] * 4
    for value in (np.arange(33), torch.arange(33), np.zeros((4, 4, 4)), torch.zeros(4, 9)):
        found = to_plain(value)
        assert found["_type"] == "histogram"
        assert (len(found["values"]), len(found["bins"])) == (32, 33)
        assert sum(found["values"]) == math.prod(value.shape)


def test_histogram_counts_finite_values_only() -> None:
    found = to_plain(np.array([math.nan, math.inf, *range(64)]))
    assert sum(found["values"]) == 64
    assert (found["bins"][0], found["bins"][-1]) == (0.0, 63.0)
    assert loads(dumps(found)) == found


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        object(),
        range(3),
        ValueError("x"),
        {"deep": [Opaque()]},
        np.array([Opaque()]),
        torch.nn.Linear(1, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_plain_form_are_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        to_plain(value)


def test_converter_gets_only_values_of_unknown_types() -> None:
    seen = []

    def convert(value: Any) -> str:
        seen.append(value)
        return "converted"

    opaque = Opaque()
    assert to_plain({"a": [opaque, 1, np.float32(1)]}, convert) == {"a": ["converted", 1, 1.0]}
    assert seen == [opaque]


def test_heavy_libraries_are_not_imported() -> None:
    code = (
        "import sys; from tracker.ground.values import to_plain, dumps; to_plain({'a': [1, {2}, b'x']})\n"
        "print(sorted({'numpy', 'torch', 'pyarrow', 'sqlalchemy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
