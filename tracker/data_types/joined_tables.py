"""Tables that consist of other tables: a join of two tables, and a table in several parts."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from tracker.data_types import dtypes
from tracker.data_types.base import WBValue
from tracker.data_types.media import FileSink, Media
from tracker.data_types.table import Table


class _ArtifactOnly(Media):
    """An object that only an artifact can contain. A run's history contains the path to it."""

    def bind_to_run(self, run: Any, *args: Any, **kwargs: Any) -> None:
        """Raise an error: the object has no file that a run could contain.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{type(self).__name__}s cannot be bound to runs")

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """See ``Media.to_history``. The object is logged as an artifact; the value has its path there."""
        if self._bound is None or self._bound[0] is not sink.owner:
            if self._artifact_target is None:
                sink.log_object(self, key)
            self._bound = (sink.owner, {"_type": self._log_type, **self._artifact_paths()})
        described = dict(self._bound[1])
        described.pop("_latest_artifact_path", None)
        return described

    def __eq__(self, other: object) -> bool:
        raise NotImplementedError

    __hash__ = WBValue.__hash__


class PartitionedTable(_ArtifactOnly):
    """A table whose parts are the tables in a folder of an artifact.

    Args:
        parts_path: Path of the folder in the artifact.
    """

    _log_type = "partitioned-table"

    def __init__(self, parts_path: str) -> None:
        self.parts_path = parts_path
        self._parts: list[tuple[str, Any]] = []

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        return {"_type": self._log_type, "parts_path": self.parts_path}

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> PartitionedTable:
        """See ``WBValue.from_json``."""
        made = cls(json_obj["parts_path"])
        folder = made.parts_path.rstrip("/")
        made._parts = [
            (path, source_artifact)
            for path in sorted(source_artifact.content_paths())
            if os.path.dirname(path) == folder
        ]
        return made

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the number and the values of each row of all parts. Only one part is in memory at a time.

        Raises:
            ValueError: Parts have different columns.
        """
        columns: list[Any] | None = None
        number = 0
        for path, artifact in self._parts:
            part = artifact.get(path)
            if columns not in (None, part.columns):
                raise ValueError(f"Table parts have non-matching columns. {columns} != {part.columns}")
            columns = part.columns
            for _, row in part.iterrows():
                yield number, row
                number += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartitionedTable) and self.parts_path == other.parts_path

    __hash__ = WBValue.__hash__


class JoinedTable(_ArtifactOnly):
    """Two tables joined by a key column.

    Args:
        table1: A ``Table`` or ``PartitionedTable``, the path of a table in the artifact, or an entry of
            another artifact.
        table2: The second table, in the same form.
        join_key: The name of the key column, or a list of its name in the first and in the second table.

    Raises:
        ValueError: An argument does not have one of these forms.
    """

    _log_type = "joined-table"

    def __init__(self, table1: Any, table2: Any, join_key: str | list[str]) -> None:
        if not isinstance(join_key, str) and (not isinstance(join_key, list) or len(join_key) != 2):
            raise ValueError("JoinedTable join_key should be a string or a list of two strings")
        for name, table in (("table1", table1), ("table2", table2)):
            if not _is_table(table):
                raise ValueError(
                    f"JoinedTable {name} should be an artifact path to a table or wandb.Table object"
                )
        self._table1, self._table2, self._join_key = table1, table2, join_key

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        return {
            "_type": self._log_type,
            "table1": _add_table(self._table1, artifact, 1),
            "table2": _add_table(self._table2, artifact, 2),
            "join_key": self._join_key,
        }

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> JoinedTable:
        """See ``WBValue.from_json``."""
        first, second = (
            source_artifact.get(json_obj[name]) or json_obj[name] for name in ("table1", "table2")
        )
        return cls(first, second, json_obj["join_key"])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, JoinedTable)
            and self._join_key == other._join_key
            and bool(self._table1 == other._table1)
            and bool(self._table2 == other._table2)
        )

    __hash__ = WBValue.__hash__


def _is_table(table: Any) -> bool:
    if isinstance(table, str):
        return table.endswith(".table.json")
    return isinstance(table, (Table, PartitionedTable)) or (
        hasattr(table, "ref_url") and table.ref_url().endswith(".table.json")
    )


def _add_table(table: Any, artifact: Any, number: int) -> str:
    """Add a table to the artifact and return its path there.

    Raises:
        ValueError: ``table`` is a path, and the artifact has no such file.
    """
    if isinstance(table, (Table, PartitionedTable)):
        known = table._artifact_source[1] if table._artifact_source else None
        digest = hashlib.sha256(
            repr(table.data if isinstance(table, Table) else table.parts_path).encode("utf-8", "replace")
        ).hexdigest()
        name = os.path.basename(known) if known else f"t{number}_{digest[:15]}"
        return str(artifact.add(table, name).path)
    if hasattr(table, "ref_url"):
        name = base64.standard_b64decode(table.digest).hex()[:20]
        kind = table.path.split(".")[-2]
        return str(artifact.add_reference(table, f"{name}.{kind}.json")[0].path)
    if artifact.find_content(table) is None:
        raise ValueError(
            f"JoinedTable table:{table} not found in artifact. Add a table to the artifact using "
            f"Artifact#add(<table>, {table}) before adding this JoinedTable"
        )
    return str(table)


dtypes.register(JoinedTable, dtypes.file_type("joined-table"))
dtypes.register(PartitionedTable, dtypes.file_type("partitioned-table"))
