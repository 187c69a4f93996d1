"""The cells of a table's column as numbers and strings, and the order and the equality of cells."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracker.ground import values
from tracker.store.history.columns import EXACT, NUMERIC, roles_of

_NUMBER, _NAN, _TEXT, _OTHER, _NONE = range(5)


class Cells:
    """A column. A cell is a number (True is 1), a string, another value (a dict, a list) or None.

    Args:
        table: The table. See ``tracker.store.history.json_tables``.
        name: The name of the column in it.

    Attributes:
        numbers: The numbers as float64, NaN for all other cells.
        are_numbers: A mask of the cells that are numbers.
    """

    def __init__(self, table: pa.Table, name: str) -> None:
        kind = roles_of(table.schema)[name]["kind"]
        main = table.column(name)
        self._main, self._is_string = main, kind == "string"
        self._texts: dict[int, str] = {}
        self._others: dict[int, str] = {}
        self.numbers = np.full(len(main), np.nan)
        self.are_numbers = np.zeros(len(main), bool)
        if kind in NUMERIC or kind == "bool":
            number = main.cast(pa.int8()) if kind == "bool" else main
            self.numbers = np.array(number.cast(pa.float64(), safe=False).to_numpy())
            self.are_numbers = main.is_valid().to_numpy()
        elif kind == "json":
            self._read(main)
        if EXACT + name in table.column_names:
            # A number that the main column has as its nearest double needs no second reading.
            over = table.column(EXACT + name)
            self._read(
                pc.if_else(main.is_null(), over, pa.scalar(None, pa.string())) if kind != "json" else over
            )

    def _read(self, column: pa.ChunkedArray) -> None:
        cells = (cell for chunk in column.chunks for cell in chunk.to_pylist())
        for at, text in enumerate(cells):
            if text is None:
                continue
            if text.startswith(("[", "{")) and '"_type":"number"' not in text:
                self._others[at] = text
                continue
            cell = values.loads(text)
            if isinstance(cell, str):
                self._texts[at] = cell
            elif isinstance(cell, (int, float)):
                self.numbers[at] = _as_double(cell)
                self.are_numbers[at] = True
            elif cell is not None:
                self._others[at] = text

    @cached_property
    def texts(self) -> pa.ChunkedArray:
        """The strings, with null for all other cells."""
        if self._is_string and not self._texts:
            return self._main
        found: list[str | None] = self._main.to_pylist() if self._is_string else [None] * len(self.numbers)
        for at, text in self._texts.items():
            found[at] = text
        return pa.chunked_array([pa.array(found, pa.string())])

    @cached_property
    def kinds(self) -> np.ndarray:
        """The kind of each cell: number, NaN, string, other or None, in the order of a sort."""
        found = np.full(len(self.numbers), _NONE, np.int8)
        found[self.are_numbers] = _NUMBER
        found[self.are_numbers & np.isnan(self.numbers)] = _NAN
        found[self.texts.is_valid().to_numpy()] = _TEXT
        found[list(self._others)] = _OTHER
        return found

    @property
    def are_none(self) -> np.ndarray:
        """A mask of the cells that are None."""
        return np.asarray(self.kinds == _NONE)

    def codes(self, *, content_only: bool = False) -> np.ndarray:
        """Return an integer for each cell. Equal cells have equal integers.

        Args:
            content_only: Whether two files (dicts with ``sha256``) are equal if only their paths differ.
        """
        codes = np.zeros(len(self.numbers), np.int64)
        start = 1  # 0 is None
        numbers, found = np.unique(self.numbers[self.are_numbers], return_inverse=True)
        codes[self.are_numbers] = found + start
        start += len(numbers)
        texts = pc.dictionary_encode(self.texts.combine_chunks())
        are_texts = self.texts.is_valid().to_numpy()
        codes[are_texts] = texts.indices.drop_null().to_numpy() + start
        start += len(texts.dictionary)
        known: dict[str, int] = {}
        for at, text in self._others.items():
            same = _without_path(text) if content_only else text
            codes[at] = start + known.setdefault(same, len(known))
        return codes

    def sort_keys(self, *, descending: bool) -> list[np.ndarray]:
        """Return keys for ``numpy.lexsort``, the least important first.

        Numbers come first, then NaN, strings, other values and None, in both directions.
        """
        sign = -1 if descending else 1
        ranks = np.zeros(len(self.numbers), np.int64)
        texts = pc.dictionary_encode(self.texts.combine_chunks())
        order = np.argsort(pc.sort_indices(texts.dictionary).to_numpy(), kind="stable")
        are_texts = self.texts.is_valid().to_numpy()
        ranks[are_texts] = order[texts.indices.drop_null().to_numpy()] * sign
        return [ranks, np.nan_to_num(self.numbers, nan=0.0, posinf=np.inf, neginf=-np.inf) * sign, self.kinds]


def _as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _without_path(text: str) -> str:
    cell = values.loads(text)
    if isinstance(cell, dict) and "sha256" in cell:
        return values.dumps({key: each for key, each in cell.items() if key != "path"}, sort_keys=True)
    return values.dumps(cell, sort_keys=True)
