"""Runs as ``Api`` gives them: lists of them, and one with its history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, overload

from tracker.answers import ArtifactDetail, ArtifactInfo, RunDetail, RunInfo, RunPage, SegmentInfo
from tracker.api.captured import system_rows
from tracker.api.frames import frame_of
from tracker.artifacts.artifact import Artifact
from tracker.errors import UsageError
from tracker.reading.reader import Reader
from tracker.values import dumps, to_plain

if TYPE_CHECKING:
    import pyarrow as pa

# A server gives no more runs than this at once.
LARGEST_PAGE = 1000


class Runs:
    """The runs of a project that match a filter, fetched page by page."""

    def __init__(
        self,
        reader: Reader,
        entity: str,
        project: str,
        filters: dict[str, Any] | None,
        order: str,
        per_page: int,
    ) -> None:
        self._reader = reader
        self._per_page = min(max(per_page, 1), LARGEST_PAGE)
        self._place = (entity, project)
        self._filters = _plain_filters(filters)
        self._order = order or "+created_at"

    def __iter__(self) -> Iterator[PublicRun]:
        offset = 0
        while page := self._page(self._per_page, offset).runs:
            yield from (PublicRun(self._reader, run) for run in page)
            if len(page) < self._per_page:
                return
            offset += len(page)

    def __len__(self) -> int:
        return self._page(0, 0).total

    @overload
    def __getitem__(self, index: int) -> PublicRun: ...

    @overload
    def __getitem__(self, index: slice) -> list[PublicRun]: ...

    def __getitem__(self, index: int | slice) -> PublicRun | list[PublicRun]:
        if isinstance(index, slice):
            return self._slice(index)
        at = index if index >= 0 else index + len(self)
        page = self._page(1, at).runs if at >= 0 else []
        if not page:
            raise IndexError(index)
        return PublicRun(self._reader, page[0])

    def _slice(self, index: slice) -> list[PublicRun]:
        # Only what counts from the end needs to know where that is.
        bounds = [each for each in (index.start, index.stop, index.step) if each is not None]
        size = len(self) if index.stop is None or min(bounds) < 0 else index.stop
        wanted = range(size)[index]
        first, last = (min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])) if wanted else (0, -1)
        found: list[RunInfo] = []
        while first + len(found) <= last:
            limit = min(last + 1 - first - len(found), LARGEST_PAGE)
            page = self._page(limit, first + len(found)).runs
            found += page
            if len(page) < limit:
                break
        return [PublicRun(self._reader, found[at - first]) for at in wanted if at - first < len(found)]

    def _page(self, limit: int, offset: int) -> RunPage:
        return self._reader.runs(
            *self._place, limit=limit, offset=offset, order=self._order, filters=self._filters
        )

    def __repr__(self) -> str:
        return f"<Runs {'/'.join(self._place)}>"


def _plain_filters(filters: dict[str, Any] | None) -> Any:
    """Return a filter as JSON can carry it: of arrays' scalars, dates and tuples there is little left."""
    try:
        plain = to_plain(filters or {})
        dumps(plain).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"filters: {error}") from None
    return plain


class PublicRun:
    """A run as it stood when it was looked up; ``load()`` looks again.

    Name, tags, notes, group and job type may be set (``run.tags.append("x")`` will do);
    ``update()`` stores what was changed.
    """

    def __init__(self, reader: Reader, info: RunInfo | RunDetail) -> None:
        self._reader = reader
        self._take(info)

    def _take(self, info: RunInfo | RunDetail) -> None:
        self._info = info
        self._name = info.name
        self._tags = list(info.tags)
        self._notes = info.notes
        self._group = info.group
        self._job_type = info.job_type
        # Copies, made when somebody looks: a change of them is found and refused, not passed over.
        self._config: dict[str, Any] | None = None
        self._summary: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self._info.id

    @property
    def name(self) -> str:
        """The display name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def entity(self) -> str:
        """Whose project it is in."""
        return self._info.entity

    @property
    def project(self) -> str:
        """The project."""
        return self._info.project

    @property
    def path(self) -> list[str]:
        """Entity, project and id."""
        return [self._info.entity, self._info.project, self._info.id]

    @property
    def state(self) -> str:
        """``"running"``, ``"finished"``, ``"failed"``, ``"crashed"`` or ``"preempted"`` (SIGTERM)."""
        return self._info.state

    @property
    def config(self) -> dict[str, Any]:
        """The config."""
        if self._config is None:
            self._config = deepcopy(self._info.config)
        return self._config

    @property
    def summary(self) -> dict[str, Any]:
        """The summary, with ``_step``, ``_runtime`` and ``_timestamp``."""
        if self._summary is None:
            self._summary = self._whole_summary()
        return self._summary

    def _whole_summary(self) -> dict[str, Any]:
        extra = {"_runtime": self._info.duration, "_timestamp": self._info.updated_at}
        step = {} if self._info.last_step is None else {"_step": self._info.last_step}
        return {**deepcopy(self._info.summary), **step, **extra}

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        # A text is no list of tags, though list() would make one of it: update() says so.
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
    def segments(self) -> list[SegmentInfo]:
        """What each writer (rank, node) wrote in each attempt: what later attempts went back behind too."""
        if not isinstance(self._info, RunDetail):
            self.load()
        assert isinstance(self._info, RunDetail)
        return self._info.segments

    @property
    def lastHistoryStep(self) -> int:
        """The last step logged, -1 when there is none."""
        return -1 if self._info.last_step is None else self._info.last_step

    def load(self) -> None:
        """Look the run up again; changes that were not stored are dropped."""
        self._take(self._reader.run(self.entity, self.project, self.id))

    def update(self) -> None:
        """Store what was changed of the name, the tags, the notes, the group or the job type.

        An edit holds against what the run's writers say, unless a later attempt gives the field a value of
        its own. Unlike wandb's, config and summary are what the run itself said: they are not edited.

        Raises:
            UsageError: A value is none that the field may have, or config or summary were changed.
        """
        if self._config not in (None, self._info.config) or self._summary not in (
            None,
            self._whole_summary(),
        ):
            raise UsageError(
                "config and summary of a logged run cannot be edited: resume it with init(id=..., "
                "resume='must') and set them there, or keep the remark in notes or tags"
            )
        now = {
            "name": self._name,
            "tags": self._tags,
            "notes": self._notes,
            "group": self._group,
            "job_type": self._job_type,
        }
        changed = {field: value for field, value in now.items() if value != getattr(self._info, field)}
        if changed:
            self._take(self._reader.edit(self.entity, self.project, self.id, changed))

    def save(self) -> None:
        """Do what ``update`` does; wandb has both names."""
        self.update()

    def history(
        self,
        samples: int | None = None,
        keys: list[str] | None = None,
        pandas: bool = True,
        *,
        stream: str = "default",
        segment: str | None = None,
    ) -> Any:
        """Return the history rows, all of them unless ``samples`` asks for fewer.

        wandb returns 500 random rows by default; here none is left out.

        Args:
            samples: At most this many rows, evenly spaced, the last one included.
            keys: Only these keys, and rows that have at least one of them.
            pandas: Return a DataFrame when pandas is installed, else a list of dicts. Its columns of ints
                that are not in every row are ``Int64``; ints among floats that no double holds are objects.
            stream: ``"default"``, or ``"system"`` for samples of system metrics, ``system.cpu`` and so on.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.
        """
        if stream == "default":
            rows = self._reader.history(self.entity, self.project, self.id, keys, False, segment)
        elif stream in ("system", "events"):
            rows = system_rows(self._reader, (self.entity, self.project, self.id), keys, segment)
        else:
            raise UsageError(f"stream is {stream!r}; use 'default' or 'system'")
        if samples is not None and len(rows) > samples > 0:
            rows = [rows[(at + 1) * len(rows) // samples - 1] for at in range(samples)]
        if not pandas:
            return rows
        try:
            return frame_of(rows)
        except ImportError:
            return rows

    def history_arrow(self, keys: list[str] | None = None, *, segment: str | None = None) -> pa.Table:
        """Return the history as whole columns: the fast way to read much of it.

        Columns ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds), then the keys, by step.
        ``.column(KEY).to_numpy()`` gives an array. Numbers are int64 or double; integers among floats, or
        beyond 64 bits, are the nearest double; dicts and lists are JSON text. wandb has no such method.

        Args:
            keys: Only these keys, and rows that have at least one of them.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.
        """
        return self._reader.table(self.entity, self.project, self.id, keys, segment)

    def scan_history(
        self,
        keys: list[str] | None = None,
        min_step: int = 0,
        max_step: int | None = None,
        *,
        segment: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield every row by step; with ``keys``, only rows that have all of them.

        Args:
            keys: The keys.
            min_step: First step; 0 for the very first, should it be negative.
            max_step: Step to stop before.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.
        """
        for row in self._reader.history(self.entity, self.project, self.id, keys, True, segment):
            if (min_step == 0 or row["_step"] >= min_step) and (max_step is None or row["_step"] < max_step):
                if keys is None:
                    yield row
                else:
                    yield {key: row[key] for key in keys}

    @property
    def system_metrics(self) -> dict[str, Any]:
        """The latest value of each system metric of the primary writer: ``system.cpu``, ..., as wandb's."""
        if not isinstance(self._info, RunDetail):
            self.load()
        assert isinstance(self._info, RunDetail)
        return dict(self._info.system_metrics)

    def logged_artifacts(self, per_page: int = 100) -> list[Artifact]:
        """Return the artifact versions that this run logged, newest first."""
        found = self._reader.artifacts(self.entity, self.project, self.id, None)
        return [as_artifact(as_detail(info), self._reader) for info in found]

    def used_artifacts(self, per_page: int = 100) -> list[Artifact]:
        """Return the artifact versions that this run used, in the order in which it did."""
        found = self._reader.used_artifacts(self.entity, self.project, self.id)
        return [as_artifact(as_detail(info), self._reader) for info in found]

    def __repr__(self) -> str:
        return f"<Run {'/'.join(self.path)} ({self.state})>"


def as_artifact(version: ArtifactDetail, reader: Reader) -> Artifact:
    """Return an artifact whose lineage leads to runs that are read from the same place."""
    return Artifact.from_version(version, reader, lambda *place: PublicRun(reader, reader.run(*place)))


def as_detail(info: ArtifactInfo) -> ArtifactDetail:
    """Return what a list says of a version as its detail; who used it is asked for when wanted."""
    return ArtifactDetail(**{name: getattr(info, name) for name in ArtifactInfo.__dataclass_fields__})
