"""Retention rules: which versions of a collection to keep, like ``best 3 by val_loss, last 2, aliased``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tracker.errors import UsageError
from tracker.ground.read_models import ArtifactInfo

Mode = Literal["min", "max"]
ALLOWED = "'best N by KEY [min|max]', 'last N' and 'aliased', separated by commas"
_BEST = re.compile(r"best (\d+) by (\S+)(?: (min|max))?")
_LAST = re.compile(r"last (\d+)")
_ALIASED = re.compile(r"(?:everything )?aliased")


class Best(NamedTuple):
    """A clause that keeps the versions with the best values of a key of their metadata.

    Attributes:
        number: Number of versions to keep.
        key: The key; dots separate the keys of nested dicts.
        mode: Whether small or large values are best. None: see ``_mode``.
    """

    number: int
    key: str
    mode: Mode | None


class Rule(NamedTuple):
    """A retention rule for collections. Every rule keeps the newest version.

    Attributes:
        glob: Pattern ``ENTITY/PROJECT/NAME`` of the collections. Each part may use ``*``, ``?``, ``[...]``.
        text: Text of the rule.
        best: Clauses ``best N by KEY``.
        last: Number of newest versions to keep.
        aliased: Whether to keep every version with an alias other than ``latest``.
    """

    glob: str
    text: str
    best: tuple[Best, ...]
    last: int
    aliased: bool

    def matches(self, entity: str, project: str, name: str) -> bool:
        """Return whether the rule applies to a collection.

        Args:
            entity: Entity of the collection.
            project: Project of the collection.
            name: Name of the collection.
        """
        parts = self.glob.split("/")
        return all(map(fnmatchcase, (entity, project, name), parts))


class Decision(NamedTuple):
    """The result of a rule for a collection.

    Attributes:
        delete: Versions to delete.
        notes: Messages for the user about versions that are kept.
    """

    delete: list[ArtifactInfo]
    notes: list[str]


def parse_rule(glob: str, text: str) -> Rule:
    """Return the rule in ``text`` for the collections that match ``glob``.

    Raises:
        UsageError: The pattern or the rule is invalid.
    """
    parts = glob.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(
            f"invalid pattern {glob!r}: write ENTITY/PROJECT/NAME, where * and ? match any characters"
        )
    best, last, aliased = [], 0, False
    for clause in text.removeprefix("keep ").split(","):
        words = " ".join(clause.split())
        if found := _BEST.fullmatch(words):
            best.append(Best(int(found[1]), found[2], found[3]))  # type: ignore[arg-type]
        elif found := _LAST.fullmatch(words):
            last = max(last, int(found[1]))
        elif _ALIASED.fullmatch(words):
            aliased = True
        else:
            raise UsageError(f"invalid retention rule {words!r}: use {ALLOWED}")
    return Rule(glob, " ".join(text.split()), tuple(best), last, aliased)


def read_rules(path: Path) -> list[Rule]:
    """Return the rules in a file with lines ``GLOB: RULE``. A missing file has no rules.

    Raises:
        UsageError: A line is not a rule.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rules = []
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        glob, colon, text = entry.partition(":")
        try:
            if not colon:
                raise UsageError(f"invalid retention rule {entry!r}: write ENTITY/PROJECT/NAME: RULE")
            rules.append(parse_rule(glob.strip(), text.strip()))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error.message}") from None
    return rules


def rule_for(rules: Sequence[Rule], entity: str, project: str, name: str) -> Rule | None:
    """Return the first rule that applies to a collection, or None.

    Args:
        rules: The rules, in their order in the file.
        entity: Entity of the collection.
        project: Project of the collection.
        name: Name of the collection.
    """
    return next((rule for rule in rules if rule.matches(entity, project, name)), None)


def decide(rule: Rule, versions: Sequence[ArtifactInfo]) -> Decision:
    """Return the versions of a collection that a rule does not keep.

    Args:
        rule: The rule.
        versions: All versions of the collection, newest first.
    """
    kept = {version.version for version in versions[: max(rule.last, 1)]}
    if rule.aliased:
        kept |= {version.version for version in versions if set(version.aliases) - {"latest"}}
    notes = []
    for clause in rule.best:
        best, without = _best_of(clause, versions)
        kept |= {version.version for version in best}
        for version in without:
            if version.version not in kept:
                kept.add(version.version)
                notes.append(f"{name_of(version)} is kept: its metadata has no number for {clause.key!r}")
    return Decision([version for version in versions if version.version not in kept], notes)


def name_of(version: ArtifactInfo) -> str:
    """Return ``ENTITY/PROJECT/NAME:vN``."""
    return f"{version.entity}/{version.project}/{version.name}:{version.version}"


def _best_of(clause: Best, versions: Sequence[ArtifactInfo]) -> tuple[list[ArtifactInfo], list[ArtifactInfo]]:
    """Return the best versions, and the versions without a value. Of equal versions the newer is better."""
    values = [(version, _value(version.metadata, clause.key)) for version in versions]
    sign = -1 if _mode(clause, versions) == "max" else 1
    ranked = [
        (math.isnan(value), sign * value, at, version)  # nan is worse than any number
        for at, (version, value) in enumerate(values)
        if value is not None
    ]
    ranked.sort(key=lambda each: each[:3])
    return [each[3] for each in ranked[: clause.number]], [each for each, value in values if value is None]


def _mode(clause: Best, versions: Sequence[ArtifactInfo]) -> Mode:
    """Return whether small or large values are best.

    Without a mode in the clause, use the mode of the checkpoint callback in the metadata, else ``min``.
    """
    if clause.mode is not None:
        return clause.mode
    for version in versions:
        callback = version.metadata.get("ModelCheckpoint")
        if isinstance(callback, dict) and callback.get("monitor") == clause.key:
            return "max" if callback.get("mode") == "max" else "min"
    return "min"


def _value(metadata: dict[str, Any], key: str) -> float | None:
    """Return the number for ``key`` in the metadata, or None.

    For the monitored key of a Lightning checkpoint, the number may be in ``score``.
    """
    found: Any = metadata
    for part in [key] if key in metadata else key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    callback = metadata.get("ModelCheckpoint")
    if found is None and isinstance(callback, dict) and callback.get("monitor") == key:
        found = metadata.get("score")
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        return float(found)
    except OverflowError:
        return math.inf if found > 0 else -math.inf
