"""Answers about logged tables: groups of rows, and the comparison of two tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Shown = Literal["differences", "changed", "left", "right", "same", "all"]


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """The numbers of a column in a group of rows, without NaN. Without numbers, only ``count`` is not
    None."""

    count: int
    mean: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class TableGroup:
    """The rows of a table with equal values in the grouped columns.

    Attributes:
        values: The value of each grouped column.
        rows: The number of rows.
        columns: Statistics of other columns, by name.
    """

    values: list[Any]
    rows: int
    columns: dict[str, ColumnStatistics]


@dataclass(frozen=True, slots=True)
class TableGroups:
    """A page of the groups of a table, the largest group first.

    Attributes:
        key: The history key of the table.
        step: The step at which the table was logged.
        by: The grouped columns.
        total: The number of groups.
        rows: The number of rows in all groups.
        groups: The groups of this page.
    """

    key: str
    step: int
    by: list[str]
    total: int
    rows: int
    groups: list[TableGroup]


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """One of two compared tables: its run, key, step, number of rows, and the columns that only it has."""

    run: str
    key: str
    step: int
    rows: int
    only: list[str]


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A row of one or both tables.

    Attributes:
        status: ``same``, ``changed``, ``left`` or ``right`` (only in this table).
        left: The cells of ``columns`` in the left table; None if it lacks the row.
        right: The same of the right table.
        changed: The columns with different values.
    """

    status: str
    left: list[Any] | None
    right: list[Any] | None
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TableComparison:
    """Two tables, joined by the values of some columns.

    Attributes:
        left: The left table.
        right: The right table.
        on: The joined columns. Empty: rows with the same number are joined.
        columns: The columns of both tables.
        counts: The number of rows with each status.
        changed: For each column with different values, the number of rows.
        total: The number of rows that the request shows.
        rows: The rows of this page: those of the left table in its order, then those only in the right one.
    """

    left: ComparedTable
    right: ComparedTable
    on: list[str]
    columns: list[str]
    counts: dict[str, int]
    changed: dict[str, int]
    total: int
    rows: list[ComparedRow]
