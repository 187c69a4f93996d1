"""The binary format of chart data: a JSON header, and Float64 columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from tracker.errors import CommError
from tracker.ground.curves import Curve, RunLine
from tracker.store.queries.line_reduction import Series

T = TypeVar("T", RunLine, Curve)


def pack_columns(x: str | None, series: Sequence[Series | RunLine | Curve]) -> bytes:
    """Return the bytes of an answer with chart data.

    The answer consists of a little-endian uint32 with the length of the header, the header (UTF-8 JSON,
    padded with spaces so that the columns are aligned to 8 bytes), and the columns of all series in header
    order.

    Args:
        x: The requested x axis; None if each series has its own.
        series: Records with an attribute ``columns``.
    """
    described = [
        {
            **{each.name: getattr(one, each.name) for each in fields(one) if each.name != "columns"},
            "length": len(one.columns["x"]),
            "columns": list(one.columns),
        }
        for one in series
    ]
    header = json.dumps({"x": x, "series": described}).encode()
    header += b" " * (-(4 + len(header)) % 8)
    columns = (
        np.ascontiguousarray(column, dtype="<f8").data for one in series for column in one.columns.values()
    )
    return b"".join([len(header).to_bytes(4, "little"), header, *columns])


def unpack_columns(data: bytes, record: type[T]) -> list[T]:
    """Return the series of answers of ``pack_columns``, one after the other.

    The columns are views of the bytes.

    Args:
        data: The answers.
        record: The type of the series.

    Raises:
        CommError: The bytes are not such answers.
    """
    try:
        at, found = 0, []
        while at < len(data):
            start = at + 4
            at = start + int.from_bytes(data[at:start], "little")
            for described in json.loads(data[start:at])["series"]:
                length, columns = described.pop("length"), {}
                for name in described.pop("columns"):
                    columns[name] = np.frombuffer(data, "<f8", length, at)
                    at += 8 * length
                found.append(record(**described, columns=columns))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommError(f"the server's answer is not chart data: {error}") from error
    return found
