"""Links between tables: cells that are keys or row numbers, and the types of their columns."""

from __future__ import annotations

import hashlib
from typing import Any

from tracker.data_types import dtypes


class TableKey(str):
    """A string in a key column of a table."""

    _table: Any = None
    _col_name: Any = None

    def set_table(self, table: Any, col_name: Any) -> None:
        """Set the table and the column to which the key belongs.

        Raises:
            AssertionError: The table has no such column.
        """
        assert col_name in table.columns, f"The table has no column {col_name!r}"
        self._table, self._col_name = table, col_name


class TableIndex(int):
    """The number of a row of a table."""

    _table: Any = None

    def set_table(self, table: Any) -> None:
        """Set the table to which the row belongs."""
        self._table = table

    def get_row(self) -> dict[Any, Any]:
        """Return the row as a dict by column; empty if the table is unknown."""
        if self._table is None:
            return {}
        return dict(zip(self._table.columns, self._table.data[int(self)], strict=True))


class PrimaryKeyType(dtypes.Type):
    """Strings that identify the rows of their table."""

    name = "primaryKey"

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        return self if isinstance(other, (dtypes.StringType, PrimaryKeyType)) else None


class _LinkType(dtypes.Type):
    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """See ``Type.to_json``. The other table is added to the artifact."""
        if artifact is None:
            raise AssertionError(f"{type(self).__name__} does not support serialization without an artifact")
        table = self.params["table"]
        name = hashlib.sha256(f"{table.columns}{len(table.data)}".encode()).hexdigest()[:8]
        path = artifact.add(table, f"media/tables/t_{name}").path
        return {"wb_type": self.name, "params": {**self.params, "table": path}}

    @classmethod
    def from_params(cls, params: dict[str, Any], artifact: Any) -> dtypes.Type:
        """See ``Type.from_params``."""
        table = None if artifact is None else artifact.get(params["table"])
        if table is None:
            raise AssertionError("Unable to deserialize referenced table")
        return cls(**{**params, "table": table})

    def __repr__(self) -> str:
        return self.name.capitalize()


class ForeignKeyType(_LinkType):
    """Strings that are keys of another table."""

    name = "foreignKey"

    def __init__(self, table: Any, col_name: str) -> None:
        assert col_name in table.columns, f"The table has no column {col_name!r}"
        super().__init__(table=table, col_name=col_name)

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        if isinstance(other, dtypes.StringType):
            return self
        same = isinstance(other, ForeignKeyType) and other.params["table"] is self.params["table"]
        return self if same and other.params["col_name"] == self.params["col_name"] else None


class ForeignIndexType(_LinkType):
    """Numbers that are row numbers of another table."""

    name = "foreignIndex"

    def __init__(self, table: Any) -> None:
        super().__init__(table=table)

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        if isinstance(other, dtypes.NumberType):
            return self
        same = isinstance(other, ForeignIndexType) and other.params["table"] is self.params["table"]
        return self if same else None


dtypes.register(TableKey, ForeignKeyType, lambda key: ForeignKeyType(key._table, key._col_name))
dtypes.register(TableIndex, ForeignIndexType, lambda index: ForeignIndexType(index._table))
dtypes.register_names(PrimaryKeyType, "wandb.TablePrimaryKey")
dtypes.register_names(ForeignKeyType, "wandb.TableForeignKey")
dtypes.register_names(ForeignIndexType, "wandb.TableForeignIndex")
