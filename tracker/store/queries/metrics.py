"""The history keys of many runs, with the axes and goals that ``define_metric`` gave them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.field_infos import MetricInfo, MetricList
from tracker.ground.records import OUTSIDE, MetricDefined, encode
from tracker.runstate.aggregates import Rules
from tracker.runstate.fold import KeyFacts
from tracker.runstate.merge import count_other_ranks
from tracker.store.queries.chart_limits import MOST_RUNS
from tracker.store.queries.run_pages import Matching, PageAsked, Selection, find_page
from tracker.store.queries.run_sources import (
    DefinedKeys,
    choose_axis,
    decode_keys,
    find_numbers,
    find_numeric_axes,
    merge_definitions_of,
    read_definitions,
)

T = TypeVar("T")


def list_metrics(
    session: Session,
    entity: str,
    project: str,
    runs: Sequence[str] | None = None,
    *,
    order: str = "-created_at",
    limit: int | None = None,
    **selection: Any,
) -> MetricList:
    """Return the history keys that at least one of the chosen runs has.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        runs: Ids of runs. None: the runs of the selection.
        order: See ``run_pages.PageAsked``.
        limit: Only this number of the first runs of the selection, up to 1,000; None for all.
        selection: ``search``, ``filters`` and ``query``: see ``run_pages.Selection``.

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: The selection is invalid, both runs and a selection are given, or the runs are too many.
    """
    if runs is not None and (limit is not None or any(selection.values())):
        raise UsageError("metrics: give the ids of the runs or a selection, but not both")
    if limit is not None:
        asked = PageAsked(entity, project, **selection, limit=limit, order=order)
        numbers = list(find_page(session, asked)[1].ids)
    elif runs is None:
        numbers = list(Matching(session, Selection(entity, project, **selection)).ids())
    else:
        numbers = list(find_numbers(session, entity, project, list(dict.fromkeys(runs))).values())
    if len(numbers) > MOST_RUNS:
        raise UsageError(
            f"{len(numbers):,} runs are too many for one request: choose at most {MOST_RUNS:,} runs"
        )
    metrics = _Metrics()
    for _, segments in read_definitions(session, numbers):
        metrics.add_run(segments)
    return MetricList(len(numbers), metrics.list())


class _Metrics:
    """The metrics of the runs that were added."""

    def __init__(self) -> None:
        self._facts: dict[str, KeyFacts] = {}  # ``count`` is the number of runs
        self._other_ranks: dict[str, int] = {}
        # The keys of runs whose definitions are equal, and for which the same axes have numbers. Most runs of
        # a project are equal in this, so axes and goals are chosen once for all of them.
        self._groups: dict[tuple[bytes, frozenset[str]], tuple[dict[str, MetricDefined], set[str]]] = {}

    def add_run(self, segments: list[DefinedKeys]) -> None:
        """Add a run with the segments of all its writers."""
        # As in the description of one run: if the run has own writers, segments from outside do not count.
        own = [each for each in segments if each.view.rank < OUTSIDE] or segments
        facts = [decode_keys(each.keys) for each in own]
        for of_segment in facts:
            for key, here in of_segment.items():
                known = self._facts.get(key)
                if known is None:
                    self._facts[key] = KeyFacts(here.kind, 0, here.last_step, here.mixed_numbers)
                    continue
                if here.kind != known.kind or here.mixed_numbers:
                    known.add_kind(here.kind, here.mixed_numbers)
                if here.last_step > known.last_step:
                    known.last_step = here.last_step
        keys = facts[0].keys() if len(facts) == 1 else {key for of_segment in facts for key in of_segment}
        for key in keys:
            self._facts[key].count += 1
        if len(own) > 1:
            numbers = ([key for key, here in each.items() if here.numbers] for each in facts)
            others = count_other_ranks(zip((each.view.rank for each in own), numbers, strict=True))
            for key, count in others.items():
                self._other_ranks[key] = max(count, self._other_ranks.get(key, 0))
        definitions = merge_definitions_of(segments)
        numeric = find_numeric_axes(definitions, facts)
        _, known_keys = self._groups.setdefault((encode(definitions), numeric), (definitions, set()))
        known_keys.update(keys)

    def list(self) -> list[MetricInfo]:
        """Return the metrics in order of name."""
        axes: dict[str, set[str]] = defaultdict(set)
        goals: dict[str, set[str | None]] = defaultdict(set)
        shown = set()
        for (_, numeric), (definitions, keys) in self._groups.items():
            rules = Rules(definitions)
            for key in keys:
                rule = rules.find(key)
                axes[key].add(choose_axis(rule, numeric, key))
                goals[key].add(rule.goal if rule is not None else None)
                if rule is None or not rule.hidden:
                    shown.add(key)
        return [
            MetricInfo(
                key=key,
                kind=facts.kind,
                numbers=facts.numbers,
                runs=facts.count,
                x=_only(axes[key]),
                goal=_only(goals[key]),
                hidden=key not in shown,
                last_step=facts.last_step,
                other_ranks=self._other_ranks.get(key, 0),
            )
            for key, facts in sorted(self._facts.items())
        ]


def _only(answers: set[T]) -> T | None:
    """Return the answer of all runs, or None if they have several."""
    return next(iter(answers)) if len(answers) == 1 else None
