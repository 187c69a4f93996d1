"""Comparison of two tables: their rows are joined by the values of some columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tracker.errors import UsageError
from tracker.ground.table_answers import ComparedRow, Shown
from tracker.store.history.columns import EXACT, common_kinds, conform, make_schema, roles_of
from tracker.store.history.json_tables import LoggedTable, without_axes
from tracker.store.history.table_cells import Cells

SAME, CHANGED, LEFT, RIGHT = range(4)
STATUS = ("same", "changed", "left", "right")


class Comparison:
    """Two joined tables.

    Args:
        left: The left table.
        right: The right table.
        on: The joined columns.

    Attributes:
        columns: The columns of both tables.
        sides: For each table the number of rows, and the columns that only it has.
        counts: The number of rows with each status.
        changed: For each column with different values, the number of rows.

    Raises:
        UsageError: A table lacks a column of ``on``.
    """

    def __init__(self, left: LoggedTable, right: LoggedTable, on: Sequence[str]) -> None:
        self._tables = (left, right)
        names = [list(map(str, table.columns)) for table in self._tables]
        self.columns = [name for name in dict.fromkeys(names[0]) if name in names[1]]
        for name in on:
            if name not in self.columns:
                raise UsageError(f"cannot join by {name!r}: both tables must have this column")
        self._at = [[own.index(name) for name in self.columns] for own in names]
        rows = [len(table.data) for table in self._tables]
        self.sides = [
            (count, [name for name in dict.fromkeys(own) if name not in self.columns])
            for count, own in zip(rows, names, strict=True)
        ]
        both = _joined(self._tables, self._at)
        codes = np.zeros(sum(rows), np.int64)
        for name in on:
            own_codes = Cells(both, str(self.columns.index(name))).codes(content_only=True)
            _, codes = np.unique(codes * (int(own_codes.max(initial=0)) + 1) + own_codes, return_inverse=True)
        self._places = _join(codes[: rows[0]], codes[rows[0] :])
        first, second = self._places
        pairs = np.flatnonzero((first >= 0) & (second >= 0))
        self._changes: dict[str, np.ndarray] = {}
        self._status = np.where(second < 0, LEFT, np.where(first < 0, RIGHT, SAME))
        for at, name in enumerate(self.columns):
            if name not in on:
                found = Cells(both, str(at)).codes(content_only=True)
                differs = pairs[found[: rows[0]][first[pairs]] != found[rows[0] :][second[pairs]]]
                if len(differs):
                    self._changes[name] = differs
                    self._status[differs] = CHANGED
        self.changed = {name: len(places) for name, places in self._changes.items()}
        sizes = np.bincount(self._status, minlength=len(STATUS)).tolist()
        self.counts = dict(zip(STATUS, sizes, strict=True))

    def page(self, show: Shown, page: slice) -> tuple[int, list[ComparedRow]]:
        """Return the number of rows that are shown, and those of a page.

        Args:
            show: A status, ``all``, or ``differences`` (all but ``same``).
            page: The rows to return.
        """
        if show == "all":
            shown = np.arange(len(self._status))
        elif show == "differences":
            shown = np.flatnonzero(self._status != SAME)
        else:
            shown = np.flatnonzero(self._status == STATUS.index(show))
        chosen = shown[page]
        cells = []
        for table, places, at in zip(self._tables, self._places, self._at, strict=True):
            own = places[chosen]
            found = iter([[row[each] for each in at] for row in table.rows(own[own >= 0])])
            cells.append([next(found) if place >= 0 else None for place in own.tolist()])
        rows = []
        for place, left, right in zip(chosen.tolist(), *cells, strict=True):
            changed = [name for name, places in self._changes.items() if _contains(places, place)]
            rows.append(ComparedRow(STATUS[self._status[place]], left, right, changed))
        return len(shown), rows


def _contains(places: np.ndarray, place: int) -> bool:
    at = int(np.searchsorted(places, place))
    return at < len(places) and bool(places[at] == place)


def _joined(tables: tuple[LoggedTable, LoggedTable], at: list[list[int]]) -> pa.Table:
    """Return the rows of both tables with their common columns, which have the names "0", "1" and so on."""
    renamed = [_pick(table.data, places) for table, places in zip(tables, at, strict=True)]
    kinds = common_kinds(table.schema for table in renamed)
    schema = without_axes(make_schema({str(place): kinds[str(place)] for place in range(len(at[0]))}))
    return pa.concat_tables([conform(table, roles_of(table.schema), schema) for table in renamed])


def _pick(table: pa.Table, places: list[int]) -> pa.Table:
    roles = roles_of(table.schema)
    kinds, columns = {}, []
    for new, old in enumerate(places):
        name = str(old)
        has_exact = EXACT + name in roles
        kinds[str(new)] = (roles[name]["kind"], has_exact)
        columns += [table.column(name), *([table.column(EXACT + name)] if has_exact else [])]
    return pa.Table.from_arrays(columns, schema=without_axes(make_schema(kinds)))


def _join(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of both tables for each joined row; -1 where a table lacks the row.

    Args:
        left: The code of the key of each row of the left table. Equal codes are joined in their order.
        right: The same of the right table.
    """
    repeats = [_repeats(codes) for codes in (left, right)]
    factor = max(int(each.max(initial=0)) for each in repeats) + 1
    first, second = left * factor + repeats[0], right * factor + repeats[1]
    order = np.argsort(second)
    at = np.searchsorted(second, first, sorter=order)
    hit = at < len(second)
    hit[hit] = second[order[at[hit]]] == first[hit]
    partners = np.full(len(first), -1)
    partners[hit] = order[at[hit]]
    alone = np.ones(len(second), bool)
    alone[partners[hit]] = False
    rest = np.flatnonzero(alone)
    return (
        np.concatenate((np.arange(len(first)), np.full(len(rest), -1))),
        np.concatenate((partners, rest)),
    )


def _repeats(codes: np.ndarray) -> np.ndarray:
    """Return, for each row, the number of earlier rows with the same code."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(codes)))
    found = np.empty(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - np.repeat(starts, sizes)
    return found
