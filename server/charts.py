"""The binary format of chart data: a JSON header and Float64 columns."""

from __future__ import annotations

import json

from tracker.store.queries.charts import Series


def pack_series(x: str, series: list[Series]) -> bytes:
    """Return the bytes of an answer with chart data.

    The answer consists of a little-endian uint32 with the length of the header, the header (UTF-8 JSON,
    padded with spaces so that the columns are aligned to 8 bytes), and the columns of all series in header
    order.
    """
    header = json.dumps(
        {
            "x": x,
            "series": [
                {
                    "key": each.key,
                    "kind": each.kind,
                    "length": len(each.columns["x"]),
                    "columns": list(each.columns),
                }
                for each in series
            ],
        }
    ).encode()
    header += b" " * (-(4 + len(header)) % 8)
    columns = [
        column.astype("<f8", copy=False).tobytes() for each in series for column in each.columns.values()
    ]
    return b"".join([len(header).to_bytes(4, "little"), header, *columns])
