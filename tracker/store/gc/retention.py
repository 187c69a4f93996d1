"""Retention rules: which versions of a collection stay, as in ``best 3 by val_loss, last 2, aliased``."""

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
    """Keeps the versions with the best values of one key of their metadata; ``mode`` None: see ``_mode``."""

    number: int
    key: str
    mode: Mode | None


class Rule(NamedTuple):
    """What is kept in collections; the newest version always is.

    Attributes:
        glob: Which collections: ``ENTITY/PROJECT/NAME``, each with ``*``, ``?`` and ``[...]``.
        text: The rule as it was written.
        best: Clauses ``best N by KEY``.
        last: How many of the newest are kept.
        aliased: Whether every version is kept that an alias other than ``latest`` names.
    """

    glob: str
    text: str
    best: tuple[Best, ...]
    last: int
    aliased: bool

    def matches(self, entity: str, project: str, name: str) -> bool:
        """Whether the rule is for this collection."""
        parts = self.glob.split("/")
        return all(map(fnmatchcase, (entity, project, name), parts))


class Decision(NamedTuple):
    """What a rule says of a collection: the versions that go, and what somebody should know of the others."""

    go: list[ArtifactInfo]
    notes: list[str]


def parse_rule(glob: str, text: str) -> Rule:
    """Return a rule.

    Raises:
        UsageError: It is none; says what is allowed.
    """
    parts = glob.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"{glob!r} names no collections: write ENTITY/PROJECT/NAME, * and ? stand for any")
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
            raise UsageError(f"{words!r} is no retention rule: there are {ALLOWED}")
    return Rule(glob, " ".join(text.split()), tuple(best), last, aliased)


def read_rules(path: Path) -> list[Rule]:
    """Return the rules of a store, lines ``GLOB: RULE``; none when there is no such file.

    Raises:
        UsageError: A line is no rule; says which, and what is allowed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rules = []
    for number, line in enumerate(lines, 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        glob, colon, text = said.partition(":")
        try:
            if not colon:
                raise UsageError(f"{said!r} is no retention rule: write ENTITY/PROJECT/NAME: RULE")
            rules.append(parse_rule(glob.strip(), text.strip()))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error.message}") from None
    return rules


def rule_for(rules: Sequence[Rule], entity: str, project: str, name: str) -> Rule | None:
    """Return the first rule that is for a collection."""
    return next((rule for rule in rules if rule.matches(entity, project, name)), None)


def decide(rule: Rule, versions: Sequence[ArtifactInfo]) -> Decision:
    """Return which versions of one collection go.

    Args:
        rule: The rule.
        versions: All of them, newest first.
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
                notes.append(f"{name_of(version)} is kept: its metadata has no number {clause.key!r}")
    return Decision([version for version in versions if version.version not in kept], notes)


def name_of(version: ArtifactInfo) -> str:
    """Return ``ENTITY/PROJECT/NAME:vN``."""
    return f"{version.entity}/{version.project}/{version.name}:{version.version}"


def _best_of(clause: Best, versions: Sequence[ArtifactInfo]) -> tuple[list[ArtifactInfo], list[ArtifactInfo]]:
    """Return the best versions, the newer one of equals, and those that have no value."""
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
    """Return whether small or large values are good: as said, else as a checkpoint's callback says."""
    if clause.mode is not None:
        return clause.mode
    for version in versions:
        callback = version.metadata.get("ModelCheckpoint")
        if isinstance(callback, dict) and callback.get("monitor") == clause.key:
            return "max" if callback.get("mode") == "max" else "min"
    return "min"


def _value(metadata: dict[str, Any], key: str) -> float | None:
    """Return a number of the metadata; a Lightning checkpoint has its monitor's value under ``score``."""
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
