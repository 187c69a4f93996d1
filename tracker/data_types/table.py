"""Tables: named columns, rows of plain values and images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from tracker import values
from tracker.data_types.media import FileSink, Media, file_name
from tracker.errors import UsageError


class Table(Media):
    """A table as ``wandb.Table``; without wandb's cap on rows.

    Args:
        columns: Names of the columns; ``Input``, ``Output``, ``Expected`` unless given, as in wandb.
        data: Rows, each as long as ``columns``; cells are plain values or media.
        rows: The same, under wandb's older name.
        dataframe: A pandas DataFrame instead of both.

    Raises:
        UsageError: A row has another length than ``columns``.
    """

    def __init__(
        self,
        columns: Sequence[str | int] | None = None,
        data: Sequence[Sequence[Any]] | Any | None = None,
        rows: Sequence[Sequence[Any]] | None = None,
        dataframe: Any | None = None,
    ) -> None:
        if dataframe is not None:
            columns = [column if isinstance(column, int) else str(column) for column in dataframe.columns]
            data = [list(row) for row in dataframe.itertuples(index=False, name=None)]
        self.columns: list[str | int] = (
            list(columns) if columns is not None else ["Input", "Output", "Expected"]
        )
        self.data: list[list[Any]] = []
        given = data if data is not None else rows
        if given is not None:
            for row in given.tolist() if hasattr(given, "tolist") else given:
                self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Add one row.

        Raises:
            UsageError: It has another length than the columns.
        """
        if len(data) != len(self.columns):
            raise UsageError(
                f"This table expects {len(self.columns)} columns: {self.columns}, found {len(data)} values"
            )
        self.data.append(list(data))

    def add_row(self, *row: Any) -> None:
        """Add one row (wandb's older name of ``add_data``)."""
        self.add_data(*row)

    def add_column(self, name: str, data: Sequence[Any]) -> None:
        """Add a column with one value for each row.

        Raises:
            UsageError: There is not one value for each row, or the column exists.
        """
        if name in self.columns:
            raise UsageError(f"This table has a column {name!r} already")
        if self.data and len(data) != len(self.data):
            raise UsageError(
                f"This table has {len(self.data)} rows, the new column {name!r} {len(data)} values"
            )
        if not self.data:
            self.data = [[None] * len(self.columns) for _ in data]
        self.columns.append(name)
        for row, value in zip(self.data, data, strict=True):
            row.append(value)

    def get_column(self, name: str | int) -> list[Any]:
        """Return one column's values."""
        at = self.columns.index(name)
        return [row[at] for row in self.data]

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the index and the values of each row."""
        return iter(enumerate(self.data))

    def to_content(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """Return the table as plain values; media in its cells are stored in ``sink``.

        Raises:
            TypeError: A cell cannot stand in a table.
        """

        def store(cell: Any) -> Any:
            if isinstance(cell, Media):
                return cell.to_history(sink, key, step)
            raise TypeError(f"Object of type {type(cell).__name__} cannot stand in a table")

        data = [[values.to_plain(cell, store) for cell in row] for row in self.data]
        return {"columns": self.columns, "data": data, "ncols": len(self.columns), "nrows": len(self.data)}

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """See ``Media``; the dict is wandb's ``table-file``."""
        text = values.dumps(self.to_content(sink, key, step)).encode("utf-8", "replace")
        path = file_name("table", key, step, hashlib.sha256(text).hexdigest(), "table.json")
        sha256 = sink.save_file(path, text, "application/json")
        return {
            "_type": "table-file",
            "path": path,
            "sha256": sha256,
            "size": len(text),
            "ncols": len(self.columns),
            "nrows": len(self.data),
        }
