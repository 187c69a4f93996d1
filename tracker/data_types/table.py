"""Tables: named columns with types, and rows of plain values and media."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from tracker.data_types import dtypes, table_files
from tracker.data_types.base import WBValue
from tracker.data_types.column_types import QuickCheck, explain
from tracker.data_types.figures import is_data_frame
from tracker.data_types.media import FileSink, Media
from tracker.data_types.table_keys import (
    ForeignIndexType,
    ForeignKeyType,
    PrimaryKeyType,
    TableIndex,
    TableKey,
)
from tracker.errors import Error

LogMode = Literal["IMMUTABLE", "MUTABLE", "INCREMENTAL"]
LOG_MODES = ("IMMUTABLE", "MUTABLE", "INCREMENTAL")
ColumnKey = str | int


class Table(Media):
    """A table. Its number of rows is not limited.

    Args:
        columns: Names of the columns; ``Input``, ``Output`` and ``Expected`` by default.
        data: The rows: a list of lists, a 2-D array, or a pandas DataFrame, which also gives the columns.
            Each row has one cell for each column. Cells are plain values, arrays or media.
        rows: The same as ``data``; an older name.
        dataframe: A pandas DataFrame instead of ``columns`` and ``data``.
        dtype: Type of all columns, or a list with the type of each column. A type is a class, a ``Type`` or
            a constant. By default the types are derived from the data.
        optional: Whether None is allowed, for all columns or as a list for each column.
        allow_mixed_types: Whether each column accepts values of all types.
        log_mode: The effect of logging the table again. ``"IMMUTABLE"``: no effect. ``"MUTABLE"``: the whole
            table is logged again if it has changed. ``"INCREMENTAL"``: only the new rows are logged.

    Raises:
        ValueError: A row does not have one cell for each column.
        TypeError: A value does not fit its column.
        AssertionError: ``columns`` or ``data`` is not a list, or another argument is invalid.
    """

    MAX_ROWS: ClassVar[int] = 10000
    MAX_ARTIFACT_ROWS: ClassVar[int] = 200000
    in_artifact: ClassVar[bool] = True  # whether logging the table creates an artifact of type ``run_table``
    _log_type = "table"
    folder = "table"
    _target: Any = None  # the run to which an incremental table is logged

    def __init__(
        self,
        columns: Sequence[ColumnKey] | None = None,
        data: Any | None = None,
        rows: Sequence[Any] | None = None,
        dataframe: Any | None = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: LogMode | None = "IMMUTABLE",
    ) -> None:
        assert log_mode in LOG_MODES, f"Invalid log_mode: {log_mode}. Must be one of {list(LOG_MODES)}"
        self.log_mode = log_mode
        self.data: list[list[Any]] = []
        self._pk_col: ColumnKey | None = None
        self._fk_cols: set[ColumnKey] = set()
        # The state of an incremental table: the increments and rows that were logged.
        self._increment_num: int | None = None
        self._last_logged_idx: int | None = None
        self._previous_increments_paths: list[str] | None = None
        given = data if data is not None else rows
        frame: Any = dataframe if dataframe is not None else given if is_data_frame(given) else None
        if frame is not None:
            assert is_data_frame(frame), "dataframe argument expects a `DataFrame` object"
            columns = list(frame.columns)
            series = [frame[column].values for column in columns]
            given = [[each[at] for each in series] for at in range(len(frame))]
        elif given is not None and not hasattr(given, "__array__"):
            assert isinstance(given, list), "data argument expects a `list` object"
        columns = ["Input", "Output", "Expected"] if columns is None else columns
        assert isinstance(columns, list), "columns argument expects a `list` object"
        assert all(type(column) in (str, int) for column in columns), (
            "columns argument expects list of strings or ints"
        )
        self.columns: list[ColumnKey] = list(columns)
        self._column_types = dtypes.TypedDictType()
        dtype = dtypes.AnyType if allow_mixed_types else dtypes.UnknownType() if dtype is None else dtype
        for at, column in enumerate(self.columns):
            self.cast(
                column,
                dtype[at] if isinstance(dtype, list) else dtype,
                optional[at] if isinstance(optional, list) else optional,
            )
        for row in [] if given is None else given:
            self.add_data(*row)

    # Rows

    def add_data(self, *data: Any) -> None:
        """Add one row.

        Raises:
            ValueError: The row does not have one value for each column.
            TypeError: A value does not fit its column. The row is not added.
        """
        if len(data) != len(self.columns):
            raise ValueError(
                f"This table expects {len(self.columns)} columns: {self.columns}, found {len(data)}"
            )
        self._changing()
        if not self._check.accepts(data):
            for column, value in zip(self.columns, data, strict=True):
                if isinstance(value, (TableKey, TableIndex)):
                    self.cast(column, dtypes.type_of(value))
            row = dict(zip(self.columns, data, strict=True))
            types = self._column_types.assign(row)
            if types is None:
                raise TypeError(
                    "Data row contained incompatible types:\n"
                    + explain(self._column_types.params["type_map"], row)
                )
            assert isinstance(types, dtypes.TypedDictType)
            self._set_types(types)
        self.data.append(list(data))
        self._wrap_keys(only_last=True)
        table_files.begin_increment(self)

    def add_row(self, *row: Any) -> None:
        """Add one row; an older name of ``add_data``."""
        self.add_data(*row)

    def iterrows(self) -> Iterator[tuple[TableIndex, list[Any]]]:
        """Yield the index and the values of each row."""
        return zip(self.get_index(), self.data, strict=True)

    def get_index(self) -> list[TableIndex]:
        """Return the numbers of all rows. As cells of another table, they are links to these rows."""
        return [self.index_ref(at) for at in range(len(self.data))]

    def index_ref(self, index: int) -> TableIndex:
        """Return the number of one row, as ``get_index`` does.

        Raises:
            AssertionError: The table has no such row.
        """
        assert index < len(self.data), f"Invalid row {index}: the table has {len(self.data)} rows"
        made = TableIndex(index)
        made.set_table(self)
        return made

    # Columns

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        """Add a column with one value for each row.

        Args:
            name: Name of the column.
            data: A list or an array with one value for each row.
            optional: Whether None is allowed.

        Raises:
            AssertionError: The number of values differs from the number of rows, or the column exists.
            TypeError: The values have different types. The column is not added.
            Error: The table is incremental.
        """
        self._refuse_incremental("add_column")
        assert isinstance(name, str), f"Invalid column name {name!r}. Use a string."
        assert name not in self.columns, f"The table already has a column {name!r}"
        assert isinstance(data, list) or hasattr(data, "__array__"), "data is neither a list nor an array"
        first = not self.columns
        assert first or len(data) == len(self.data), f"Expected length {len(self.data)}, found {len(data)}"
        before = [list(row) for row in self.data], list(self.columns)
        if first:
            self.data = [[] for _ in data]
        for row, value in zip(self.data, data, strict=True):
            row.append(value)
        self.columns.append(name)
        try:
            self.cast(name, dtypes.UnknownType(), optional)
        except TypeError:
            self.data, self.columns = before
            raise

    def add_computed_columns(self, fn: Callable[[int, dict[ColumnKey, Any]], dict[str, Any]]) -> None:
        """Add columns that a function computes from each row.

        Args:
            fn: Called with the number of a row and a dict of its values by column. Returns a dict of the new
                values by column.

        Raises:
            Error: The table is incremental.
        """
        self._refuse_incremental("add_computed_columns")
        added: dict[str, list[Any]] = {}
        for index, row in self.iterrows():
            for key, value in fn(index, dict(zip(self.columns, row, strict=True))).items():
                added.setdefault(key, []).append(value)
        for key, values in added.items():
            self.add_column(key, values)

    def get_column(self, name: ColumnKey, convert_to: Literal["numpy"] | None = None) -> Any:
        """Return the values of one column, as a list or as a numpy array.

        Raises:
            AssertionError: The table has no such column, or ``convert_to`` is invalid.
        """
        assert name in self.columns, f"The table has no column {name!r}"
        assert convert_to in (None, "numpy"), f"Invalid convert_to {convert_to!r}. Use None or 'numpy'."
        at = self.columns.index(name)
        column = [row[at] for row in self.data]
        if convert_to is None:
            return column
        import numpy as np

        return np.array([each.to_data_array() if isinstance(each, Media) else each for each in column])

    def get_dataframe(self) -> Any:
        """Return the table as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame.from_records(self.data, columns=self.columns)

    def cast(self, col_name: ColumnKey, dtype: Any, optional: bool = False) -> dtypes.Type:
        """Set the type of a column and return it.

        Args:
            col_name: Name of the column.
            dtype: A class, a ``Type`` or a constant.
            optional: Whether None is allowed.

        Raises:
            AssertionError: The table has no such column, or a key column would be optional, refer to its own
                table or be a second primary key.
            TypeError: An existing value does not fit the type.
        """
        self._changing()
        assert col_name in self.columns, f"The table has no column {col_name!r}"
        wb_type: dtypes.Type = dtypes.optional(dtype) if optional else dtypes.as_type(dtype)
        at = self.columns.index(col_name)
        for row in self.data:
            fitting = wb_type.assign(row[at])
            if fitting is None:
                raise TypeError(
                    f"Existing data {row[at]!r}, of type {dtypes.type_of(row[at])}, cannot be cast to "
                    f"{wb_type}"
                )
            wb_type = fitting
        if isinstance(wb_type, (PrimaryKeyType, ForeignKeyType, ForeignIndexType)):
            assert not optional, "Primary keys, foreign keys, and foreign indexes cannot be optional."
        if isinstance(wb_type, (ForeignKeyType, ForeignIndexType)) and wb_type.params["table"] is self:
            raise AssertionError("Cannot set a foreign table reference to same table.")
        if isinstance(wb_type, PrimaryKeyType):
            assert self._pk_col in (None, col_name), (
                f"Cannot have multiple primary keys - {self._pk_col} is already set as the primary key."
            )
        types = {**self._column_types.params["type_map"], col_name: wb_type}
        self._set_types(dtypes.TypedDictType(types))
        self._wrap_keys()
        return wb_type

    def set_pk(self, col_name: ColumnKey) -> None:
        """Make a column the primary key: its strings identify the rows."""
        self.cast(col_name, PrimaryKeyType())

    def set_fk(self, col_name: ColumnKey, table: Table, table_col: str) -> None:
        """Make a column a foreign key: its strings are keys of another table.

        Args:
            col_name: Name of the column.
            table: The other table.
            table_col: Name of the key column in the other table.

        Raises:
            AssertionError: The column is the primary key, or a table has no such column.
        """
        assert col_name != self._pk_col, f"Column {col_name!r} is the primary key and cannot be a foreign key"
        self.cast(col_name, ForeignKeyType(table, table_col))

    def _set_types(self, types: dtypes.TypedDictType) -> None:
        self._column_types = types
        by_name = types.params["type_map"]
        self._check = QuickCheck([by_name[column] for column in self.columns if column in by_name])
        keys = {name for name, each in by_name.items() if isinstance(each, PrimaryKeyType)}
        self._pk_col = next(iter(keys), None)
        self._fk_cols = {
            name for name, each in by_name.items() if isinstance(each, (ForeignKeyType, ForeignIndexType))
        }

    def _wrap_keys(self, only_last: bool = False) -> None:
        """Convert plain strings and numbers in key columns to keys."""
        types = self._column_types.params["type_map"]
        for column in [*self._fk_cols, *([] if self._pk_col is None else [self._pk_col])]:
            at = self.columns.index(column)
            for row in self.data[-1:] if only_last else self.data:
                if isinstance(types[column], ForeignIndexType):
                    if not isinstance(row[at], TableIndex):
                        row[at] = TableIndex(row[at])
                        row[at].set_table(types[column].params["table"])
                elif not isinstance(row[at], TableKey):
                    row[at] = TableKey(row[at])
                    other = types[column].params
                    row[at].set_table(other.get("table", self), other.get("col_name", column))

    # Logging

    def has_been_logged(self) -> bool:
        """Return whether the table was logged to a run or added to an artifact."""
        return self._bound is not None or self._artifact_target is not None

    def _changing(self) -> None:
        if self.log_mode == "MUTABLE":
            self._bound = self._artifact_target = None
        elif self.log_mode == "IMMUTABLE" and self.has_been_logged():
            from tracker.ground.terminal import say

            say(
                "A Table with log_mode='IMMUTABLE' was changed after it was logged. Logging it again has no "
                "effect. Use log_mode='MUTABLE'."
            )

    def _refuse_incremental(self, operation: str) -> None:
        if self.log_mode == "INCREMENTAL":
            raise Error(
                f"Operation '{operation}' is not supported for tables with log_mode='INCREMENTAL'. Use a "
                "different log mode like 'MUTABLE' or 'IMMUTABLE'."
            )

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """See ``Media.to_history``. The history value contains the current number of rows."""
        return {**super().to_history(sink, key, step), "nrows": len(self.data)}

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        return table_files.log(self, sink, key, step, id_)

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        return table_files.describe(self, artifact)

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Table:
        """See ``WBValue.from_json``."""
        return table_files.read(cls, json_obj, source_artifact)

    def _eq_debug(self, other: Any, should_assert: bool = False) -> bool:
        same = (
            isinstance(other, Table)
            and self.columns == other.columns
            and self._column_types == other._column_types
            and len(self.data) == len(other.data)
            and all(
                _same(mine, theirs)
                for row, other_row in zip(self.data, other.data, strict=True)
                for mine, theirs in zip(row, other_row, strict=True)
            )
        )
        assert same or not should_assert, "The tables differ"
        return same

    def __eq__(self, other: object) -> bool:
        return self._eq_debug(other)

    __hash__ = WBValue.__hash__


def _same(mine: Any, theirs: Any) -> bool:
    same = mine == theirs
    return bool(same.all()) if hasattr(same, "all") else bool(same)


class TableType(dtypes.Type):
    """Tables whose columns have these types."""

    name = "table"

    def __init__(self, column_types: Any = None) -> None:
        super().__init__(
            column_types=dtypes.UnknownType() if column_types is None else dtypes.as_type(column_types)
        )

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        if not isinstance(other, TableType):
            return None
        columns = self.params["column_types"].assign_type(other.params["column_types"])
        return None if columns is None else TableType(columns)


dtypes.register(Table, TableType, lambda table: TableType(None if table is None else table._column_types))
dtypes.register_names(TableType, "wandb.Table")
