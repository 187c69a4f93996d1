"""The catalog, published files with journals, and the pure rules give the same versions and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import ENTITY, PROJECT, START, Writer, artifact_record
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rebuilding import again
from sqlalchemy import select

from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged
from tracker.reading.pending_artifacts import CollectionFiles
from tracker.recorder.open_store import open_store
from tracker.runstate.collection import CollectionState, RecordId, VersionState
from tracker.store.catalog.models import Alias, Collection, Version
from tracker.store.ingest.apply import apply_journal
from tracker.store.published.versions import describe
from tracker.store.store import Store

SEGMENTS = [name * 16 for name in ("c3", "a1", "b2")]
NAMES = ["one", "two", "links"]
Record = ArtifactLogged | ArtifactChanged | ArtifactLinked

writer = st.integers(0, 2)
number = st.integers(0, 3)
content = st.integers(0, 2)
name = st.sampled_from(NAMES)
aliases = st.lists(st.sampled_from(["best", "x", "latest"]), max_size=2)
values = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["a", "b", None]),
        "metadata": st.just({"a": 1}),
        "tags": st.just(["t"]),
        "expires_at": st.sampled_from([START + 3, None]),
    },
)
STEP = st.one_of(
    st.tuples(st.just("log"), writer, name, content, aliases, st.sampled_from([None, 0.5, 2.0])),
    # A record of a writer with a slow clock is applied when it arrives.
    st.tuples(st.just("edit"), writer, name, number, content, aliases, aliases, values, st.integers(0, 3)),
    st.tuples(st.just("delete"), writer, name, number, content),
    st.tuples(st.just("link"), writer, name, number, content, name, aliases),
)


class Scenario:
    """Writers of three runs. Their records about artifacts are applied one by one."""

    def __init__(self, root: Path) -> None:
        self.store = open_store(root)
        self.clock = START
        self.writers = [Writer(self.store.layout, segment, f"run{at}") for at, segment in enumerate(SEGMENTS)]
        for each in self.writers:
            self.apply(each.segment)
        self.known = [
            artifact_record(self.store.blobs, "", {"a": b"%d" % at}, [], START, artifact_type=f"type {at}")
            for at in range(3)
        ]
        self.rules = {name: CollectionState((ENTITY, PROJECT, name)) for name in NAMES}

    def record(self, kind: str, *arguments: Any) -> Record:
        """Return the record of a step, one second later than the previous record."""
        self.clock += 1
        if kind == "log":
            name, content, aliases, ttl = arguments
            fields = {"name": name, "aliases": aliases, "ttl": ttl, "time": self.clock}
            return msgspec.structs.replace(self.known[content], **fields)
        name, number, content, *rest = arguments
        seen = (ENTITY, PROJECT, name, number, self.known[content].digest)
        if kind == "link":
            return ArtifactLinked(*seen, ENTITY, PROJECT, rest[0], rest[1], self.clock)
        if kind == "delete":
            return ArtifactChanged(*seen, self.clock, deleted=True)
        added, removed, values, late = rest
        return ArtifactChanged(*seen, self.clock - late, added, removed, values)

    def write(self, at: int, record: Record) -> tuple[int, int, Record]:
        """Write a record to a journal; return the writer, the number of the record and the record."""
        sequence = self.writers[at].journal.sequence
        self.writers[at].put(record)
        return at, sequence, record

    def apply(self, segment: str) -> None:
        """Apply the next record of a segment."""
        (journal,) = (each for each in self.store.layout.list_journals() if each.segment == segment)
        assert apply_journal(self.store, journal).records == 1

    def follow(self, at: int, sequence: int, record: Record) -> None:
        """Apply a record with the rules of ``tracker.runstate.collection`` alone."""
        made_by = RecordId(SEGMENTS[at], sequence)
        if isinstance(record, ArtifactLogged):
            self.rules[record.name].log(record, f"run{at}", made_by)
        elif isinstance(record, ArtifactLinked):
            self.rules[record.target_name].link(record, self.rules[record.name], made_by)
        else:
            self.rules[record.name].change(record)


def plain(state: CollectionState) -> Any:
    fields = VersionState.__struct_fields__
    versions = {at: {name: getattr(each, name) for name in fields} for at, each in state.versions.items()}
    return dict(sorted(versions.items())), dict(sorted(state.aliases.items()))


def by_rules(scenario: Scenario) -> dict[str, Any]:
    return {name: plain(state) for name, state in scenario.rules.items()}


def by_files(store: Store) -> dict[str, Any]:
    return {name: plain(CollectionFiles(store.layout, (ENTITY, PROJECT, name))) for name in NAMES}


def by_catalog(store: Store) -> dict[str, Any]:
    states = {name: CollectionState((ENTITY, PROJECT, name)) for name in NAMES}
    with store.reading() as session:
        for row in session.scalars(select(Version)):
            states[row.collection.name].versions[row.index] = describe(session, row)
        named = select(Collection.name, Alias.alias, Version.index)
        named = named.join_from(Alias, Version, Version.id == Alias.version_id).join(Collection)
        for name, alias, index in session.execute(named):
            states[name].aliases[alias] = index
    return {name: plain(state) for name, state in states.items()}


def check(root: Path, steps: list[tuple[Any, ...]], applied: int) -> None:
    scenario = Scenario(root)
    for kind, at, *arguments in steps[:applied]:
        scenario.follow(*scenario.write(at, scenario.record(kind, *arguments)))
        scenario.apply(SEGMENTS[at])
    assert by_catalog(scenario.store) == by_files(scenario.store) == by_rules(scenario)
    waiting = [
        scenario.write(at, scenario.record(kind, *arguments)) for kind, at, *arguments in steps[applied:]
    ]
    late = any(kind == "edit" and arguments[-1] for kind, *arguments in steps[applied:])
    for each in sorted(waiting, key=lambda each: (each[2].time, SEGMENTS[each[0]], each[1])):
        scenario.follow(*each)
    expected = by_rules(scenario)
    assert by_files(scenario.store) == expected
    if not late:  # a journal is applied in its own order
        for at, _sequence, _record in waiting:
            scenario.apply(SEGMENTS[at])
        assert by_catalog(scenario.store) == by_files(scenario.store) == expected
        scenario.store, found = again(scenario.store)
        assert found.broken == []
        assert by_catalog(scenario.store) == expected
    scenario.store.close()


@pytest.mark.slow
@given(steps=st.lists(STEP, max_size=12), applied=st.integers(0, 12))
@example(  # latest moves back
    steps=[("log", 0, "one", 0, [], None), ("log", 1, "one", 1, [], None), ("delete", 0, "one", 1, 1)],
    applied=2,
)
@example(  # one edit adds and removes an alias
    steps=[("log", 0, "one", 0, [], None), ("edit", 0, "one", 0, 0, ["a"], ["a"], {}, 0)],
    applied=2,
)
@example(  # the later of two edits holds
    steps=[
        ("log", 0, "one", 0, [], None),
        ("edit", 0, "one", 0, 0, [], [], {"description": "a"}, 0),
        ("edit", 1, "one", 0, 0, [], [], {"description": "b"}, 2),
    ],
    applied=3,
)
@settings(max_examples=10)
def test_catalog_files_and_rules_give_the_same_answer(
    steps: list[tuple[Any, ...]], applied: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.store.ingest.apply.BATCH_BYTES", 0)  # one record at a time
        check(tmp_path_factory.mktemp("agree") / "store", steps, applied)
