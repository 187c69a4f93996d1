"""Routes for charts of many runs: metrics, lines, grouped curves, media, ... They change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from server.answers import LoggedObject, LoggedObjectsOfRuns
from server.bodies import AskedRank, Body, MetricsQuery
from server.dependencies import ReaderDep, StoreDep
from server.links import link_object
from server.openapi import BINARY, columns
from server.responses import ExactJSON
from server.rights import Reader
from server.routing import api_router
from tracker.errors import UsageError
from tracker.ground.curves import AbandonedBranch, Curve, Distribution, RunLine
from tracker.ground.field_infos import MetricList
from tracker.runstate.merge import Rank
from tracker.store.catalog.models import Run
from tracker.store.queries import media
from tracker.store.queries.chart_limits import MOST_BINS, MOST_KEYS, MOST_RUNS, check_size
from tracker.store.store import Store

router = api_router(prefix="/projects/{entity}/{project}", tags=["charts"], dependencies=[Reader])

# JSON is for people and small programs: a number takes ten times as long as in the binary format.
MOST_JSON_NUMBERS = 1_000_000
# A binary answer is sent in blocks of about this many points, so that slow clients cost little memory.
BLOCK_POINTS = 200_000
# The objects of each run are read from its history.
MOST_RUNS_OF_OBJECTS = 100

Runs = Annotated[list[str], Field(min_length=1, max_length=MOST_RUNS, examples=[["a1b2c3", "d4e5f6"]])]
Keys = Annotated[list[str], Field(min_length=1, max_length=MOST_KEYS, examples=[["loss", "acc"]])]
Number = Annotated[float, Field(allow_inf_nan=False)]
Format = Annotated[
    Literal["binary", "json"] | None,
    Query(description="The default is binary, or JSON if the header `Accept` names `application/json`."),
]


class _Window(BaseModel):
    """The x axis, the number of points and the interval of a chart.

    Attributes:
        x: The x axis for all keys. None: the axis that ``define_metric`` names for each key, or ``_step``.
        points: The largest number of points of each line or curve.
        min: The smallest x.
        max: The largest x.
        rank: The rank of each run, or ``"all"``. None: the primary writer.
    """

    model_config = ConfigDict(extra="forbid")
    x: str | None = None
    points: Annotated[int, Field(ge=1, le=20_000)] = 1000
    min: Number | None = None
    max: Number | None = None
    rank: AskedRank = None

    def options(self) -> dict[str, Any]:
        """Return the options with their names in the readers."""
        window = {"low": self.min, "high": self.max}
        return {"x": self.x, "points": self.points, **window, "rank": self.rank}


class LinesQuery(_Window):
    """The runs and keys whose lines are wanted.

    Attributes:
        runs: The ids of the runs.
        keys: The history keys.
        steps: Whether buckets have the steps of their smallest and largest value.
    """

    runs: Runs
    keys: Keys
    steps: bool = False


class CurvesQuery(_Window):
    """The groups of runs (ids by label) and the keys whose curves are wanted.

    Attributes:
        groups: The ids of the runs of each group, by label.
        keys: The history keys.
        by_rank: Whether each rank of a group has a curve of its own.
    """

    groups: Annotated[dict[str, list[str]], Field(min_length=1, examples=[{"adam": ["a1", "b2"]}])]
    keys: Keys
    by_rank: bool = False


class ObjectsQuery(Body):
    """The runs and the key of logged objects. ``limit`` is the largest number of steps of a run."""

    runs: Annotated[list[str], Field(min_length=1, max_length=MOST_RUNS_OF_OBJECTS)]
    key: str
    limit: Annotated[int, Field(ge=1, le=1000)] = 300


class BranchesQuery(Body):
    """The runs whose abandoned branches are wanted."""

    runs: Runs


class DistributionQuery(BaseModel):
    """The runs and the key whose values are counted: see ``ChartReader.distribution``."""

    model_config = ConfigDict(extra="forbid")
    runs: Runs
    key: str
    source: Literal["history", "summary"] = "history"
    bins: Annotated[int, Field(ge=1, le=MOST_BINS)] = 30
    edges: Annotated[list[Number], Field(min_length=2, max_length=MOST_BINS + 1)] | None = None
    probabilities: (
        Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=MOST_BINS)] | None
    ) = None


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines of runs. ``x`` is the requested axis; None if each line has its own.

    ``missing`` are the requested runs that do not exist.
    """

    x: str | None
    series: list[RunLine]
    missing: list[str]


@dataclasses.dataclass(frozen=True)
class Curves:
    """Grouped curves. ``x`` is the requested axis; None if each curve has its own.

    ``missing`` are the requested runs that do not exist.
    """

    x: str | None
    series: list[Curve]
    missing: list[str]


@dataclasses.dataclass(frozen=True)
class Branches:
    """Abandoned branches of runs."""

    branches: list[AbandonedBranch]


@router.post("/metrics", response_model=MetricList)
def list_metrics(reader: ReaderDep, entity: str, project: str, body: MetricsQuery) -> Response:
    """List the history keys of runs, with the axis and the goal that ``define_metric`` gave them.

    The runs are those with the ids ``runs``, or those that match all of ``search``, ``filters`` and
    ``query``, at most 5,000, or the first ``limit`` of them. ``x`` is null if the runs have several
    axes for a key.

    \f
    See ``ChartReader.metrics``.
    """
    return ExactJSON(reader.metrics(entity, project, **body.given()))


@router.post("/chart", response_model=Lines, responses=columns())
def get_run_lines(
    request: Request,
    store: StoreDep,
    reader: ReaderDep,
    entity: str,
    project: str,
    body: LinesQuery,
    format: Format = None,
) -> Response:
    """Return the lines of many keys of many runs, as Float64 columns or as JSON.

    docs/rest-api.md describes the binary format. The answer names the x axis of each line, and in
    ``missing`` the runs that do not exist. A key without numbers gives an empty line. It is an error if none
    of the runs exists. With ``rank``, the lines are those of one rank, or with ``"all"`` of each rank, by run
    and rank. It is an error if none of the runs has the rank.

    \f
    See ``ChartReader.run_lines``.
    """
    # All runs are checked before the answer begins: an answer that has begun cannot become an error.
    asked = list(dict.fromkeys(body.runs))
    check_size(len(asked), len(dict.fromkeys(body.keys)), body.points)
    missing, lines = _check(store, entity, project, asked, body.rank)
    check_size(lines, len(dict.fromkeys(body.keys)), body.points)
    absent = set(missing)
    known = [run for run in asked if run not in absent]
    blocks = (
        reader.run_lines(entity, project, some, body.keys, **body.options(), steps=body.steps)
        for some in _slices(known, len(body.keys) * body.points * -(-lines // len(known)))
    )
    return _answer(request, format, body.x, blocks, missing)


@router.post("/curves", response_model=Curves, responses=columns())
def get_grouped_curves(
    request: Request,
    store: StoreDep,
    reader: ReaderDep,
    entity: str,
    project: str,
    body: CurvesQuery,
    format: Format = None,
) -> Response:
    """Return a curve over the runs of each group for each key: mean, deviation, extremes and counts.

    The curves are exact: docs/rest-api.md defines the value of a run at a point. ``missing`` of the answer
    are the runs that do not exist. It is an error if none of them exists. With ``"rank": "all"``, each rank
    of a run counts as a run; with ``by_rank``, each rank has a curve of its own.

    \f
    See ``ChartReader.grouped_curves``.
    """
    groups = body.groups
    check_size(len(groups), len(body.keys), body.points)
    asked = list(chain.from_iterable(groups.values()))
    missing, ranks = _check(store, entity, project, asked, body.rank)
    curves = max(len(groups), ranks) if body.by_rank else len(groups)
    check_size(curves, len(body.keys), body.points)
    blocks = (
        reader.grouped_curves(entity, project, groups, some, **body.options(), by_rank=body.by_rank)
        for some in _slices(body.keys, curves * body.points)
    )
    return _answer(request, format, body.x, blocks, missing)


@router.post("/objects", response_model=LoggedObjectsOfRuns)
def list_objects_of_runs(store: StoreDep, entity: str, project: str, body: ObjectsQuery) -> Response:
    """List the logged objects (media, histograms) of a key of many runs by step.

    Each run is answered as by ``list_objects``. Runs that do not exist are in ``missing``.

    \f
    See ``queries.media.objects``.
    """
    from tracker.store.queries.run_sources import find_missing, find_numbers

    def found(session: Session) -> LoggedObjectsOfRuns:
        missing = find_missing(session, entity, project, body.runs)
        numbers = find_numbers(session, entity, project, list(dict.fromkeys(body.runs)))
        objects = {}
        for run_id, number in numbers.items():
            run = session.get_one(Run, number)
            logged = media.objects(store, session, run, body.key, limit=body.limit)
            objects[run_id] = [LoggedObject(step, link_object(run, value)) for step, value in logged]
        return LoggedObjectsOfRuns(body.key, objects, missing)

    return ExactJSON(store.answer(found))


@router.post("/branches", response_model=Branches)
def list_abandoned_branches(store: StoreDep, entity: str, project: str, body: BranchesQuery) -> Response:
    """List the rows of runs that a later attempt logged again, because it resumed from an earlier step.

    A chart of one run with ``segment`` has their lines. Runs that do not exist are left out.

    \f
    See ``queries.run_sources.find_abandoned``.
    """
    from tracker.store.queries.run_sources import find_abandoned

    return ExactJSON(
        Branches(store.answer(lambda session: find_abandoned(session, entity, project, body.runs)))
    )


@router.post("/distribution", response_model=Distribution)
def get_distribution(reader: ReaderDep, entity: str, project: str, body: DistributionQuery) -> Response:
    """Return a histogram and quantiles of the values of a key over runs.

    \f
    See ``ChartReader.distribution``.
    """
    return ExactJSON(
        reader.distribution(
            entity,
            project,
            body.runs,
            body.key,
            source=body.source,
            bins=body.bins,
            edges=body.edges,
            probabilities=body.probabilities,
        )
    )


def _check(
    store: Store, entity: str, project: str, runs: list[str], rank: Rank | None
) -> tuple[list[str], int]:
    """Return the runs that do not exist, and the number of histories of the others with this rank."""
    from tracker.store.queries.run_sources import count_sources, find_missing

    return store.answer(
        lambda session: (
            find_missing(session, entity, project, runs),
            count_sources(session, entity, project, runs, rank),
        )
    )


def _slices(names: list[str], points_each: int) -> Iterator[list[str]]:
    """Yield the distinct names in lists for blocks of about ``BLOCK_POINTS`` points."""
    distinct, size = list(dict.fromkeys(names)), max(1, BLOCK_POINTS // points_each)
    for first in range(0, len(distinct), size):
        yield distinct[first : first + size]


def _answer(
    request: Request,
    format: str | None,
    x: str | None,
    blocks: Iterator[Sequence[RunLine | Curve]],
    missing: list[str],
) -> Response:
    """Return the series of all blocks: as JSON, or as a stream that has only one block in memory."""
    from tracker.store.queries.chart_format import pack_columns

    if format is None and "application/json" not in request.headers.get("accept", ""):
        format = "binary"
    if format == "binary":
        packed = (pack_columns(x, block) for block in blocks)
        # An error of the first block is still an answer of its own.
        first = pack_columns(x, next(blocks), missing=missing)
        return StreamingResponse(chain([first], packed), media_type=BINARY)
    series, numbers = [], 0
    for each in chain.from_iterable(blocks):
        numbers += sum(len(column) for column in each.columns.values())
        if numbers > MOST_JSON_NUMBERS:
            raise UsageError(
                f"the answer has more than {MOST_JSON_NUMBERS:,} numbers: ask for fewer runs, keys or "
                "points, or for format=binary"
            )
        lists = {name: column.tolist() for name, column in each.columns.items()}
        series.append(dataclasses.replace(each, columns=lists))
    return ExactJSON({"x": x, "series": series, "missing": missing})
