"""Writing of table files to runs and artifacts, and reading of tables from artifacts."""

from __future__ import annotations

import datetime
import hashlib
import io
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tracker.data_types import dtypes, table_cells
from tracker.data_types.base import WBValue
from tracker.data_types.json_text import for_run
from tracker.data_types.media import FileSink, file_name, short_digest
from tracker.errors import Error
from tracker.ground import values

if TYPE_CHECKING:
    from tracker.data_types.table import Table

# Arrays of one dimension with at most this many numbers are stored in the table file itself.
LONGEST_EMBEDDING = 150


def log(table: Table, sink: FileSink, key: str, step: int | str, id_: int | str | None) -> dict[str, Any]:
    """Log a table as an artifact, store its file in the run, and return the history value.

    Args:
        table: The table.
        sink: The files of the run.
        key: History key of the table.
        step: Step of the history row.
        id_: Used in the file name instead of the digest of the content.
    """
    incremental = table.log_mode == "INCREMENTAL"
    if incremental:
        _set_increment(table, sink, key)
    # As in wandb (tests/differential/corpus/tables.py), the name of the first increment starts with "None".
    entry = f"{table._increment_num or None}-{time.time_ns() // 10**6}.{key}" if incremental else None
    if table.in_artifact:
        sink.log_object(table, key, entry)
    rows = table_cells.rows_for_run(_new_rows(table), sink, key, step)
    text = for_run({"columns": table.columns, "data": rows})
    sha256 = hashlib.sha256(text).hexdigest()
    path = file_name(table.get_media_subdir(), key, step, id_ or sha256[:20], ".table.json")
    sink.save_file(path, text, "application/json")
    described = {
        "_type": "incremental-table-file" if incremental else "table-file",
        "path": path,
        "sha256": sha256,
        "size": len(text),
        "ncols": len(table.columns),
        "nrows": len(table.data),
        "log_mode": table.log_mode,
        **table._artifact_paths(),
    }
    if incremental:
        described.update(_increment(table))
        table._last_logged_idx = len(table.data) - 1
    return described


def begin_increment(table: Table) -> None:
    """Begin a new increment after a row was added to an incremental table that was logged before."""
    if table.log_mode != "INCREMENTAL" or table._artifact_target is None:
        return
    path = table._artifact_paths().get("artifact_path")
    assert table._increment_num is not None
    table._previous_increments_paths = [*(table._previous_increments_paths or []), *([path] if path else [])]
    table._bound = table._artifact_target = None
    table._increment_num += 1


def describe(table: Table, artifact: Any) -> dict[str, Any]:
    """Return the JSON form of a table in an artifact. Its media and arrays become files of the artifact."""
    types = dict(table._column_types.params["type_map"])
    separate_columns = set()
    for at, column in enumerate(table.columns):
        array = _array_type(types[column])
        if array is None:
            continue
        shape = array.params["shape"]
        if len(shape) == 1 and shape[0] <= LONGEST_EMBEDDING:
            types[column] = dtypes.ListType(dtypes.NumberType, shape[0])
        else:
            stored = dtypes.NDArrayType(shape, _store_arrays(table, column, artifact))
            types[column] = dtypes.optional(stored) if types[column] is not array else stored
            separate_columns.add(at)
    data = table_cells.rows_for_artifact(_new_rows(table), artifact, separate_columns)
    for at, column in enumerate(table.columns):
        if at not in separate_columns:
            types[column] = _optional_if_nan(types[column], (row[at] for row in data))
    described = {
        "_type": "table",
        "columns": table.columns,
        "data": data,
        "ncols": len(table.columns),
        "nrows": len(data),
        "column_types": dtypes.TypedDictType(types).to_json(artifact),
        "log_mode": table.log_mode,
    }
    return {**described, **_increment(table)} if table.log_mode == "INCREMENTAL" else described


def read(kind: type[Table], described: dict[str, Any], artifact: Any) -> Table:
    """Return the table for its JSON form in an artifact.

    Args:
        kind: Class of the table.
        described: The JSON form. The rows of an incremental table come from all its increments instead.
        artifact: The artifact.
    """
    columns = described["columns"]
    types = None
    arrays: dict[int, Any] = {}
    times = set()
    number_lists = set()  # indexes of columns whose cells are lists of numbers
    if described.get("column_types") is not None:
        types = dtypes.from_json(described["column_types"], artifact).params["type_map"]
        for at, column in enumerate(columns):
            wb_type = types[str(column)]
            found = _array_type(wb_type)
            if found is not None and found.serialization_path is not None:
                arrays[at] = _load_arrays(found.serialization_path, artifact)
            options = wb_type.params.get("allowed_types", [wb_type])
            if any(isinstance(each, dtypes.TimestampType) for each in options):
                times.add(at)
            if _is_number_list(wb_type):
                number_lists.add(at)
    mode = described.get("log_mode", "IMMUTABLE")
    rows = _all_increments(artifact) if mode == "INCREMENTAL" else described["data"]
    data = []
    for number, row in enumerate(rows):
        data.append(
            [
                arrays[at][number]
                if at in arrays
                else _read_cell(_null_as_nan(cell) if at in number_lists else cell, at in times, artifact)
                for at, cell in enumerate(row)
            ]
        )
    return kind(
        columns=columns,
        data=data,
        dtype=None if types is None else [types[str(column)] for column in columns],
        optional=types is None,
        log_mode=mode,
    )


def _is_number_list(wb_type: dtypes.Type) -> bool:
    return isinstance(wb_type, dtypes.ListType) and isinstance(
        wb_type.params["element_type"], dtypes.NumberType
    )


def _optional_if_nan(wb_type: dtypes.Type, column: Iterable[Any]) -> dtypes.Type:
    """Return the column type, made optional if numbers are NaN, because wandb reads NaN as None."""
    if isinstance(wb_type, dtypes.NumberType) and any(map(dtypes.is_nan, column)):
        return dtypes.optional(wb_type)
    if _is_number_list(wb_type) and any(dtypes.is_nan(item) for cell in column for item in cell or ()):
        return dtypes.ListType(dtypes.optional(dtypes.NumberType), wb_type.params["length"])
    return wb_type


def _null_as_nan(cell: Any) -> Any:
    """Return a list of numbers with None replaced by NaN. wandb and older versions wrote NaN as null."""
    return [math.nan if item is None else item for item in cell] if isinstance(cell, list) else cell


def _read_cell(cell: Any, is_time: bool, artifact: Any) -> Any:
    if is_time and isinstance(cell, (int, float)):
        return datetime.datetime.fromtimestamp(cell / 1000, tz=datetime.timezone.utc)
    if isinstance(cell, dict) and "_type" in cell:
        return WBValue.init_from_json(cell, artifact) or cell
    return cell


def _array_type(wb_type: dtypes.Type) -> dtypes.NDArrayType | None:
    options = wb_type.params["allowed_types"] if isinstance(wb_type, dtypes.UnionType) else [wb_type]
    return next((each for each in options if isinstance(each, dtypes.NDArrayType)), None)


def _store_arrays(table: Table, column: Any, artifact: Any) -> dict[str, str]:
    import numpy as np

    out = io.BytesIO()
    np.savez_compressed(out, **{str(column): table.get_column(column, convert_to="numpy")})
    data = out.getvalue()
    path = artifact.add_content(f"media/serialized_data/{short_digest(data)}.npz", data)
    return {"path": path, "key": str(column)}


def _load_arrays(stored: dict[str, str], artifact: Any) -> Any:
    import numpy as np

    with np.load(artifact.get_entry(stored["path"]).download()) as arrays:
        return arrays[stored["key"]]


# Increments


def _new_rows(table: Table) -> list[list[Any]]:
    begin = 0 if table._last_logged_idx is None else table._last_logged_idx + 1
    return table.data[begin:]


def _increment(table: Table) -> dict[str, Any]:
    return {
        "increment_num": table._increment_num or 0,
        "previous_increments_paths": list(table._previous_increments_paths or []),
    }


def _set_increment(table: Table, sink: FileSink, key: str) -> None:
    """Set the number of the next increment. After a resume, continue from the increment in the summary."""
    run = sink.owner
    if table._target is not None and table._target is not run:
        raise AssertionError("An incremental Table can only be logged to one Run.")
    table._target = run
    if table._increment_num is not None:
        return
    table._increment_num = 0
    last = run.summary.get(key) if getattr(run, "resumed", False) else None
    if last is not None and last.get("_type") == "incremental-table-file":
        table._increment_num = last.get("increment_num", 0) + 1
        path = last.get("artifact_path")
        table._previous_increments_paths = [
            *last.get("previous_increments_paths", []),
            *([path] if path else []),
        ]


def _all_increments(artifact: Any) -> list[list[Any]]:
    """Return the rows of all increments in an artifact, in order."""

    def order(path: str) -> tuple[int, int]:
        number, _, when = path.split(".")[0].partition("-")
        try:
            return int(number), int(when or 0)
        except ValueError:
            return 0, 0

    rows: list[list[Any]] = []
    for path in sorted(
        (each for each in artifact.content_paths() if each.endswith(".table.json")), key=order
    ):
        with open(artifact.get_entry(path).download(), "rb") as file:
            content = values.loads(file.read())
        if not isinstance(content, dict) or "data" not in content:
            raise Error(f"Invalid table file {path}: it is not a dict with 'data'")
        rows.extend(content["data"])
    return rows
