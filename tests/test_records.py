"""Encoding of records: this tracker and later ones can read all records that this one writes."""

from __future__ import annotations

import math
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import JournalError
from tracker.ground.parsed_types import (
    Count,
    Digest,
    DigestOrEmpty,
    Integer,
    Seconds,
    StoreName,
    Time,
    Token,
    VersionNumber,
)
from tracker.ground.records import (
    COMMIT,
    RECORD_KINDS,
    ArtifactLogged,
    ConfigChanged,
    InvalidRecord,
    MetricDefined,
    Process,
    Record,
    Row,
    RunFinished,
    RunStarted,
    RunValues,
    SummaryChanged,
    VersionValues,
    decode,
    encode,
    pack,
)

PROCESS = Process("node1", "boot", 1, 42, 7)

text = st.text(st.characters(codec="utf-8"), max_size=12)
# Without NaN, which is not equal to itself. Another test covers it.
numbers = st.one_of(
    st.integers(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False),
    st.just(2**64),
    st.just(-(2**63) - 1),
)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=8,
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    dict[str, Any]: st.dictionaries(text, plain, max_size=4),
    dict[str, float]: st.dictionaries(text, st.floats(allow_nan=False), max_size=4),
    list[str]: st.lists(text, max_size=3),
    list[tuple[int, int, str]]: st.lists(
        st.tuples(st.integers(0, 2**63 - 1), st.integers(1, 2), text), max_size=3
    ),
    Digest: st.text("0123456789abcdef", min_size=64, max_size=64),
    DigestOrEmpty: st.one_of(st.just(""), st.text("0123456789abcdef", min_size=64, max_size=64)),
    Token: st.text("0123456789abcdef", min_size=32, max_size=32),
    StoreName: st.text("aZ09_.-", min_size=1, max_size=100),
    VersionNumber: st.integers(0, 2**40),
    Integer: st.integers(-(2**63), 2**63 - 1),
    Count: st.integers(0, 2**63 - 1),
    Time: st.floats(-62e9, 250e9),
    Seconds: st.floats(-1e14, 1e14),
    VersionValues: st.fixed_dictionaries(
        {},
        optional={
            "description": st.none() | text,
            "metadata": st.dictionaries(text, plain, max_size=4),
            "tags": st.lists(text, max_size=3),
            "expires_at": st.none() | st.floats(-1e14, 1e14),
        },
    ),
    RunValues: st.fixed_dictionaries(
        {},
        optional={
            **{name: st.none() | text for name in ("name", "notes", "group", "job_type")},
            "tags": st.none() | st.lists(text, max_size=3),
        },
    ),
    Process: st.builds(
        Process, text, text, st.integers(0, 2**32), st.integers(0, 2**22), st.integers(0, 2**60)
    ),
}


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    if kind in BY_TYPE:
        return BY_TYPE[kind]
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    return st.one_of(st.none(), *(strategy(option) for option in options))


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: strategy(hints[name]) for name in kind.__struct_fields__})


def fields(record: Any) -> list[Any]:
    return [type(record), *(getattr(record, name) for name in record.__struct_fields__)]


@pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_can_be_written_and_read(kind: type[Any]) -> None:
    @settings(max_examples=60)
    @given(record=any_of(kind))
    def comes_back(record: Record) -> None:
        found = decode(pack(record))
        assert fields(found) == fields(record)
        assert repr(found) == repr(record)  # `==` would accept 1.0 or True for 1

    comes_back()


def test_each_kind_has_its_own_number() -> None:
    numbers = [msgspec.structs.replace, *(kind.__struct_config__.tag for kind in RECORD_KINDS)][1:]
    assert numbers == sorted(set(numbers))  # a number is never used twice; some numbers are unused
    assert numbers[:14] == list(range(1, 15))
    assert set(typing.get_args(Record)) == {*RECORD_KINDS, InvalidRecord}


OLD = [
    (
        [1, "e", "p", "r", 1.5, ["h", "b", 0, 1, 2]],
        RunStarted("e", "p", "r", 1.5, Process("h", "b", 0, 1, 2)),
    ),
    ([3, {"lr": 1}], ConfigChanged({"lr": 1})),
    ([4, {"best": 1}], SummaryChanged({"best": 1})),
    ([5, "loss"], MetricDefined("loss")),
    (
        [7, "m", "model", "d", "ab" * 32, 1, 1, ["latest"], "c", 2.5],
        ArtifactLogged("m", "model", "d", "ab" * 32, 1, 1, ["latest"], "c", 2.5),
    ),
    ([9, 3.5, "finished"], RunFinished(3.5, "finished")),
]


@pytest.mark.parametrize(("old", "meant"), OLD, ids=lambda each: type(each).__name__)
def test_old_record_with_fewer_fields(old: list[Any], meant: Record) -> None:
    assert decode(msgspec.msgpack.encode(old)) == meant


def test_later_record_with_more_fields() -> None:
    later = [*msgspec.to_builtins(RunFinished(3.5, "failed", 2, "boom")), "a field of tomorrow", {"and": 1}]
    assert decode(msgspec.msgpack.encode(later)) == RunFinished(3.5, "failed", 2, "boom")


@pytest.mark.parametrize(
    "payload",
    [
        msgspec.msgpack.encode([2, 0, 0]),  # a row without its data
        msgspec.msgpack.encode([2, 0, 0, 1, 1.0, [1, 2]]),
        msgspec.msgpack.encode({"no": "record"}),
        encode(RunFinished(1.0, "finished")) + b"\x00",
        encode(RunFinished(1.0, "finished"))[:-1],
        b"",
        b"\xc1",
        msgspec.msgpack.encode([2, 0, 0, 1, 1.0, {"x": msgspec.msgpack.Ext(1, b"no digits")}]),
        b"\x93\x03\x81\xa1a\xa1\xff\x90",  # a string that is not UTF-8
    ],
    ids=[
        "field missing",
        "wrong type",
        "no array",
        "bytes behind",
        "cut off",
        "empty",
        "no msgpack",
        "bad integer",
        "bad text",
    ],
)
def test_invalid_payloads_are_invalid_records(payload: bytes) -> None:
    found = decode(payload, "/store/a.journal", 120)
    assert isinstance(found, InvalidRecord)
    assert found.kind in ("Row", "RunFinished", "ConfigChanged", "record")
    assert found.reason


@pytest.mark.parametrize(
    "payload",
    [
        msgspec.msgpack.encode([99, "of tomorrow"]),
        msgspec.msgpack.encode([2, 0, 0, 1, 1.0, {"x": msgspec.msgpack.Ext(77, b"?")}]),
    ],
    ids=["kind", "extension"],
)
def test_records_of_a_newer_tracker_are_a_journal_error(payload: bytes) -> None:
    with pytest.raises(JournalError) as raised:
        decode(payload, "/store/a.journal", 120)
    assert (raised.value.operation, raised.value.path, raised.value.offset) == (
        "decode",
        "/store/a.journal",
        120,
    )


def test_very_deep_nesting_is_an_invalid_record() -> None:
    found = decode(b"\x96\x02\x00\x00\x00\xcb" + bytes(8) + b"\x81\xa1x" + b"\x91" * 100_000 + b"\x00")
    assert isinstance(found, InvalidRecord)
    assert "recursion" in found.reason


@given(st.binary(max_size=200))
def test_random_bytes_are_a_record_an_invalid_record_or_a_journal_error(payload: bytes) -> None:
    try:
        assert type(decode(payload)) in (*RECORD_KINDS, InvalidRecord)
    except JournalError:
        pass


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400, -(10**400)])
def test_huge_integers_are_exact(value: int) -> None:
    record = Row(0, 0, COMMIT, 1.0, {"x": value, "in": [{"deep": value}], "b": True})
    found = decode(pack(record))
    assert isinstance(found, Row)
    assert found.data == record.data
    assert type(found.data["x"]) is int
    assert found.data["b"] is True


def test_nan_and_infinity_can_be_written_and_read() -> None:
    found = decode(pack(Row(0, 0, COMMIT, 1.0, {"n": math.nan, "i": math.inf, "m": -math.inf, "z": -0.0})))
    assert isinstance(found, Row)
    assert math.isnan(found.data["n"])
    assert (found.data["i"], found.data["m"]) == (math.inf, -math.inf)
    assert math.copysign(1, found.data["z"]) == -1


def test_lone_surrogates_are_escaped_in_keys_and_values() -> None:
    found = decode(pack(ConfigChanged({"a\ud800": "b\udfffc", "ok": ["\ud83d", "\U0001f600"]}, ["x\ud800"])))
    assert found == ConfigChanged({"a\\ud800": "b\\udfffc", "ok": ["\\ud83d", "\U0001f600"]}, ["x\\ud800"])


def test_keys_that_differ_in_a_lone_surrogate_stay_different() -> None:
    data = {f"a{chr(0xD800 + number)}": number for number in (1, 2)}
    found = decode(pack(Row(0, 0, COMMIT, 1.0, data)))
    assert isinstance(found, Row)
    assert sorted(found.data.values()) == [1, 2]


def test_an_integer_with_too_many_digits_becomes_hexadecimal_text() -> None:
    found = decode(pack(Row(0, 0, COMMIT, 1.0, {"x": 10**5000, "y": -(10**5000), "z": 1})))
    assert isinstance(found, Row)
    assert found.data == {"x": hex(10**5000), "y": hex(-(10**5000)), "z": 1}


def test_huge_integer_and_surrogate_together() -> None:
    found = decode(pack(SummaryChanged({"\ud800": 2**70})))
    assert found == SummaryChanged({"\\ud800": 2**70})
