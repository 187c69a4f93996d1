"""Distributions: a histogram and quantiles of the values of a key over runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.curves import Distribution
from tracker.store.catalog.models import Run
from tracker.store.queries.chart_limits import MOST_BINS, check_size
from tracker.store.queries.grouped_curves import check_rows, load_values
from tracker.store.queries.run_sources import RunSource, find_sources, slices

SOURCES = ("history", "summary")
PROBABILITIES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def distribution(
    session: Session,
    root: Path,
    entity: str,
    project: str,
    runs: Sequence[str],
    key: str,
    *,
    source: str = "history",
    bins: int = 30,
    edges: Sequence[float] | None = None,
    probabilities: Sequence[float] | None = None,
) -> Distribution:
    """Return the distribution of the values of a key over runs.

    Args:
        session: A read transaction.
        root: The store's folder.
        entity: The entity of the project.
        project: The name of the project.
        runs: Ids of runs. A repeated id is ignored.
        key: A history key, or a key of the summary; keys of nested dicts are joined by dots.
        source: ``"history"``: all visible values of all runs. ``"summary"``: the value in each run's summary.
        bins: The number of bins of equal width from the smallest to the largest value. If all values are
            equal, there is one bin.
        edges: The edges of the bins, in ascending order, in place of ``bins``.
        probabilities: The probabilities of the quantiles, 0 to 1. None: ``PROBABILITIES``.

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: An argument is invalid, or the request is too large.
    """
    runs, probabilities = list(dict.fromkeys(runs)), PROBABILITIES if probabilities is None else probabilities
    check_size(len(runs), 1, 1)
    if source not in SOURCES:
        raise UsageError(f"invalid source {source!r}: use {' or '.join(SOURCES)}")
    if not 1 <= bins <= MOST_BINS or (edges is not None and not 2 <= len(edges) <= MOST_BINS + 1):
        raise UsageError(f"a distribution has 1 to {MOST_BINS} bins: change bins or edges")
    if edges is not None and not all(
        math.isfinite(a) and math.isfinite(b) and a < b for a, b in pairwise(edges)
    ):
        raise UsageError("edges must be finite numbers in ascending order, without repetition")
    if len(probabilities) > MOST_BINS or not all(0 <= each <= 1 for each in probabilities):
        raise UsageError(f"probabilities must be at most {MOST_BINS} numbers from 0 to 1")
    sources = find_sources(session, entity, project, runs, root)
    read = _from_summaries if source == "summary" else _from_histories
    values, nonfinite, found = read(session, root, sources, key)
    if edges is None:
        edges = _equal_edges(values, bins)
    counts, below, above = _count(values, np.array(edges, np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        return Distribution(
            key,
            source,
            found,
            len(values),
            nonfinite,
            below,
            above,
            [float(edge) for edge in edges],
            counts,
            float(values.mean()) if len(values) else None,
            float(values.std(ddof=1)) if len(values) > 1 else None,
            [float(each) for each in probabilities],
            np.quantile(values, probabilities).tolist() if len(values) else [],
        )


_Found = tuple[np.ndarray, int, int]  # the finite values, the number of others, the number of runs with any


def _from_histories(session: Session, root: Path, sources: Sequence[RunSource], key: str) -> _Found:
    check_rows(sources)
    lines = [load_values(session, root, source, key) for source in sources]
    values = np.concatenate([np.empty(0), *(line.y for line in lines)])
    nonfinite = [len(line.bad) for line in lines]
    return values, sum(nonfinite), sum(1 for line in lines if len(line.y) or len(line.bad))


def _from_summaries(session: Session, _root: Path, sources: Sequence[RunSource], key: str) -> _Found:
    logged: list[float] = []
    for some in slices([source.number for source in sources]):
        for summary in session.scalars(select(Run.summary).where(Run.id.in_(some))):
            value = _find(summary, key)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                logged.append(_as_double(value))
    values = np.array(logged, np.float64)
    finite = values[np.isfinite(values)]
    return finite, len(values) - len(finite), len(values)


def _find(summary: dict[str, Any], key: str) -> Any:
    """Return the value of a key; of keys of nested dicts that dots join, if the whole key does not exist."""
    if key in summary:
        return summary[key]
    found: Any = summary
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _equal_edges(values: np.ndarray, bins: int) -> list[float]:
    if not len(values):
        return [0.0, 1.0]
    low, high = float(values.min()), float(values.max())
    if low == high:
        return [low, high]
    edges = np.linspace(low / 2, high / 2, bins + 1) * 2  # the difference can be beyond the range of a double
    edges[0], edges[-1] = low, high
    return [float(edge) for edge in np.unique(edges)]


def _count(values: np.ndarray, edges: np.ndarray) -> tuple[list[int], int, int]:
    """Return the number of values in each bin, below the first edge, and above the last edge."""
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    if edges[0] == edges[-1]:
        return [len(values)], 0, 0
    counts, _ = np.histogram(values, edges)
    return [int(count) for count in counts], below, above
