"""Frozen records of the fields of a project's runs, and of the metrics in their histories."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field that at least one run has.

    Attributes:
        field: ``config.KEY`` or ``summary.KEY``, with the keys of nested dicts joined by dots; or ``tag``,
            ``group``, ``job_type``, ``host`` or ``state``.
        numbers: Whether a run has a number, which includes true (1), false (0), NaN and infinities.
        texts: Whether a run has a string. A field with lists and dicts only has neither numbers nor texts.
        min: The smallest finite number; None without one.
        max: The largest finite number; None without one.
        values: Distinct strings, in the order of their code points. Strings of more than 256 characters are
            left out.
        more: Whether runs have other strings than ``values``.
        media: The kind of the media objects that runs have, such as ``image-file``. The values within a media
            object, such as its size, are not fields. None without media.
    """

    field: str
    numbers: bool
    texts: bool
    min: float | None
    max: float | None
    values: list[str]
    more: bool
    media: str | None = None


@dataclass(frozen=True, slots=True)
class FieldList:
    """Fields in order of name. ``more`` tells whether a limit left out some of them."""

    fields: list[FieldInfo]
    more: bool


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A history key of several runs.

    Attributes:
        key: The key.
        kind: The kind of the values, as in ``KeyInfo``; ``other`` if the runs have several kinds.
        numbers: Whether at least one value is a number: a chart can then show the numbers.
        runs: The number of runs with the key.
        x: The x axis that a chart of the key has by default: the ``step_metric`` of ``define_metric``, if the
            run logged numbers under it, or ``_step``. None: the runs have several axes.
        goal: ``minimize`` or ``maximize``, as ``define_metric`` gave it; None without a goal, or if the runs
            have several.
        hidden: Whether all these runs hide the key with ``define_metric(hidden=True)``.
        last_step: The largest step with a value.
        other_ranks: The number of ranks of a run, other than that of its primary writer, that logged numbers;
            the largest of all runs.
    """

    key: str
    kind: str
    numbers: bool
    runs: int
    x: str | None
    goal: str | None
    hidden: bool
    last_step: int
    other_ranks: int = 0


@dataclass(frozen=True, slots=True)
class MetricList:
    """The history keys of several runs, in order of name. ``runs`` is the number of all chosen runs."""

    runs: int
    metrics: list[MetricInfo]
