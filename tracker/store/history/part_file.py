"""A description of one Parquet file of a run's history, for code that has not read the file yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

FIXED_KEYS = ("_step", "_runtime", "_timestamp")
# The key of the rank in rows of all ranks.
RANK_KEY = "_rank"


class PartFile(NamedTuple):
    """A Parquet file of a segment.

    Attributes:
        id: The part's number in the catalog; 0 without a catalog.
        path: The path of the file. A merge may have removed the file meanwhile.
        rows: The number of rows.
        held: The open file, if ``hold`` has opened it.
    """

    id: int
    path: Path
    rows: int
    held: pa.NativeFile | None = None
