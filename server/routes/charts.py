"""Routes for charts of many runs: lines, grouped curves and distributions. They change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from server.dependencies import Reader, ReaderDep
from server.responses import ExactJSON
from tracker.errors import UsageError
from tracker.ground.curves import Curve, Distribution, RunLine
from tracker.store.queries.chart_format import pack_columns
from tracker.store.queries.distributions import MOST_BINS
from tracker.store.queries.many_runs import MOST_KEYS, MOST_RUNS

router = APIRouter(prefix="/projects/{entity}/{project}", tags=["charts"], dependencies=[Reader])

BINARY = "application/octet-stream"
# JSON is for people and small programs: a number takes ten times as long as in the binary format.
MOST_JSON_NUMBERS = 2_000_000

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
    """

    model_config = ConfigDict(extra="forbid")
    x: str | None = None
    points: Annotated[int, Field(ge=1, le=20_000)] = 1000
    min: Number | None = None
    max: Number | None = None

    def options(self) -> dict[str, Any]:
        """Return the options with their names in the readers."""
        return {"x": self.x, "points": self.points, "low": self.min, "high": self.max}


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
    """The groups of runs (ids by label) and the keys whose curves are wanted."""

    groups: Annotated[dict[str, list[str]], Field(min_length=1, examples=[{"adam": ["a1", "b2"]}])]
    keys: Keys


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
    """Lines of runs. ``x`` is the requested axis; None if each line has its own."""

    x: str | None
    series: list[RunLine]


@dataclasses.dataclass(frozen=True)
class Curves:
    """Grouped curves. ``x`` is the requested axis; None if each curve has its own."""

    x: str | None
    series: list[Curve]


@router.post("/chart", response_model=Lines, responses={200: {"content": {BINARY: {}}}})
def get_run_lines(
    request: Request, reader: ReaderDep, entity: str, project: str, body: LinesQuery, format: Format = None
) -> Response:
    """Return the lines of many keys of many runs, as Float64 columns or as JSON.

    docs/rest-api.md describes the binary format. A run that does not exist is an error; a key without
    numbers gives an empty line. The answer names the x axis of each line.

    \f
    See ``ChartReader.run_lines``.
    """
    found = reader.run_lines(entity, project, body.runs, body.keys, **body.options(), steps=body.steps)
    return _answer(request, format, body.x, found)


@router.post("/curves", response_model=Curves, responses={200: {"content": {BINARY: {}}}})
def get_grouped_curves(
    request: Request, reader: ReaderDep, entity: str, project: str, body: CurvesQuery, format: Format = None
) -> Response:
    """Return a curve over the runs of each group for each key: mean, deviation, extremes and counts.

    The curves are exact: docs/rest-api.md defines the value of a run at a point.

    \f
    See ``ChartReader.grouped_curves``.
    """
    found = reader.grouped_curves(entity, project, body.groups, body.keys, **body.options())
    return _answer(request, format, body.x, found)


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


def _answer(
    request: Request, format: str | None, x: str | None, series: Sequence[RunLine | Curve]
) -> Response:
    if format is None and "application/json" not in request.headers.get("accept", ""):
        format = "binary"
    if format == "binary":
        return Response(pack_columns(x, series), media_type=BINARY)
    numbers = sum(len(column) for each in series for column in each.columns.values())
    if numbers > MOST_JSON_NUMBERS:
        raise UsageError(
            f"the answer has {numbers:,} numbers, more than {MOST_JSON_NUMBERS:,}: ask for fewer runs, keys "
            "or points, or for format=binary"
        )
    lists = [
        dataclasses.replace(each, columns={name: column.tolist() for name, column in each.columns.items()})
        for each in series
    ]
    return ExactJSON({"x": x, "series": lists})
