"""What is known of one Parquet file of a run's history before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

FIXED_KEYS = ("_step", "_runtime", "_timestamp")


class PartFile(NamedTuple):
    """A Parquet file of a segment.

    Attributes:
        id: Its number in the catalog, 0 without one.
        path: Where it lies, or lay.
        rows: How many rows it has.
        held: The file, if it was opened before the others were read; see ``hold``.
    """

    id: int
    path: Path
    rows: int
    held: pa.NativeFile | None = None
