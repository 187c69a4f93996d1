"""The binary format of chart data: a JSON header, and Float64 columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from tracker.errors import CommError
from tracker.ground.curves import Curve, RunLine
from tracker.store.queries.line_reduction import Series

T = TypeVar("T", RunLine, Curve)

_FIELDS = {
    kind: [each.name for each in fields(kind) if each.name != "columns"] for kind in (Series, RunLine, Curve)
}


def pack_columns(x: str | None, series: Sequence[Series | RunLine | Curve], **more: Any) -> bytes:
    """Return the bytes of an answer with chart data: see docs/rest-api.md.

    An array that several series have is written once.

    Args:
        x: The requested x axis; None if each series has its own.
        series: Records with an attribute ``columns``.
        more: Other fields of the header.
    """
    described: list[dict[str, Any]] = []
    arrays: list[memoryview] = []
    offsets: dict[int, int] = {}  # by the identity of an array: the series keep it alive
    size = 0
    for one in series:
        for column in one.columns.values():
            if id(column) not in offsets:
                offsets[id(column)] = size
                arrays.append(np.ascontiguousarray(column, dtype="<f8").data)
                size += arrays[-1].nbytes
        described.append(
            {
                **{name: getattr(one, name) for name in _FIELDS[type(one)]},
                "length": len(one.columns["x"]),
                "offsets": {name: offsets[id(column)] for name, column in one.columns.items()},
            }
        )
    header = json.dumps({"x": x, "size": size, "series": described, **more}).encode()
    header += b" " * (-(4 + len(header)) % 8)
    return b"".join([len(header).to_bytes(4, "little"), header, *arrays])


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
        end, found = 0, []
        while end < len(data):
            start = end + 4
            first = start + int.from_bytes(data[end:start], "little")
            header = json.loads(data[start:first])
            end = first + header["size"]
            for described in header["series"]:
                length, offsets = described.pop("length"), described.pop("offsets")
                columns = {
                    name: np.frombuffer(data, "<f8", length, first + offset)
                    for name, offset in offsets.items()
                }
                found.append(record(**described, columns=columns))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommError(f"the server's answer is not chart data: {error}") from error
    return found
