"""The config that the client sends: the user's values, and the client's own part, ``_wandb``."""

from __future__ import annotations

from typing import Any

from server.wandb.texts import read_json, read_time
from tracker.ground.records import MetricDefined

_SUMMARIES = {1: "min", 2: "max", 3: "mean", 4: "best", 5: "last", 6: "none", 7: "copy", 8: "first"}
_GOALS = {1: "minimize", 2: "maximize"}


def split_config(text: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the user's config and the client's own part, from the text of ``upsertBucket``.

    Each value is an object with the key ``value``. ``wandb.Api`` sends some values without it.
    """
    given = read_json(text) if isinstance(text, str) and text else (text or {})
    config = {
        key: item["value"] if isinstance(item, dict) and "value" in item else item
        for key, item in given.items()
    }
    internal = config.pop("_wandb", None)
    return config, internal if isinstance(internal, dict) else {}


def join_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config in the form that the client reads."""
    internal = config.get("_wandb")
    # A resume looks for the key `t` to see whether the run was ever started.
    known = {"t": {}, **(internal if isinstance(internal, dict) else {})}
    own = {key: {"value": value} for key, value in config.items() if key != "_wandb"}
    return own | {"_wandb": {"value": known}}


def started_at(internal: dict[str, Any]) -> float | None:
    """Return when the client started, in unix seconds; None if it does not say."""
    writers = internal.get("e")
    times = [
        found
        for each in (writers.values() if isinstance(writers, dict) else ())
        if isinstance(each, dict) and (found := read_time(each.get("startedAt"))) is not None
    ]
    return max(times, default=None)


def environment(internal: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of the newest writer, with the keys of ``wandb-metadata.json``."""
    writers = internal.get("e")
    known = [each for each in writers.values() if isinstance(each, dict)] if isinstance(writers, dict) else []
    return max(known, key=lambda each: str(each.get("startedAt")), default={})


def definitions(internal: dict[str, Any]) -> list[MetricDefined]:
    """Return the definitions of metrics. The keys are numbers of fields of ``MetricRecord``.

    The client also lists step metrics that the script did not define, with nothing but their name.
    """
    listed = [each for each in internal.get("m") or () if isinstance(each, dict)]
    names = [each.get("1") or each.get("2") for each in listed]
    found = []
    for each, name in zip(listed, names, strict=True):
        if not isinstance(name, str) or not name:
            continue
        options, summary = each.get("6") or [], each.get("7") or []
        if not (options or summary or each.keys() & {"4", "5", "8"}):
            continue
        at = each.get("5")
        by_number = names[at - 1] if isinstance(at, int) and 0 < at <= len(names) else None
        found.append(
            MetricDefined(
                name,
                each.get("4") or by_number,
                1 in options,
                2 in options,
                [_SUMMARIES[number] for number in summary if number in _SUMMARIES],
                _GOALS.get(each.get("8") or 0),
            )
        )
    return found
