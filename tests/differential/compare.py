"""Comparison of two outcomes field by field, with their declared differences."""

from __future__ import annotations

from typing import Any

from differential.script import ABSENT, Difference


def differences(wandb: Any, tracker: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the places where two outcomes differ, with wandb's value and tracker's value.

    tracker may raise a subclass of wandb's error, because an ``except`` clause for wandb's error catches it.
    """
    if isinstance(wandb, dict) and isinstance(tracker, dict):
        if wandb.keys() == tracker.keys() == {"raised"} or (
            "raised" in wandb and "raised" in tracker and wandb.get("says") == tracker.get("says")
        ):
            same = wandb["raised"][:1] == tracker["raised"][:1] or (
                wandb["raised"] and wandb["raised"][0] in tracker["raised"]
            )
            return {} if same else {at: (wandb, tracker)}
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*wandb, *tracker}):
            found |= differences(wandb.get(key, ABSENT), tracker.get(key, ABSENT), _place(at, key))
        return found
    if isinstance(wandb, list) and isinstance(tracker, list) and len(wandb) == len(tracker):
        found = {}
        for index, (theirs, ours) in enumerate(zip(wandb, tracker, strict=True)):
            found |= differences(theirs, ours, _place(at, str(index)))
        return found
    return {} if _same(wandb, tracker) else {at: (wandb, tracker)}


def complaints(
    wandb: dict[str, Any], tracker: dict[str, Any], declared: list[Difference], known: list[str]
) -> list[str]:
    """Return a line for each undeclared difference, and for each declared difference that does not exist.

    Args:
        wandb: The outcome of the real client.
        tracker: The outcome of tracker.
        declared: The deliberate differences of the script.
        known: Places of known faults that are not fixed yet.
    """
    wrong = []
    for difference in declared:
        theirs, ours = at(wandb, difference.at), at(tracker, difference.at)
        if not differences(theirs, ours):
            wrong.append(f"{difference.at} is declared to differ but does not")
        elif differences(difference.ours, ours):
            wrong.append(f"{difference.at} is declared to be {difference.ours!r} but is {ours!r}")
    covered = [difference.at for difference in declared]
    found = {
        place: both
        for place, both in differences(wandb, tracker).items()
        if not any(place == prefix or place.startswith(f"{prefix}/") for prefix in covered)
    }
    for place in known:
        if place not in found:
            wrong.append(f"{place} is listed as a known fault but does not differ. Remove it from faults.py.")
    for place, (theirs, ours) in found.items():
        if place not in known:
            wrong.append(f"{place} differs:\n    wandb   {theirs!r}\n    tracker {ours!r}")
    return wrong


def at(outcome: Any, place: str) -> Any:
    """Return the value at a place of an outcome, ABSENT if there is none. Keys may contain slashes."""
    if place == "":
        return outcome
    if isinstance(outcome, list):
        head, _, rest = place.partition("/")
        return at(outcome[int(head)], rest) if head.isdigit() and int(head) < len(outcome) else ABSENT
    if isinstance(outcome, dict):
        for key in outcome:
            if place == key or place.startswith(f"{key}/"):
                return at(outcome[key], place[len(key) + 1 :])
    return ABSENT


def _place(at: str, key: str) -> str:
    return f"{at}/{key}" if at else key


def _same(wandb: Any, tracker: Any) -> bool:
    # 1 and 1.0 are equal here, as in wandb's records; 1 and True differ.
    return isinstance(wandb, bool) is isinstance(tracker, bool) and bool(wandb == tracker)
