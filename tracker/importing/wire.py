"""Decoding of protobuf messages without a schema: the numbers and raw values of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are not a protobuf message."""


class Message:
    """A decoded message: the values of its fields by number, in their order.

    An absent field has the default value of its type, as in protobuf. Integers are unsigned varints; see
    ``signed`` and ``zigzag``.
    """

    __slots__ = ("fields",)

    def __init__(self, data: Any) -> None:
        if type(data) is not bytes:
            raise WireError("a message is a number")
        self.fields: dict[int, list[Any]] = {}
        for number, value in fields(data):
            self.fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    def all(self, number: int) -> list[Any]:
        """Return all values of a repeated field that is not packed."""
        return self.fields.get(number, [])

    def texts(self, number: int) -> list[str]:
        """Return the values of a repeated text field."""
        return [as_text(value) for value in self.all(number)]

    def messages(self, number: int) -> list[Message]:
        """Return the values of a repeated message field."""
        return [Message(value) for value in self.all(number)]

    def text(self, number: int) -> str:
        """Return a text field."""
        return as_text(self.data(number))

    def data(self, number: int) -> bytes:
        """Return a bytes field."""
        value = self.all(number)[-1] if number in self.fields else b""
        if type(value) is not bytes:
            raise WireError(f"field {number} is not bytes")
        return value

    def message(self, number: int) -> Message:
        """Return a message field. If it is absent, the message is empty."""
        return Message(self.data(number))

    def integer(self, number: int) -> int:
        """Return an integer field of a signed or unsigned type."""
        value = self.all(number)[-1] if number in self.fields else 0
        if type(value) is not int:
            raise WireError(f"field {number} is not an integer")
        return value - 2**64 if value >= 2**63 else value

    def double(self, number: int) -> float:
        """Return a double field."""
        value = self.data(number)
        return float(unpack("<d", value)[0]) if len(value) == 8 else 0.0

    def doubles(self, number: int) -> list[float]:
        """Return a repeated double field, packed or not."""
        values = self.all(number)
        if any(type(value) is not bytes for value in values):
            raise WireError(f"field {number} is not bytes")
        data = b"".join(values)
        return list(unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8]))

    def time(self, number: int) -> float:
        """Return a field of type ``Timestamp`` in unix seconds."""
        stamp = self.message(number)
        return stamp.integer(1) + stamp.integer(2) / 1e9


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each field: an int, or bytes for all other types.

    Raises:
        WireError: The bytes are not a message.
    """
    at, size = 0, len(data)
    try:
        while at < size:
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = _varint(data, at - 1)
            kind = tag & 7
            if kind == _BYTES:
                length = data[at]
                at += 1
                if length >= 0x80:
                    length, at = _varint(data, at - 1)
                value: Any = data[at : at + length]
                if len(value) != length:
                    raise WireError("a field is longer than its message")
                at += length
            elif kind == _VARINT:
                value = data[at]
                at += 1
                if value >= 0x80:
                    value, at = _varint(data, at - 1)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
                value = data[at : at + length]
                if len(value) != length:
                    raise WireError("a number is cut off")
                at += length
            else:
                raise WireError(f"unknown wire type {kind}")
            yield tag >> 3, value
    except IndexError:
        raise WireError("a field is cut off") from None


def zigzag(value: int) -> int:
    """Return the value of a ``sint64`` field."""
    return (value >> 1) ^ -(value & 1)


def as_text(data: Any) -> str:
    """Return the value of a text field. Invalid UTF-8 is replaced."""
    if type(data) is not bytes:
        raise WireError("a text field is a number")
    return data.decode("utf-8", "replace")


def body(data: bytes, at: int) -> bytes:
    """Return the bytes field whose length begins at ``at``.

    Raises:
        WireError: The field is cut off.
    """
    try:
        length, at = _varint(data, at)
    except IndexError:
        raise WireError("a field is cut off") from None
    if at + length > len(data):
        raise WireError("a field is longer than its message")
    return data[at : at + length]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
        if shift > 63:
            raise WireError("an integer has more than 64 bits")
