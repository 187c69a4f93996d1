"""``RunFields``: the fields of a run, and the edits of those fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from tracker.api.attrs import Attrs, as_time
from tracker.api.summary import Summary
from tracker.api.users import User
from tracker.errors import UsageError
from tracker.ground.read_models import RunDetail, RunInfo, SegmentInfo
from tracker.ground.values import dumps, to_plain
from tracker.reading.reader import Reader

# Keys of ``summary`` that are computed, not logged. Edits of these keys are dropped.
DERIVED = ("_step", "_runtime", "_timestamp", "_wandb")

# Keys of a config that the client sets for itself.
INTERNAL = ("_wandb", "wandb_version")


class RunFields(Attrs):
    """The fields of a run at the time of the last read; ``load()`` reads them again.

    Name, tags, notes, group, job type, config and summary can be changed in place, for example with
    ``run.tags.append("x")``. ``update()`` stores the changes. wandb's other fields are attributes in both
    spellings, such as ``created_at`` and ``createdAt``: ``heartbeat_at``, ``display_name``, ``sweep_name``,
    ``history_line_count``, ``history_keys``, ``read_only``, ``commit``, ``description``. The fields
    ``reason``, ``last_seen`` and ``host`` do not exist in wandb: see ``tracker.ground.read_models.RunInfo``.
    """

    def __init__(self, reader: Reader, info: RunInfo | RunDetail) -> None:
        self._reader = reader
        self._set_info(info)

    def _set_info(self, info: RunInfo | RunDetail) -> None:
        self._info = info
        self._name = info.name
        self._tags = list(info.tags)
        self._notes = info.notes
        self._group = info.group
        self._job_type = info.job_type
        # Copies that the properties make at the first access. ``update`` compares them with ``_info``.
        self._config: dict[str, Any] | None = None
        self._summary: Summary | None = None

    # Identity

    @property
    def id(self) -> str:
        """The id."""
        return self._info.id

    @property
    def storage_id(self) -> str:
        """The internal id in wandb; here ``ENTITY/PROJECT/ID``."""
        return "/".join((self._info.entity, self._info.project, self._info.id))

    @property
    def entity(self) -> str:
        """The entity of the project."""
        return self._info.entity

    @property
    def username(self) -> str:
        """The same as ``entity`` (wandb: ``apis/public/runs.py``)."""
        return self._info.entity

    @property
    def user(self) -> User:
        """The user who created the run. Users have no accounts here, so the user is the entity."""
        return User(self._info.entity)

    @property
    def project(self) -> str:
        """The project."""
        return self._info.project

    @property
    def path(self) -> list[str]:
        """Entity, project and id."""
        return [self._info.entity, self._info.project, self._info.id]

    @property
    def url(self) -> str | None:
        """The address of the run's page, or None if the run was read from a store without a server."""
        base = self._reader.url
        if base is None:
            return None
        entity, project, run_id = (quote(part, safe="") for part in self.path)
        return f"{base.rstrip('/')}/{entity}/{project}?run={run_id}"

    @property
    def state(self) -> str:
        """``"running"``, ``"preempting"``, ``"finished"``, ``"failed"``, ``"crashed"`` or ``"preempted"``."""
        return self._info.state

    # Editable fields

    @property
    def name(self) -> str:
        """The display name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def display_name(self) -> str:
        """The same as ``name``."""
        return self._name

    @display_name.setter
    def display_name(self, name: str) -> None:
        self._name = name

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        # list() would split a string into letters. Keep the string, so that update() rejects it.
        self._tags = tags if isinstance(tags, str) else list(tags)  # type: ignore[assignment]

    @property
    def group(self) -> str | None:
        """The group."""
        return self._group

    @group.setter
    def group(self, group: str | None) -> None:
        self._group = group

    @property
    def job_type(self) -> str | None:
        """The job type."""
        return self._job_type

    @job_type.setter
    def job_type(self, job_type: str | None) -> None:
        self._job_type = job_type

    @property
    def notes(self) -> str | None:
        """The notes."""
        return self._notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._notes = notes

    @property
    def config(self) -> dict[str, Any]:
        """The config. Change keys, then call ``update()``."""
        if self._config is None:
            self._config = _without_internal_keys(deepcopy(self._info.config))
        return self._config

    @property
    def rawconfig(self) -> dict[str, Any]:
        """A copy of the config that includes the internal key ``_wandb``, if it exists."""
        return deepcopy(self._info.config)

    @property
    def json_config(self) -> str:
        """The config as JSON text in wandb's form: ``{"KEY": {"value": ..., "desc": null}}``."""
        inner = {key: self._info.config[key] for key in ("_wandb",) if key in self._info.config}
        values = {**inner, **to_plain(self.config)}
        return dumps({key: {"value": value, "desc": None} for key, value in values.items()})

    @property
    def summary(self) -> Summary:
        """The summary. Change keys, then call ``summary.update()`` or ``update()``.

        The keys ``_step``, ``_runtime``, ``_timestamp`` and ``_wandb`` are computed: their changes are
        dropped.
        """
        if self._summary is None:
            self._summary = Summary(self.summary_metrics, self._store_summary)
        return self._summary

    @property
    def summary_metrics(self) -> dict[str, Any]:
        """The summary as plain values."""
        info = self._info
        step = {} if info.last_step is None else {"_step": info.last_step}
        derived = {"_runtime": info.duration, "_timestamp": info.updated_at}
        return {**deepcopy(info.summary), **step, **derived, "_wandb": {"runtime": int(info.duration)}}

    def _store_summary(self) -> None:
        changed = changes_of("summary", self.summary._json_dict, self.summary_metrics, DERIVED)
        if changed:
            self._edit(changed)

    def update(self) -> None:
        """Store the changes of this object.

        An edit replaces the value that the run's writers logged, until a later attempt of the run sets the
        same field, or the same key of config or summary.

        Raises:
            UsageError: A value is not allowed for its field.
        """
        now = {
            "name": self._name,
            "tags": self._tags,
            "notes": self._notes,
            "group": self._group,
            "job_type": self._job_type,
        }
        changed = {field: value for field, value in now.items() if value != getattr(self._info, field)}
        if self._config is not None:
            changed.update(
                changes_of("config", self._config, _without_internal_keys(self._info.config), INTERNAL)
            )
        if self._summary is not None:
            changed.update(changes_of("summary", self._summary._json_dict, self.summary_metrics, DERIVED))
        if changed:
            self._edit(changed)

    def save(self) -> None:
        """Store the changes of this object. See ``RunFields.update``."""
        self.update()

    def _edit(self, changed: dict[str, Any]) -> None:
        config, summary = self._config, self._summary
        fresh = self._reader.edit(self.entity, self.project, self.id, changed)
        if set(changed) <= {"summary", "summary_removed"}:
            # ``summary.update()`` stores only the summary. Other changes stay until ``update()``.
            self._info = fresh
            self._config = config
        else:
            self._set_info(fresh)
        if summary is not None:  # the caller may hold this object, so fill it instead of replacing it
            self._summary = summary
            dict.clear(summary)
            summary._set_all(self.summary_metrics, True)

    # Other fields

    def load(self, force: bool = False) -> dict[str, Any]:
        """Read the run again. Changes that were not stored are lost.

        Args:
            force: Accepted for compatibility.

        Returns:
            The fields of the run, under wandb's names.

        Raises:
            NotFoundError: The run does not exist any more.
        """
        self._set_info(self._reader.run(self.entity, self.project, self.id))
        return self._fields()

    def load_full_data(self, force: bool = False) -> dict[str, Any]:
        """Return the fields of the run, under wandb's names; with ``force``, read the run again first."""
        return self.load() if force else self._fields()

    @property
    def segments(self) -> list[SegmentInfo]:
        """The segments: one for each writer (rank, node) and attempt, superseded attempts included."""
        return self._detail().segments

    @property
    def ranks(self) -> list[int]:
        """The ranks of a distributed run; a run of one process has one rank."""
        return sorted({each.rank for each in self.segments})

    def _detail(self) -> RunDetail:
        if not isinstance(self._info, RunDetail):
            found = self._reader.run(self.entity, self.project, self.id)
            self._info = found  # unsaved changes of the fields are kept
        assert isinstance(self._info, RunDetail)
        return self._info

    @property
    def lastHistoryStep(self) -> int:
        """The last logged step, or -1 without rows."""
        return -1 if self._info.last_step is None else self._info.last_step

    @property
    def system_metrics(self) -> dict[str, Any]:
        """The latest value of each system metric of the primary writer, such as ``system.cpu``."""
        return dict(self._detail().system_metrics)

    systemMetrics = system_metrics

    @property
    def history_line_count(self) -> int:
        """The number of rows of the segments that the history shows."""
        return sum(each.rows for each in self._detail().segments if each.shown)

    historyLineCount = history_line_count

    @property
    def history_keys(self) -> dict[str, Any]:
        """The keys of the history with their number of values and last step, and ``lastStep`` of the run."""
        keys = {
            each.key: {"typeCounts": [{"type": each.kind, "count": each.count}], "lastStep": each.last_step}
            for each in self._detail().keys
        }
        return {"lastStep": self.lastHistoryStep, "keys": keys}

    historyKeys = history_keys

    def _fields(self) -> dict[str, Any]:
        info = self._info
        return {
            "id": self.storage_id,
            "name": info.id,
            "displayName": self._name,
            "state": info.state,
            "tags": self._tags,
            "group": self._group,
            "jobType": self._job_type,
            "notes": self._notes,
            "description": self._notes,
            "readOnly": False,
            "createdAt": as_time(info.created_at),
            "heartbeatAt": as_time(info.updated_at),
            "finishedAt": None if info.finished_at is None else as_time(info.finished_at),
            "duration": info.duration,
            "error": info.error,
            "reason": info.reason,
            "host": info.host,
            "lastSeen": None if info.last_seen is None else as_time(info.last_seen),
            "sweepName": None,
            "config": self.config,
            "rawconfig": self.rawconfig,
            "summaryMetrics": self.summary_metrics,
        }

    def __repr__(self) -> str:
        return f"<Run {'/'.join(self.path)} ({self.state})>"


def _without_internal_keys(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in INTERNAL}


def changes_of(
    field: str, now: Mapping[str, Any], before: Mapping[str, Any], ignored_keys: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the edit that turns ``before`` into ``now``: changed keys and removed keys.

    Args:
        field: ``"config"`` or ``"summary"``. The edit has the keys ``field`` and ``field_removed``.
        now: The values after the edit.
        before: The values before the edit.
        ignored_keys: Keys that the edit leaves out.

    Raises:
        UsageError: A value cannot be stored.
    """
    try:
        plain = {str(key): to_plain(value) for key, value in now.items()}
    except TypeError as error:
        raise UsageError(f"{field}: {error}") from None
    ignored = set(ignored_keys)
    values = {
        key: value
        for key, value in plain.items()
        if key not in ignored and (key not in before or not _is_same(value, before[key]))
    }
    removed = [key for key in before if key not in plain and key not in ignored]
    changed: dict[str, Any] = {field: values} if values else {}
    return {**changed, f"{field}_removed": removed} if removed else changed


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal in value and type; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    return bool(one == other and type(one) in (str, bool, int)) or dumps(one) == dumps(other)
