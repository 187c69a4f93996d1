"""Edits of single keys: the latest holds until a writer that began later says something of the key."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracker.runstate.key_edits import apply_key_edits, note_keys

keys = st.sampled_from("abc")
edits = st.tuples(st.dictionaries(keys, st.integers()), st.lists(keys, max_size=2))
writers = st.dictionaries(keys, st.integers(-9, -1))


@given(st.lists(edits | writers, max_size=6))
def test_what_was_said_last_of_a_key_holds(said: list[Any]) -> None:
    """Edits are made, and writers begin, one after the other."""
    noted: dict[str, Any] = {"name": {"value": "kept", "time": 0.0}}
    merged: dict[str, Any] = {}
    began: list[tuple[float, dict[str, Any]]] = []
    expected: dict[str, Any] = {}
    for time, each in enumerate(said):
        if isinstance(each, dict):
            began.append((float(time), each))
            merged.update(each)
            expected.update(each)
            continue
        values, removed = each
        noted = note_keys(noted, "config", values, removed, float(time))
        expected.update(values)
        for key in removed:
            expected.pop(key, None)
    assert apply_key_edits(merged, noted.get("config"), began) == expected
    assert noted["name"] == {"value": "kept", "time": 0.0}
