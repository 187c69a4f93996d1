"""Retention rules: the effect of each clause, the syntax of rules, and the deletion of versions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import tracker
from tracker.errors import UsageError
from tracker.ground.read_models import ArtifactInfo
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.gc.collect import collect
from tracker.store.gc.retention import decide, parse_rule, read_rules, rule_for

EVERY = "*/*/*"


def version(index: int, metadata: dict[str, Any] | None = None, *aliases: str) -> ArtifactInfo:
    return ArtifactInfo(
        "local",
        "p",
        "model",
        "model",
        f"v{index}",
        list(aliases),
        size=1,
        file_count=1,
        digest="",
        created_at=float(index),
        description=None,
        metadata=metadata or {},
        logged_by=None,
        manifest="",
    )


def losses(*values: Any) -> list[ArtifactInfo]:
    """Return versions v0, v1, ... with these losses, newest first."""
    found = [version(at, {"val_loss": value}) for at, value in enumerate(values)]
    return found[::-1]


def kept(rule: str, versions: list[ArtifactInfo]) -> list[int]:
    gone = {each.version for each in decide(parse_rule(EVERY, rule), versions).delete}
    return sorted(int(each.version[1:]) for each in versions if each.version not in gone)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("last 1", [5]),
        ("last 2", [4, 5]),
        ("last 0", [5]),  # the newest version is always kept
        ("last 99", [0, 1, 2, 3, 4, 5]),
        ("best 1 by val_loss", [1, 5]),
        ("best 2 by val_loss", [1, 3, 5]),
        ("best 2 by val_loss min", [1, 3, 5]),
        ("best 2 by val_loss max", [0, 4, 5]),
        ("best 1 by val_loss, best 1 by val_loss max", [1, 4, 5]),
        ("keep  best 1 by  val_loss,last 2", [1, 4, 5]),
        ("best 99 by val_loss", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_best_and_last(rule: str, expected: list[int]) -> None:
    assert kept(rule, losses(0.8, 0.1, 0.5, 0.2, 0.9, 0.3)) == expected


def test_versions_with_aliases_are_kept() -> None:
    versions = [
        version(4, None, "latest"),
        version(3),
        version(2, None, "prod"),
        version(1, None, "a", "b"),
        version(0),
    ]
    assert kept("aliased", versions) == [1, 2, 4]
    assert kept("everything aliased, last 2", versions) == [1, 2, 3, 4]
    assert kept("last 1", versions) == [4]


def test_of_equal_versions_the_newer_is_kept() -> None:
    assert kept("best 1 by val_loss", losses(0.5, 0.5, 0.9)) == [1, 2]


def test_nan_is_worse_than_any_number_and_infinities_are_numbers() -> None:
    values = losses(math.nan, math.inf, -math.inf, 2**2000, 0.5)
    assert kept("best 1 by val_loss", values) == [2, 4]
    assert kept("best 2 by val_loss max", values) == [1, 3, 4]
    assert kept("best 4 by val_loss", values) == [1, 2, 3, 4]


def test_a_version_without_the_value_is_kept_and_reported() -> None:
    versions = losses(0.1, None, 0.3, "low", True, 0.2)
    decision = decide(parse_rule(EVERY, "best 1 by val_loss"), versions)
    assert [each.version for each in decision.delete] == ["v2"]
    assert [note.split(" is kept: ")[0] for note in decision.notes] == [
        f"local/p/model:v{at}" for at in (4, 3, 1)
    ]
    assert "no number for 'val_loss'" in decision.notes[0]


def test_keys_with_dots() -> None:
    versions = [version(2), version(1, {"a": {"b": 0.5}}), version(0, {"a": {"b": 0.1}, "a.b": 0.9})]
    assert kept("best 1 by a.b", versions) == [1, 2]  # a key with a dot takes precedence over nested keys
    assert kept("best 1 by a.b max", versions) == [0, 2]


def test_checkpoints_of_lightning_are_ranked_by_their_monitor_and_mode() -> None:
    def checkpoint(index: int, score: float, mode: str = "max") -> ArtifactInfo:
        return version(index, {"score": score, "ModelCheckpoint": {"monitor": "val_accuracy", "mode": mode}})

    versions = [checkpoint(3, 0.1), checkpoint(2, 0.9), checkpoint(1, 0.5), checkpoint(0, 0.7)]
    assert kept("best 2 by val_accuracy", versions) == [0, 2, 3]
    assert kept("best 1 by val_accuracy min", versions) == [3]
    assert kept("best 1 by another_key", versions) == [0, 1, 2, 3]
    assert kept("best 1 by val_accuracy", [checkpoint(1, 2.0, "min"), checkpoint(0, 1.0, "min")]) == [0, 1]


@pytest.mark.parametrize(
    "rule", ["", "best", "best x by loss", "last", "last two", "first 3", "aliased, ", "last -1"]
)
def test_an_invalid_rule_is_an_error_with_the_allowed_clauses(rule: str) -> None:
    with pytest.raises(
        UsageError, match=r"invalid retention rule '.*': use 'best N by KEY \[min\|max\]', 'last N'"
    ):
        parse_rule(EVERY, rule)


@pytest.mark.parametrize("glob", ["", "model", "p/model", "a/b/c/d", "a//b"])
def test_an_invalid_pattern_is_an_error(glob: str) -> None:
    with pytest.raises(UsageError, match=r"invalid pattern '.*': write ENTITY/PROJECT/NAME"):
        parse_rule(glob, "last 1")


def test_the_first_matching_line_of_the_file_applies(tmp_path: Path) -> None:
    path = tmp_path / "retention.txt"
    assert read_rules(path) == []
    path.write_text(
        "# what we keep\n\nlocal/p/model-*: last 2   # two\n*/*/model-?: last 1\n*/q/*:best 1 by x,aliased\n"
    )
    rules = read_rules(path)
    assert [rule.text for rule in rules] == ["last 2", "last 1", "best 1 by x,aliased"]

    def found(*place: str) -> str | None:
        rule = rule_for(rules, *place)
        return rule.text if rule is not None else None

    assert found("local", "p", "model-1") == "last 2"
    assert found("team", "p", "model-1") == "last 1"
    assert found("team", "q", "data") == "best 1 by x,aliased"
    assert found("team", "p", "data") is None


@pytest.mark.parametrize("line", ["local/p/model last 2", "model: last 2", "*/*/*: newest 2"])
def test_the_error_for_an_invalid_line_has_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "retention.txt"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(UsageError, match=r"retention\.txt, line 2: "):
        read_rules(path)


def test_versions_that_a_rule_does_not_keep_are_deleted() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    for at, loss in enumerate((0.5, 0.1, 0.9, 0.7, 0.8)):
        artifact = tracker.Artifact("model", "model", metadata={"val_loss": loss})
        with artifact.new_file("weights", "wb") as file:
            file.write(bytes([at]) * 400_000)
        run.log_artifact(artifact, aliases=["prod"] if at == 0 else None).wait()
    store = open_store("tracker-store")
    Follower(store).poll(seal_ended=False)
    rule = parse_rule("local/p/model", "best 1 by val_loss, aliased")
    report = collect(store, [], [rule], grace=0)
    store.close()
    assert [(item.name, item.reason) for item in report.items if item.kind == "version"] == [
        (f"local/p/model:v{at}", "not kept by 'best 1 by val_loss, aliased'") for at in (3, 2)
    ]
    assert 800_000 < report.bytes < 802_000
    left = tracker.Api().artifacts("model", "p/model")
    assert [(each.version, each.aliases) for each in left] == [
        ("v4", ["latest"]),
        ("v1", []),
        ("v0", ["prod"]),
    ]
    for each in left:
        each.download(f"out/{each.version}")
        each.verify(f"out/{each.version}")


def test_a_dry_run_considers_links_that_would_be_deleted() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    linked = tracker.Artifact("linked", "model")
    # The collection with the links has the smaller id, so its versions are deleted first.
    first = tracker.Artifact("source", "model")
    with first.new_file("x") as file:
        file.write("first")
    run.log_artifact(first).wait().link("p/links")
    for content in ("second", "third"):
        linked = tracker.Artifact("late", "model")
        with linked.new_file("x") as file:
            file.write(content)
        run.log_artifact(linked).wait().link("p/links")
    rules = [parse_rule("*/p/links", "last 1"), parse_rule("*/p/late", "last 1")]
    store = open_store(Path("tracker-store"))
    said = [
        [
            item.name
            for item in collect(store, (), rules, grace=0.0, dry_run=dry_run).items
            if item.kind == "version"
        ]
        for dry_run in (True, False)
    ]
    store.close()
    assert said[0] == said[1]
    assert "local/p/late:v0" in said[0]
