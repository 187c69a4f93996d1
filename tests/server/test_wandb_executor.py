"""The executor of the wandb protocol: it knows no schema, and refuses what would take for ever."""

from __future__ import annotations

from typing import Any

import pytest

from server.wandb.executor import Executor, Fields, snake
from tracker.errors import NotFoundError, UsageError


class Keeper:
    key = "secret"


class Animal(Fields):
    typename = "ArtifactSequence"
    internal = Fields.internal | {"keeper"}
    line_count = 3
    keeper = keeper_of = Keeper()
    _keeper = Keeper()

    def named(self, first: str = "", **_: Any) -> str:
        return f"animal {first}"


EXECUTOR = Executor(
    {
        "animal": lambda context, kind=None: Animal(),
        "echo": lambda context, **given: given,
        "none": lambda context: None,
    },
    {"change": lambda context, given=None: {"done": given}, "nothing": lambda context: None},
)


def run(text: str, **variables: Any) -> Any:
    return EXECUTOR.run(text, variables, None)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("{animal {lineCount}}", {"animal": {"lineCount": 3}}),
        ("{a: animal {n: lineCount __typename}}", {"a": {"n": 3, "__typename": "ArtifactSequence"}}),
        ('{animal {named(first: "x", other: 1)}}', {"animal": {"named": "animal x"}}),
        ("{animal {... on ArtifactCollection {lineCount}}}", {"animal": {"lineCount": 3}}),
        ("{animal {... on Run {lineCount}}}", {"animal": {}}),
        ("{animal {...F}} fragment F on ArtifactSequence {lineCount}", {"animal": {"lineCount": 3}}),
        ("query($no: Boolean = true) {animal {lineCount @skip(if: $no)}}", {"animal": {}}),
        ("query($no: Boolean) {animal @include(if: $no) {lineCount}}", {}),
        ("{none {field {inside}}}", {"none": None}),
        ("{unheard {of}}", {"unheard": None}),
        ("{animal {unheard {of}}}", {"animal": {"unheard": None}}),
        # Only the public fields of an object can be read.
        ("{animal {_keeper {key}}}", {"animal": {"_keeper": None}}),
        ("{animal {_context}}", {"animal": {"_context": None}}),
        ("{animal {__class__ {mro}}}", {"animal": {"__class__": None}}),
        ("{animal {keeper {key}}}", {"animal": {"keeper": None}}),
        ("{animal {keeperOf {key}}}", {"animal": {"keeperOf": {"key": None}}}),
        ("{animal {named {upper}}}", {"animal": {"named": {"upper": None}}}),
        ("{echo(some: {a: 1, b: [2.5, null, X]})}", {"echo": {"some": {"a": 1, "b": [2.5, None, "X"]}}}),
        ("query($v: Int = 4, $w: Int) {echo(a: $v, b: {c: $w})}", {"echo": {"a": 4, "b": {}}}),
        ("mutation {change(given: 1) {done}}", {"change": {"done": 1}}),
    ],
)
def test_answers(query: str, answer: Any) -> None:
    assert run(query) == answer


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("{animal", UsageError),
        ("{animal {...Missing}}", UsageError),
        ("{animal {...F}} fragment F on ArtifactSequence {...F}", UsageError),
        ("query A {none} query B {none}", UsageError),
        ("mutation {unheard}", UsageError),
        ("mutation {nothing {of}}", NotFoundError),  # null would end the client
        ("{a" * 5000 + "}" * 5000, UsageError),
        ("{" + "animal " * 20_000 + "}", UsageError),
    ],
)
def test_errors(query: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(query)


def test_a_query_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.wandb.executor._LONGEST", -1.0)
    with pytest.raises(UsageError, match="takes more than"):
        run("{animal {lineCount}}")


def test_fragments_that_double_are_refused() -> None:
    fragments = " ".join(
        f"fragment F{at} on ArtifactSequence {{...F{at + 1} ...F{at + 1}}}" for at in range(30)
    )
    with pytest.raises(UsageError, match="more than 5000 fields"):
        run("{animal {...F0}} " + fragments + " fragment F30 on ArtifactSequence {lineCount}")


def test_unknown_names_are_counted() -> None:
    executor = Executor({"animal": lambda context: Animal()}, {})
    for _ in range(2):
        executor.run("query Seen {animal(odd: 1) {lineCount strange} more}", {}, None)
    assert executor.unknown == {"animal(odd)": 2, "ArtifactSequence.strange": 2, "query more": 2}
    assert executor.answered == {"query Seen": 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("historyLineCount", "history_line_count"),
        ("id", "id"),
        ("projectID", "project_id"),
        ("useArtifactV2", "use_artifact_v2"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert snake(name) == expected
