"""Starting, resuming, rewinding and forking a run, and changing what it shows."""

from __future__ import annotations

import time
from typing import Any

from server.wandb import client_config
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.ids import read_run_id
from server.wandb.run_object import ProjectObject, RunObject
from server.wandb.segments import OpenSegment, newest_step, writer
from server.wandb.stops import forget_stop
from server.wandb.texts import read_integer, read_json
from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import RunPath, new_run_id, new_run_name
from tracker.ground.read_models import RunDetail
from tracker.ground.records import (
    COMMIT,
    AlertRaised,
    ConfigChanged,
    FileSaved,
    Record,
    Row,
    RunChanged,
    RunStarted,
    SummaryChanged,
)

# Fields of a run that the client sets, by their names in a record.
_SHOWN = {
    "name": "displayName",
    "group": "groupName",
    "job_type": "jobType",
    "tags": "tags",
    "notes": "notes",
}
_DERIVED = ("_step", "_runtime", "_timestamp")
_LEVELS = ("INFO", "WARN", "ERROR")


def upsert_bucket(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Start or change a run."""
    if input.get("tags"):  # a resumed script may add the same tag again
        input = {**input, "tags": list(dict.fromkeys(input["tags"]))}
    if input.get("id"):
        place = read_run_id(input["id"])
    else:
        name = input.get("name") or new_run_id()
        place = context.place(input.get("entityName"), input.get("modelName"), name)
    context.require("writer", place)
    with context.segments.starting(place):
        known = _start_or_change(context, place, input)
    return {
        "bucket": RunObject(context, place, context.reader.run(*place)),
        "inserted": known is None,
    }


def _start_or_change(context: Context, place: RunPath, input: dict[str, Any]) -> RunDetail | None:
    """Start or change a run; return what it was before."""
    known = context.find(place)
    if input.get("id") and known is None:
        raise NotFoundError(f"there is no run {'/'.join(place)}")
    starts = context.is_core and bool(input.get("host") or input.get("jobProgram"))
    starts = starts and not _continues(context, place, input)
    if known is None or (starts and not (context.client and _is_running(context, place))):
        _begin(context, place, input, known)
    elif context.is_core:
        _change(context, place, input)
    else:
        _edit(context, place, input, known)
    return known


def _begin(context: Context, place: RunPath, given: dict[str, Any], known: RunDetail | None) -> None:
    """Begin a new attempt of a run, or a new run."""
    forget_stop(context, place)
    config, internal = client_config.split_config(given.get("config"))
    sent = frozenset(config)
    shown = _shown(given)
    resumes = bool(given.get("id"))
    if known is None and not shown["name"]:
        shown["name"] = new_run_name()
    when = client_config.started_at(internal) or time.time()
    runtime = known.duration if known is not None and resumes else 0.0
    copied: list[Record] = []
    branch = internal.get("branch_point")
    last = None if known is None else newest_step(known)
    start_step = last + 1 if last is not None and resumes else 0
    if isinstance(branch, dict) and known is None and branch.get("run_id"):
        parent = context.place(place[0], place[1], branch["run_id"])
        inherited, rows, copied = _before(
            context, parent, read_integer(branch.get("step"), "The step of the fork")
        )
        config = inherited | config
        runtime = max((row.get("_runtime") or 0.0 for row in rows), default=0.0)
        copied += [_copy(at, row, when - runtime) for at, row in enumerate(rows)]
    started = RunStarted(
        *place,
        when,
        writer(str(given.get("host") or "")),
        start_step=start_step,
        config=config | ({"_wandb": internal} if internal else {}),
        program=given.get("jobProgram") or given.get("program"),
        runtime_base=runtime,
        **shown,
    )
    segment = context.segments.begin(place, started, joins=bool(context.client))
    with segment.lock:
        segment.received.sent = sent
        segment.append([*copied, *client_config.definitions(internal)])


def _before(
    context: Context, parent: RunPath, last: int
) -> tuple[dict[str, Any], list[dict[str, Any]], list[Record]]:
    """Return a run's config, its rows up to a step, and its media files, for a run that is forked from it."""
    context.require("viewer", parent)
    found = context.reader.run(*parent)
    rows = context.reader.history(*parent, None, complete=False)
    records: list[Record] = [
        FileSaved(each.path, each.sha256, each.size, each.mimetype)
        for each in context.reader.files(*parent)
        if each.path.startswith("media/")
    ]
    config = {key: value for key, value in found.config.items() if key != "_wandb"}
    return config, [row for row in rows if row["_step"] <= last], records


def _copy(number: int, row: dict[str, Any], begin: float) -> Row:
    """Return a row of another run. ``begin`` is the time at which its first row would have been logged."""
    data = {key: value for key, value in row.items() if key not in _DERIVED}
    return Row(number, row["_step"], COMMIT, begin + (row.get("_runtime") or 0.0), data)


def _change(context: Context, place: RunPath, given: dict[str, Any]) -> None:
    """Record what the script has changed in its run."""
    with context.segments.using(place) as segment:
        if segment is None or not segment.is_usable:
            raise NotFoundError(f"the run {place[2]} has ended")
        records: list[Record] = []
        if given.get("config") is not None:
            records += config_changes(segment, given["config"], shared=bool(context.client))
        shown = {name: given[key] for name, key in _SHOWN.items() if given.get(key) is not None}
        if shown:
            records.append(RunChanged(time.time(), shown))  # type: ignore[arg-type]
        segment.append(records)


def _is_running(context: Context, place: RunPath) -> bool:
    with context.segments.using(place) as segment:
        return segment is not None and segment.is_usable


def _continues(context: Context, place: RunPath, given: dict[str, Any]) -> bool:
    """Return whether the client that writes to a run sends a change, which has all that a start has.

    A client adds its environment to the config after its start.
    """
    writers = client_config.split_config(given.get("config"))[1].get("e")
    if not given.get("id") or not isinstance(writers, dict) or not writers:
        return False
    with context.segments.using(place) as segment:
        if segment is None or not segment.is_usable:
            return False
        known = segment.received.internal.get("e")
        return not known or writers.keys() <= known.keys()


def config_changes(segment: OpenSegment, text: Any, *, shared: bool = False) -> list[Record]:
    """Return the records that make a segment's config the given one. The client always sends all of it.

    Args:
        segment: The segment.
        text: The config: see ``split_config``.
        shared: Whether other clients have set parts of the config, which this client does not know.
    """
    config, internal = client_config.split_config(text)
    known = segment.received
    changed = {
        key: value for key, value in config.items() if key not in known.config or known.config[key] != value
    }
    # A key that the client has never sent comes from the run from which this one was forked.
    removed = [key for key in known.config if key in known.sent and key not in config and not shared]
    known.sent = frozenset(config)
    if shared:
        internal = {
            **known.internal,
            **internal,
            "e": {**known.internal.get("e", {}), **internal.get("e", {})},
        }
    metrics = [each for each in client_config.definitions(internal) if known.metrics.get(each.name) != each]
    if internal and internal != known.internal:
        changed["_wandb"] = internal
    return [*([ConfigChanged(changed, removed)] if changed or removed else []), *metrics]


def _edit(context: Context, place: RunPath, given: dict[str, Any], known: RunDetail) -> None:
    """Apply an edit of ``wandb.Api``."""
    values: dict[str, Any] = {name: given[key] for name, key in _SHOWN.items() if given.get(key) is not None}
    if "notes" not in values and given.get("description") is not None:
        values["notes"] = given["description"]
    for field, text in (("config", given.get("config")), ("summary", given.get("summaryMetrics"))):
        if text is None:
            continue
        wanted = client_config.split_config(text)[0] if field == "config" else read_json(text)
        before: dict[str, Any] = getattr(known, field)
        changed = {
            key: value
            for key, value in wanted.items()
            if not key.startswith("_") and before.get(key) != value
        }
        if changed:
            values[field] = changed
        removed = [key for key in before if not key.startswith("_") and key not in wanted]
        if removed:
            values[f"{field}_removed"] = removed
    if values:
        context.reader.edit(*place, values)


def _shown(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given.get(key) or None for name, key in _SHOWN.items()}


def rewind_run(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Begin a new attempt after a step. Later rows of the run are hidden, and kept."""
    place = context.place(input.get("entityName"), input.get("projectName"), input.get("runName"))
    context.require("writer", place)
    known = context.find(place)
    if known is None:
        raise NotFoundError(f"there is no run {'/'.join(place)} to rewind")
    if input.get("metricName", "_step") != "_step":
        raise UsageError("A run can only be rewound to a value of _step.")
    step = read_integer(input.get("metricValue"), "metricValue")
    started = RunStarted(
        *place,
        time.time(),
        writer(known.host or ""),
        start_step=step + 1,
        config=known.config,
        runtime_base=known.duration,
    )
    with context.segments.starting(place):
        context.segments.begin(place, started)
    return {"rewoundRun": RunObject(context, place, context.reader.run(*place))}


def notify_scriptable_run_alert(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Record an alert."""
    place = context.place(input.get("entityName"), input.get("projectName"), input.get("runName"))
    context.require("writer", place)
    level = str(input.get("severity") or "INFO")
    alert = AlertRaised(
        time.time(),
        str(input.get("title") or ""),
        str(input.get("text") or ""),
        level if level in _LEVELS else "INFO",
    )
    with context.segments.using(place) as segment:
        if segment is None or not segment.is_usable:
            raise NotFoundError(f"the run {place[2]} is not running")
        segment.append([alert])
    return {"success": True}


class Model(Fields):
    """A project with its runs, as a resuming client asks for it."""

    typename = "Project"

    def __init__(self, context: Context, entity: str, name: str) -> None:
        self._context = context
        self._place = (entity, name)
        project = ProjectObject(context, entity, name)
        self.id, self.name, self.entity = project.id, name, project.entity

    def bucket(self, name: str, **_: Any) -> RunObject | None:
        """Return a run; None if there is none."""
        place = self._context.place(*self._place, name)
        found = self._context.find(place)
        return None if found is None else RunObject(self._context, place, found)


def model(context: Context, name: str | None = None, entity_name: str | None = None) -> Model:
    """Return a project, which need not exist.

    Args:
        context: The request.
        name: The project.
        entity_name: Its entity.
    """
    entity, project, _ = context.place(entity_name, name, "-")
    context.require("viewer", (entity, project, ""))
    return Model(context, entity, project)


def summary_changes(known: dict[str, Any], sent: dict[str, Any], *, shared: bool = False) -> list[Record]:
    """Return the record that makes a summary the one that the client has sent.

    Args:
        known: The summary of the run.
        sent: What the client has sent.
        shared: Whether other clients have set other keys.
    """
    changed = {key: value for key, value in sent.items() if not _same(known.get(key, known), value)}
    removed = [key for key in known if key not in sent and not key.startswith("_") and not shared]
    return [SummaryChanged(changed, removed)] if changed or removed else []


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other) or (one != one and other != other)  # NaN
