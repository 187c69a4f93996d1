"""Tables of evaluations, whose columns are inputs, outputs or scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from tracker.data_types.media import FileSink
from tracker.data_types.table import ColumnKey, Table
from tracker.errors import UnsupportedError, UsageError

UnsupportedMediaMode = Literal["stub", "raise"]


class EvalTable(Table):
    """A table of evaluations.

    It is logged as a plain table, and its history value also lists the role of each column. wandb sends such
    tables to a separate service.

    Args:
        columns: See ``Table``. By default the columns of the three roles, in order.
        data: See ``Table``.
        rows: See ``Table``.
        dataframe: See ``Table``.
        dtype: See ``Table``.
        optional: See ``Table``.
        allow_mixed_types: See ``Table``.
        log_mode: Only ``"IMMUTABLE"`` is supported.
        input_columns: Columns with inputs of the model.
        output_columns: Columns with outputs of the model. Columns without a role are outputs too.
        score_columns: Columns with scores of the outputs.
        backend: Accepted for compatibility: ``"weave"`` or ``"ces"``.
        unsupported_media_mode: Accepted for compatibility. The table can contain all media types.

    Raises:
        UsageError: The log mode or the backend is not supported.
        ValueError: The media mode is unknown. When the table is logged: it does not have a column that
            a role names.
    """

    in_artifact = False
    _log_type = "eval-table"
    _in_artifacts = False

    def __init__(
        self,
        columns: Sequence[ColumnKey] | None = None,
        data: Any | None = None,
        rows: Any | None = None,
        dataframe: Any | None = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: Literal["IMMUTABLE", "MUTABLE", "INCREMENTAL"] = "IMMUTABLE",
        *,
        input_columns: list[str] | None = None,
        output_columns: list[str] | None = None,
        score_columns: list[str] | None = None,
        backend: str | None = None,
        unsupported_media_mode: UnsupportedMediaMode = "stub",
    ) -> None:
        if log_mode != "IMMUTABLE":
            raise UsageError("EvalTable currently only supports log_mode='IMMUTABLE'.")
        if unsupported_media_mode not in get_args(UnsupportedMediaMode):
            raise ValueError(
                f"unsupported_media_mode must be one of {get_args(UnsupportedMediaMode)}, got "
                f"{unsupported_media_mode!r}."
            )
        if backend not in (None, "weave", "ces"):
            raise UsageError(f"Unsupported EvalTable backend {backend!r}; expected 'weave' or 'ces'.")
        self._roles = {
            "input_columns": list(input_columns or []),
            "output_columns": list(output_columns or []),
            "score_columns": list(score_columns or []),
        }
        named = [column for role in self._roles.values() for column in role]
        if columns is None and dataframe is None and named:
            columns = [*named]
        super().__init__(columns, data, rows, dataframe, dtype, optional, allow_mixed_types, log_mode)

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        known = [str(column) for column in self.columns]
        assigned = {column for role in self._roles.values() for column in role}
        if assigned - set(known):
            raise ValueError(
                f"Column(s) {sorted(assigned - set(known))} listed in input/output/score_columns do not "
                "exist in the table."
            )
        outputs = [*self._roles["output_columns"], *(each for each in known if each not in assigned)]
        described = super()._to_history(sink, key, step, id_)
        return {**described, "_type": "eval-table", **self._roles, "output_columns": outputs}

    def to_json(self, run_or_artifact: Any) -> dict[str, Any]:
        """See ``Media.to_json``.

        Raises:
            UnsupportedError: The table is added to an artifact.
        """
        if hasattr(run_or_artifact, "add_content"):
            raise UnsupportedError("An EvalTable in an artifact", "Table")
        return super().to_json(run_or_artifact)
