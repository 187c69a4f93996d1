"""Edits of single keys: an edit is valid until a later edit or a later writer sets the key."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracker.runstate.edits import Edits, add_key_edits, apply_key_edits

keys = st.sampled_from("abc")
edits = st.tuples(st.dictionaries(keys, st.integers()), st.lists(keys, max_size=2))
values_of_writers = st.dictionaries(keys, st.integers(-9, -1))


@given(st.lists(edits | values_of_writers, max_size=6))
def test_the_last_edit_or_writer_of_a_key_decides(events: list[Any]) -> None:
    """Each event is an edit or the start of a writer."""
    noted: Edits = {"name": {"value": "kept", "time": 0.0}}
    merged: dict[str, Any] = {}
    writers: list[tuple[float, dict[str, Any]]] = []
    expected: dict[str, Any] = {}
    for time, each in enumerate(events):
        if isinstance(each, dict):
            writers.append((float(time), each))
            merged.update(each)
            expected.update(each)
            continue
        values, removed = each
        add_key_edits(noted, "config", values, removed, float(time))
        expected.update(values)
        for key in removed:
            expected.pop(key, None)
    assert apply_key_edits(merged, noted.get("config"), writers) == expected
    assert noted["name"] == {"value": "kept", "time": 0.0}
