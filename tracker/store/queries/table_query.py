"""Filter, sort, group and comparison of tables, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracker.errors import UsageError
from tracker.ground.table_answers import ColumnStatistics, TableGroup
from tracker.store.history.json_tables import LoggedTable
from tracker.store.history.table_cells import Cells
from tracker.store.queries.filter_fields import shown
from tracker.store.queries.filters import GROUPS, LARGEST_CONDITIONS, LARGEST_DEPTH, LARGEST_OPERANDS

_COMPARISONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "$gt": (np.greater, pc.greater),
    "$gte": (np.greater_equal, pc.greater_equal),
    "$lt": (np.less, pc.less),
    "$lte": (np.less_equal, pc.less_equal),
}
OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$regex", "$not")


class TableQuery:
    """Questions about one table.

    Args:
        table: The table.
    """

    def __init__(self, table: LoggedTable) -> None:
        self._table = table
        self._names: dict[str, int] = {}
        for at, name in enumerate(table.columns):
            self._names.setdefault(str(name), at)
        self._cells: dict[int, Cells] = {}
        self._conditions = self._operands = 0

    def place(self, name: str) -> int:
        """Return the index of a column.

        Raises:
            UsageError: The table has no such column.
        """
        if name not in self._names:
            raise UsageError(f"the table has no column {name!r}: it has {', '.join(list(self._names)[:20])}")
        return self._names[name]

    def cells(self, name: str) -> Cells:
        """Return the cells of a column."""
        at = self.place(name)
        if at not in self._cells:
            self._cells[at] = Cells(self._table.data, str(at))
        return self._cells[at]

    def choose(self, filters: Any) -> np.ndarray:
        """Return the numbers of the rows that match a filter. docs/rest-api.md has its language.

        Raises:
            UsageError: The filter is not valid.
        """
        if not filters and isinstance(filters, dict):
            return np.arange(len(self._table.data))
        return np.flatnonzero(self._group(filters, 0))

    def sort(self, places: np.ndarray, order: Sequence[str]) -> np.ndarray:
        """Return row numbers in another order.

        Args:
            places: The row numbers, ascending.
            order: Names of columns, the most important first. A ``-`` in front reverses the order.

        Raises:
            UsageError: The table has no such column.
        """
        keys: list[np.ndarray] = []
        for each in reversed(order):
            descending = each.startswith("-") and each not in self._names
            found = self.cells(each[1:] if descending else each).sort_keys(descending=descending)
            keys += [key[places] for key in found]
        return np.asarray(places[np.lexsort(keys)]) if keys else places

    def group(
        self, places: np.ndarray, by: Sequence[str], columns: Sequence[str] | None, page: slice
    ) -> tuple[int, list[TableGroup]]:
        """Return the number of groups, and the groups of a page, the largest first.

        Args:
            places: The row numbers to group.
            by: The columns whose values make a group.
            columns: The columns with statistics. None: all with numbers, at most 50.
            page: The groups to return.

        Raises:
            UsageError: The table has no such column.
        """
        codes = np.zeros(len(places), np.int64)
        for name in by:
            _, own = np.unique(self.cells(name).codes()[places], return_inverse=True)
            _, codes = np.unique(codes * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
        _, first, codes, sizes = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
        order = np.lexsort((first, -sizes))
        chosen = order[page]
        if columns is None:
            others = [str(name) for name in self._table.columns if str(name) not in by]
            columns = [name for name in dict.fromkeys(others) if self.cells(name).are_numbers.any()][:50]
        found = {name: self._statistics(name, places, codes, len(sizes), chosen) for name in columns}
        heads = self._table.rows(places[first[chosen]])
        at = [self.place(name) for name in by]
        return len(sizes), [
            TableGroup(
                [head[each] for each in at],
                int(sizes[group]),
                {name: statistics[index] for name, statistics in found.items()},
            )
            for index, (group, head) in enumerate(zip(chosen.tolist(), heads, strict=True))
        ]

    def _statistics(
        self, name: str, places: np.ndarray, codes: np.ndarray, groups: int, chosen: np.ndarray
    ) -> list[ColumnStatistics]:
        numbers = self.cells(name).numbers[places]
        valid = ~np.isnan(numbers)
        numbers, codes = numbers[valid], codes[valid]
        counts = np.bincount(codes, minlength=groups)
        sums = np.bincount(codes, numbers, minlength=groups)
        least, most = np.full(groups, np.inf), np.full(groups, -np.inf)
        np.minimum.at(least, codes, numbers)
        np.maximum.at(most, codes, numbers)
        return [
            ColumnStatistics(int(count), float(total / count), float(low), float(high))
            if count
            else ColumnStatistics(0, None, None, None)
            for count, total, low, high in zip(
                counts[chosen], sums[chosen], least[chosen], most[chosen], strict=True
            )
        ]

    def _group(self, filters: Any, depth: int) -> np.ndarray:
        if not isinstance(filters, dict):
            raise UsageError(f"a filter is a dict such as {{'score': {{'$gt': 0.5}}}}, not {shown(filters)}")
        self._count(depth)
        found = np.ones(len(self._table.data), bool)
        for key, test in filters.items():
            self._count(depth)
            if key == "$not":
                found &= ~self._group(test, depth + 1)
            elif key in GROUPS:
                if not isinstance(test, list) or not test:
                    raise UsageError(f"{key} takes a list of filters, not {shown(test)}")
                parts = [self._group(each, depth + 1) for each in test]
                joined = np.logical_and.reduce(parts) if key == "$and" else np.logical_or.reduce(parts)
                found &= ~joined if key == "$nor" else joined
            elif key.startswith("$") and key not in self._names:
                raise UsageError(f"unknown operator {key}: use {', '.join(GROUPS)}, or the name of a column")
            else:
                found &= self._tests(key, test, depth)
        return found

    def _tests(self, name: str, test: Any, depth: int) -> np.ndarray:
        self._count(depth)
        if not (isinstance(test, dict) and any(str(each).startswith("$") for each in test)):
            test = {"$eq": test}
        found = np.ones(len(self._table.data), bool)
        for operator, operand in test.items():
            self._count(depth)
            found &= self._test(name, operator, operand, depth)
        return found

    def _test(self, name: str, operator: str, operand: Any, depth: int) -> np.ndarray:
        cells = self.cells(name)
        if operator == "$not":
            if not isinstance(operand, dict):
                raise UsageError(f"{name}: $not takes a dict such as {{'$gt': 1}}, not {shown(operand)}")
            return ~self._tests(name, operand, depth + 1)
        if operator == "$exists":
            if operand not in (True, False):
                raise UsageError(f"{name}: $exists takes true or false, not {shown(operand)}")
            return ~cells.are_none if operand else cells.are_none
        if operator == "$regex":
            return _match(name, cells, operand)
        if operator in _COMPARISONS:
            of_numbers, of_texts = _COMPARISONS[operator]
            if isinstance(operand, str):
                return _mask(of_texts(cells.texts, operand))
            if not isinstance(operand, (int, float)) or math.isnan(operand):
                raise UsageError(f"{name}: {operator} takes a number or a string, not {shown(operand)}")
            return np.asarray(of_numbers(cells.numbers, _double(operand)))
        if operator not in OPERATORS:
            raise UsageError(f"{name}: unknown operator {operator!r}: use {', '.join(OPERATORS)}")
        if operator in ("$eq", "$ne"):
            operand = [operand]
        elif not isinstance(operand, list):
            raise UsageError(f"{name}: {operator} takes a list, not {shown(operand)}")
        self._operands += len(operand)
        if self._operands > LARGEST_OPERANDS:
            raise UsageError(f"the filter has more than {LARGEST_OPERANDS} values")
        one_of = _is_one_of(name, cells, operand)
        return ~one_of if operator in ("$ne", "$nin") else one_of

    def _count(self, depth: int) -> None:
        self._conditions += 1
        if self._conditions > LARGEST_CONDITIONS:
            raise UsageError(f"the filter has more than {LARGEST_CONDITIONS} conditions: use $in")
        if depth > LARGEST_DEPTH:
            raise UsageError(f"the filter is nested more than {LARGEST_DEPTH} levels deep")


def _is_one_of(name: str, cells: Cells, operands: list[Any]) -> np.ndarray:
    texts = [each for each in operands if isinstance(each, str)]
    numbers = [_double(each) for each in operands if isinstance(each, (int, float))]
    if len(texts) + len(numbers) + operands.count(None) < len(operands):
        raise UsageError(f"{name}: a cell is compared with a number, a string, true, false or null")
    found = np.zeros(len(cells.numbers), bool)
    if texts:
        found |= _mask(pc.is_in(cells.texts, pa.array(texts, pa.string())))
    if numbers:
        found |= cells.are_numbers & np.isin(cells.numbers, [each for each in numbers if each == each])
        if any(each != each for each in numbers):
            found |= cells.are_numbers & np.isnan(cells.numbers)
    if None in operands:
        found |= cells.are_none
    return found


def _match(name: str, cells: Cells, pattern: Any) -> np.ndarray:
    if not isinstance(pattern, str):
        raise UsageError(f"{name}: $regex takes a string, not {shown(pattern)}")
    try:  # RE2 needs time in proportion to the text, with any pattern
        pc.match_substring_regex(pa.array([""]), pattern)
        return _mask(pc.match_substring_regex(cells.texts, pattern))
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise UsageError(f"{name}: {shown(pattern)} is not a valid RE2 pattern: {reason}") from None


def _mask(found: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(found.fill_null(False).to_numpy())


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
