"""The definition that is used for a key, and the effect of further calls of ``define_metric``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.ground.records import MetricDefined
from tracker.runstate.aggregates import Rules, merge_definitions

# A space sorts before the star, letters after it.
names = st.text("a /_", min_size=1, max_size=3)


@example(["a*", "a *"], "a /")
@given(st.lists(names | names.map("{}*".format) | st.just("*"), max_size=5), names)
def test_a_key_has_the_exact_definition_else_the_longest_prefix(defined: list[str], key: str) -> None:
    rules = Rules({name: MetricDefined(name) for name in defined})
    prefixes = [name for name in defined if name[-1] == "*" and key.startswith(name[:-1]) and key[0] != "_"]
    expected = key if key in defined else max(prefixes, key=len, default=None)
    found = rules.find(key)
    assert (found and found.name) == expected
    assert rules.find(key) is found


@dataclass(frozen=True)
class Field:
    """A field of a definition: its values in two calls, and the value after both."""

    name: str
    first: Any
    second: Any
    both: Any


@pytest.mark.parametrize(
    "field",
    [
        Field("step_metric", "epoch", "batch", "batch"),
        Field("step_sync", True, True, True),
        Field("hidden", True, True, True),
        Field("summary", ["min", "max"], ["max", "mean"], ["min", "max", "mean"]),
        Field("goal", "maximize", "minimize", "minimize"),
    ],
    ids=lambda field: field.name,
)
def test_fields_that_a_further_call_does_not_set_stay(field: Field) -> None:
    left_open = MetricDefined("x")
    first, second, both = (
        msgspec.structs.replace(left_open, **{field.name: value})
        for value in (field.first, field.second, field.both)
    )
    assert merge_definitions(None, first) == first
    assert merge_definitions(first, left_open) == first
    assert merge_definitions(left_open, first) == first
    assert merge_definitions(first, second) == both
    over = msgspec.structs.replace(left_open, overwrite=True)
    assert merge_definitions(first, over) == over
