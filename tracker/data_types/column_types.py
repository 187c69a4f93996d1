"""Checks of table rows against the types of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types import dtypes

# Python classes whose objects a type accepts whatever their value is.
_CLASSES: dict[type[dtypes.Type], tuple[type, ...]] = {
    dtypes.NoneType: (type(None),),
    dtypes.StringType: (str,),
    dtypes.NumberType: (int, float),
    dtypes.BooleanType: (bool,),
}


def explain(types: dict[Any, dtypes.Type], row: dict[Any, Any]) -> str:
    """Return one line for each value of a row that does not fit its column."""
    return "\n".join(
        f"Key {key!r}: {types[key].explain(value)}"
        for key, value in row.items()
        if types[key].assign(value) is None
    )


class QuickCheck:
    """A fast check that a row fits and changes no column type. Most rows pass it."""

    def __init__(self, types: Sequence[dtypes.Type]) -> None:
        self._classes = [_classes_of(each) for each in types]

    def accepts(self, row: Sequence[Any]) -> bool:
        """Return whether the row certainly fits; False if it needs the full check."""
        for classes, value in zip(self._classes, row, strict=True):
            kind = type(value)
            if kind not in classes or (kind is float and value != value and type(None) not in classes):
                return False
        return True


def _classes_of(wb_type: dtypes.Type) -> frozenset[type]:
    if isinstance(wb_type, dtypes.UnionType):
        return frozenset().union(*map(_classes_of, wb_type.params["allowed_types"]))
    return frozenset(_CLASSES.get(type(wb_type), ()))
