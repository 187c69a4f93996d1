"""Effects of records on an artifact collection: one test per rule."""

from __future__ import annotations

from typing import Any

from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged
from tracker.runstate.collection import (
    CollectionState,
    Outcome,
    RecordId,
    VersionState,
    parse_version_name,
    version_name,
)

PLACE = ("team", "demo", "model")
A, B = "aa" * 16, "bb" * 16


def log(
    state: CollectionState,
    content: str,
    time: float,
    aliases: list[str] | None = None,
    made_by: RecordId | None = None,
    **fields: Any,
) -> Outcome:
    record = ArtifactLogged("model", "dataset", content, "", 1, 1, aliases or [], "client", time, **fields)
    return state.log(record, "run1", made_by or RecordId(A, int(time)))


def edit(state: CollectionState, number: int, content: str, time: float, **fields: Any) -> Outcome | None:
    return state.change(ArtifactChanged(*PLACE, number, content, time, **fields))


def filled(*contents: str) -> CollectionState:
    state = CollectionState(PLACE)
    for time, content in enumerate(contents):
        log(state, content, time)
    return state


def test_new_content_makes_a_new_version_and_equal_content_does_not() -> None:
    state = filled("x", "y")
    assert log(state, "y", 5, ["best"]) == Outcome(1, aliases={"best": 1, "latest": 1})
    assert log(state, "x", 6) == Outcome(2, added=True, aliases={"latest": 2})
    assert state.aliases == {"best": 1, "latest": 2}
    assert [each.digest for each in state.versions.values()] == ["x", "y", "x"]


def test_a_version_has_the_values_of_its_record() -> None:
    state = CollectionState(PLACE)
    log(state, "x", 3, description="words", metadata={"a": 1}, tags=["t"], ttl=4.0)
    assert state.versions[0] == VersionState(
        entity="team", project="demo", name="model", type="dataset", digest="x", size=1, file_count=1,
        description="words", metadata={"a": 1}, tags=["t"], created_at=3, updated_at=3, expires_at=7,
        deleted_at=None, logged_by="run1", source=None, segment=A, sequence=3, manifest="",
    )  # fmt: skip
    other = ArtifactLogged("model", "another type", "y", "", 1, 1, [], "client", 4)
    state.log(other, "run2", RecordId(B, 0))
    assert (state.versions[1].type, state.versions[1].expires_at) == ("dataset", None)


def test_the_number_of_a_deleted_version_is_not_used_again() -> None:
    state = filled("x", "y")
    edit(state, 1, "y", 5, deleted=True)
    assert list(state.live) == [0]
    assert log(state, "y", 6).number == 2


def test_latest_moves_back_after_a_deletion() -> None:
    state = filled("x", "y", "z")
    state.aliases["best"] = 2
    assert edit(state, 2, "z", 5, deleted=True) == Outcome(
        2, changed=True, aliases={"best": None, "latest": 1}
    )
    assert state.aliases == {"latest": 1}
    assert state.moved_at["latest"] == 5
    assert (state.versions[2].deleted_at, state.versions[2].updated_at) == (5, 5)
    edit(state, 1, "y", 6, deleted=True)
    edit(state, 0, "x", 7, deleted=True)
    assert state.aliases == {}


def test_the_deletion_of_an_older_version_does_not_move_latest() -> None:
    state = filled("x", "y", "z")
    assert edit(state, 0, "x", 5, deleted=True) == Outcome(0, changed=True)
    assert state.aliases == {"latest": 2}


def test_a_deletion_does_not_restore_a_removed_latest() -> None:
    state = filled("x", "y")
    edit(state, 1, "y", 5, aliases_removed=["latest"])
    edit(state, 1, "y", 6, deleted=True)
    assert state.aliases == {}


def test_the_later_of_two_edits_wins_in_either_order() -> None:
    for times in ((5, 6), (6, 5)):
        state = filled("x")
        for time in times:
            edit(state, 0, "x", time, values={"description": str(time), "tags": [str(time)]})
        version = state.versions[0]
        assert (version.description, version.tags, version.updated_at) == ("6", ["6"], 6)
    assert edit(state, 0, "x", 4, values={"description": "too late"}) == Outcome(0)


def test_of_two_edits_at_the_same_time_the_last_applied_wins() -> None:
    state = filled("x")
    for text in ("first", "second"):
        edit(state, 0, "x", 5, values={"description": text})
    assert state.versions[0].description == "second"


def test_an_edit_changes_only_the_fields_that_it_contains() -> None:
    state = filled("x")
    edit(state, 0, "x", 5, values={"metadata": {"a": 1}, "expires_at": 9.0, "unknown": 1})
    version = state.versions[0]
    assert (version.metadata, version.expires_at, version.description, version.tags) == (
        {"a": 1},
        9.0,
        None,
        [],
    )
    assert edit(state, 0, "x", 6, aliases_added=["best"]) == Outcome(0, aliases={"best": 0})
    assert version.updated_at == 5


def test_a_deletion_is_final_in_any_order() -> None:
    state = filled("x")
    edit(state, 0, "x", 9, values={"description": "later"})
    assert edit(state, 0, "x", 5, deleted=True) == Outcome(0, changed=True, aliases={"latest": None})
    assert (state.versions[0].deleted_at, state.versions[0].updated_at) == (5, 9)


def test_an_edit_follows_content_whose_number_changed() -> None:
    state = filled("x", "y", "x")
    found = [
        state.find(*seen) for seen in ((0, "x"), (0, "y"), (1, "x"), (7, "x"), (0, ""), (7, ""), (0, "z"))
    ]
    assert found == [0, 1, 2, 2, 0, None, None]
    assert edit(state, 0, "z", 5, deleted=True) is None
    edit(state, 2, "x", 6, deleted=True)
    assert [state.find(2, "x"), state.find(2, "")] == [0, None]


def test_an_alias_has_one_version_and_only_this_version_loses_it() -> None:
    state = filled("x", "y")
    log(state, "z", 5, ["best", "latest", "best"])
    edit(state, 0, "x", 6, aliases_added=["best"], aliases_removed=["latest"])
    assert state.aliases == {"best": 0, "latest": 2}
    assert edit(state, 0, "x", 7, aliases_removed=["best"]) == Outcome(0, aliases={"best": None})
    assert "best" not in state.moved_at


def test_a_new_version_gets_an_alias_even_if_it_moved_later() -> None:
    """The record is applied late, but its version is newer than the version that has the alias."""
    state = filled("x")
    edit(state, 0, "x", 9, aliases_added=["best"])
    assert log(state, "y", 5, ["best"]).aliases == {"best": 1, "latest": 1}


def test_a_deletion_that_is_applied_late_moves_latest_too() -> None:
    state = filled("x")
    log(state, "y", 9)
    assert edit(state, 1, "y", 5, deleted=True) == Outcome(1, changed=True, aliases={"latest": 0})


def test_an_alias_that_was_never_moved_has_no_time() -> None:
    assert edit(filled("x"), 0, "x", 0.5, aliases_added=["new"]) == Outcome(0, aliases={"new": 0})


def test_an_edit_does_not_take_an_alias_that_moved_later() -> None:
    state = filled("x", "y")
    edit(state, 0, "x", 9, aliases_added=["best"])
    for fields in ({"aliases_added": ["best"]}, {"aliases_removed": ["best"]}):
        assert edit(state, 1, "y", 8, **fields) == Outcome(1)
        assert edit(state, 0, "x", 8, aliases_removed=["best"]) == Outcome(0)
    assert edit(state, 1, "y", 9, aliases_added=["best"]) == Outcome(1, aliases={"best": 1})


def test_a_record_that_is_applied_again_changes_nothing() -> None:
    state = CollectionState(PLACE)
    log(state, "x", 1, ["best", "mine"])
    log(state, "y", 2, ["best"])
    assert log(state, "x", 1, ["best", "mine"]) == Outcome(0, aliases={"mine": 0})
    assert state.aliases == {"best": 1, "mine": 0, "latest": 1}
    edit(state, 0, "x", 3, deleted=True)
    assert log(state, "x", 1, ["mine"]) == Outcome(0)
    assert state.aliases == {"best": 1, "latest": 1}


def test_a_number_claimed_before_a_crash_takes_no_later_alias() -> None:
    class Claimed(CollectionState):
        def claim(self, version: VersionState, wanted: int | None = None) -> tuple[int, bool]:
            return 0, True

    state = Claimed(PLACE)
    state.versions = {1: filled("y").versions[0]}
    state.aliases, state.moved_at = {"best": 1, "latest": 1}, {"best": 5.0}
    assert log(state, "x", 1, ["best", "mine"], RecordId(B, 0)) == Outcome(0, added=True, aliases={"mine": 0})


def test_equal_content_renews_an_expired_version() -> None:
    state = CollectionState(PLACE)
    log(state, "x", 1, ttl=5.0)
    assert not log(state, "x", 5, ttl=9.0).changed  # it has not expired
    assert state.versions[0].expires_at == 6
    outcome = log(state, "x", 6, ttl=9.0)
    assert (outcome.changed, state.versions[0].expires_at) == (True, 15)
    log(state, "x", 20)
    assert state.versions[0].expires_at is None
    edit(state, 0, "x", 21, values={"expires_at": 0.5})
    assert not log(state, "x", 1, ttl=5.0).changed  # applied again: this record made the version


def link(state: CollectionState, source: CollectionState, number: int, time: float, **fields: Any) -> Any:
    record = ArtifactLinked(*source.place, number, fields.pop("digest", ""), *state.place, ["prod"], time)
    return state.link(record, source, RecordId(B, int(time)))


def test_a_link_is_a_version_with_a_source() -> None:
    source, state = filled("x", "y"), CollectionState(("team", "registry", "best"))
    source.versions[1].tags, source.versions[1].description = ["t"], "words"
    source.versions[1].expires_at = 99
    assert link(state, source, 1, 5) == Outcome(0, added=True, aliases={"prod": 0, "latest": 0})
    assert state.versions[0] == VersionState(
        entity="team", project="registry", name="best", type="dataset", digest="y", size=1, file_count=1,
        description="words", metadata={}, tags=[], created_at=5, updated_at=5, expires_at=None,
        logged_by="run1", source="team/demo/model:v1", segment=B, sequence=5, manifest="",
    )  # fmt: skip
    assert link(state, source, 1, 6) == Outcome(0, aliases={"prod": 0, "latest": 0})
    assert link(state, source, 0, 7).number == 1
    assert link(state, source, 1, 8).number == 2
    assert link(state, source, 7, 9) is None
    assert link(state, source, 7, 9, digest="x").number == 3
    assert link(state, source, 1, 10).number == 4
    assert link(state, source, 1, 5) == Outcome(0)  # applied again
    assert state.aliases == {"prod": 4, "latest": 4}
    state.type = "model"
    link(state, source, 0, 11)
    assert state.versions[5].type == "model"


def test_a_link_of_a_link_names_the_first_source() -> None:
    source, middle = filled("x"), CollectionState(("team", "registry", "middle"))
    link(middle, source, 0, 5)
    state = CollectionState(("team", "registry", "last"))
    link(state, middle, 0, 6)
    assert state.versions[0].source == "team/demo/model:v0"


def test_a_link_does_not_take_an_alias_that_moved_later() -> None:
    source, state = filled("x", "y"), CollectionState(("team", "registry", "best"))
    link(state, source, 0, 9)
    assert link(state, source, 1, 8) == Outcome(1, added=True)


def test_names_of_versions() -> None:
    assert version_name(PLACE, 12) == "team/demo/model:v12"
    assert parse_version_name("team/demo/a:v1:v12") == (("team", "demo", "a:v1"), 12)


def test_a_record_refers_to_a_version_by_number_and_digest() -> None:
    state = filled("x", "y", "x")
    found = edit(state, 0, "x", 5, aliases_added=["first"])
    assert found == Outcome(0, aliases={"first": 0})


def test_only_the_newest_version_gets_latest() -> None:
    """The record is applied again, and comes from a host whose clock is ahead."""
    state = CollectionState(PLACE)
    log(state, "x", 20, ["latest"])
    log(state, "y", 10, made_by=RecordId(B, 0))
    log(state, "x", 20, ["latest"])
    assert state.aliases == {"latest": 1}


def test_a_link_belongs_to_the_entity_of_its_collection() -> None:
    registry = CollectionState(("registry", "models", "best"))
    record = ArtifactLinked(*PLACE, 0, "x", *registry.place, [], 5)
    assert registry.link(record, filled("x"), RecordId(B, 1)) is not None
    linked = registry.versions[0]
    assert (linked.entity, linked.project, linked.name) == registry.place
