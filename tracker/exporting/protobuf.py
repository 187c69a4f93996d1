"""Encoding of protobuf messages without a schema. ``tracker.importing.wire`` decodes them."""

from __future__ import annotations

from struct import pack


def field(number: int, value: bool | int | float | str | bytes) -> bytes:
    """Return one field: an integer as a varint, a float as a double, a text or a message with its length."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value & 2**64 - 1)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Return an unsigned integer in groups of 7 bits, the lowest first."""
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def timestamp(number: int, seconds: float) -> bytes:
    """Return a field of type ``Timestamp``."""
    nanoseconds = round(seconds * 1e9)
    return field(number, field(1, nanoseconds // 10**9) + field(2, nanoseconds % 10**9))
