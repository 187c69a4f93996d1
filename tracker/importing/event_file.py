"""Reading of the tfevents files of TensorBoard: the framing and the events, without the tensorboard package.

A record consists of the length of its data (8 bytes), a checksum of the length, the data and a checksum of
the data. The checksum is a masked CRC-32C.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, unpack_from
from typing import Any, NamedTuple

from tracker.importing.source import UnreadableError
from tracker.importing.wire import Message, as_text, fields

_HEAD = Struct("<QI")
_TAIL = 4
_READ = 4 * 1024 * 1024
# The first event of a file is short, and it names the run.
_FIRST_READ = 64 * 1024
# The checksum of longer data is not compared, because Python needs 10 ms for a megabyte. The checksum of the
# length, and the length of the file, show that the data is complete.
_CHECKED_BYTES = 512
# NumPy computes the checksum of data with at least this number of bytes.
_LONG = 8192

# Types of tensors: the code of `struct`, and the field with unpacked values.
_TYPES = {
    1: ("f", 5),
    2: ("d", 6),
    3: ("i", 7),
    4: ("B", 7),
    5: ("h", 7),
    6: ("b", 7),
    9: ("q", 10),
    10: ("?", 11),
}
_STRING = 7


# The usual event: a time, a step and one short scalar. Groups: the time, the step, the length of the tag, the
# tag and the value.
_SCALAR = re.compile(
    rb"\t(.{8})(?:\x10([\x80-\xff]{0,8}[\x00-\x7f]))?\*[\x00-\x7f]"
    rb"\n[\x00-\x7f]\n([\x00-\x7f])([ -~]+)\x15(.{4})",
    re.DOTALL,
)
_unpack_double, _unpack_float = Struct("<d").unpack, Struct("<f").unpack


class Value(NamedTuple):
    """One value of an event's summary.

    Attributes:
        tag: Name of the series.
        plugin: Name of TensorBoard's plugin; empty if this value does not name it.
        content: Data for the plugin.
        kind: ``"scalar"``, ``"histogram"``, ``"image"``, ``"audio"``, ``"tensor"`` or ``""``.
        data: A float, a message, or a ``Tensor``.
    """

    tag: str
    plugin: str
    content: bytes
    kind: str
    data: Any


class Event(NamedTuple):
    """An event: its time in unix seconds, its step and its values.

    ``purges`` is whether the writer restarted: earlier events with this step or a larger one do not count.
    """

    time: float
    step: int
    values: list[Value]
    purges: bool


class Tensor(NamedTuple):
    """A tensor of numbers or texts: its shape and its values in the order of memory."""

    shape: tuple[int, ...]
    values: list[Any]
    type: int


class EventFile:
    """A tfevents file.

    Args:
        path: The file.

    Attributes:
        problems: Damage, or an incomplete event at the end, that was found so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: dict[str, None] = {}

    def events(self, start: int = 0, *, last: bool = True) -> Iterator[tuple[Event, int]]:
        """Yield each whole event, and the offset of its end.

        Args:
            start: The offset of the end of an event, to yield only the events after it; else 0.
            last: Whether the file does not grow any more. Otherwise the end of the file may be incomplete or
                wrong, and is not a problem.

        Raises:
            UnreadableError: The file does not begin with an event.
            OSError: The file cannot be read.
        """
        unpack, head_size = _HEAD.unpack_from, _HEAD.size
        with self.path.open("rb") as file:
            file.seek(start)
            data, at, base, amount = b"", 0, start, _FIRST_READ
            while True:
                if len(data) - at < head_size:
                    data, base, at = data[at:] + file.read(amount), base + at, 0
                    amount = _READ
                    if len(data) < head_size:
                        break
                length, checksum = unpack(data, at)
                if checksum != masked_crc32c(data[at : at + 8]):
                    if base + at == 0:
                        raise UnreadableError("it is not a tfevents file: its first bytes are wrong")
                    if last:
                        self.problems[f"the file is damaged at byte {base + at}; later events are lost"] = (
                            None
                        )
                    return
                end = at + head_size + length + _TAIL
                if end > len(data):
                    data, base, at = data[at:] + file.read(max(_READ, length)), base + at, 0
                    end = head_size + length + _TAIL
                    if end > len(data):
                        break
                body = data[at + head_size : end - _TAIL]
                if length <= _CHECKED_BYTES and masked_crc32c(body) != int.from_bytes(
                    data[end - _TAIL : end], "little"
                ):
                    if not last and end == len(data) and not (data := data + file.read(_READ))[end:]:
                        return
                    self.problems[f"the file is damaged at byte {base + at}; one event is lost"] = None
                else:
                    yield parse_event(body), base + end
                at = end
            if data[at:] and last:
                self.problems[
                    f"the file ends in an incomplete event: {len(data) - at} bytes from byte {base + at} are "
                    "not imported"
                ] = None


def parse_event(data: bytes) -> Event:
    """Return an event from its protobuf message."""
    match = _SCALAR.fullmatch(data)
    if match is not None and match[3][0] == len(match[4]):
        step = match[2]
        return Event(
            _unpack_double(match[1])[0],
            0 if step is None else step[0] if len(step) == 1 else _varints(step)[0],
            [Value(match[4].decode(), "", b"", "scalar", _unpack_float(match[5])[0])],
            False,
        )
    time, step, purges = 0.0, 0, False
    values: list[Value] = []
    for number, value in fields(data):
        if number == 1:
            time = unpack_from("<d", value)[0]
        elif number == 2:
            step = value - 2**64 if value >= 2**63 else value
        elif number == 5:
            values += [_value(each) for key, each in fields(value) if key == 1]
        elif number == 7:
            purges = Message(value).integer(1) == 1  # START
    return Event(time, step, values, purges)


def _value(data: bytes) -> Value:
    tag = plugin = kind = ""
    content = b""
    found: Any = None
    for number, value in fields(data):
        if number == 1:
            tag = as_text(value)
        elif number == 2:
            kind, found = "scalar", unpack_from("<f", value)[0]
        elif number == 9:
            named = Message(value).message(1)
            plugin, content = named.text(1), named.data(2)
        elif number == 4:
            kind, found = "image", Message(value)
        elif number == 5:
            kind, found = "histogram", Message(value)
        elif number == 6:
            kind, found = "audio", Message(value)
        elif number == 8:
            kind, found = "tensor", _tensor(value)
    return Value(tag, plugin, content, kind, found)


def _tensor(data: bytes) -> Tensor:
    message = Message(data)
    shape = tuple(each.integer(1) for each in message.message(2).messages(2))
    dtype = message.integer(1)
    count = math.prod(shape)
    if dtype == _STRING:
        return Tensor(shape, message.all(8), dtype)
    if dtype not in _TYPES:
        return Tensor(shape, [], dtype)
    code, number = _TYPES[dtype]
    values: list[Any]
    if 4 in message:
        content = message.data(4)
        size = Struct("<" + code).size
        values = list(unpack_from(f"<{len(content) // size}{code}", content))
    else:
        values = []
        for packed in message.all(number):
            if type(packed) is not bytes:  # an integer that is not packed
                values.append(packed)
            elif code in "fd":
                size = Struct("<" + code).size
                values += unpack_from(f"<{len(packed) // size}{code}", packed)
            else:
                values += _varints(packed)
        if code in "hibq":
            values = [value - 2**64 if value >= 2**63 else value for value in values]
        if code == "?":
            values = [bool(value) for value in values]
    if len(values) == 1 and count > 1:  # equal values are stored once
        values *= count
    return Tensor(shape, values, dtype)


def _varints(data: bytes) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """Return the masked CRC-32C of data, as TensorFlow computes it."""
    crc = _feed(0xFFFFFFFF, data) if len(data) < _LONG else _feed_long(0xFFFFFFFF, data)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _feed(crc: int, data: bytes) -> int:
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def _feed_long(crc: int, data: bytes) -> int:
    """Return the same as ``_feed``, with NumPy: all pieces of the data are read at the same time.

    A CRC is linear: that of two pieces is the CRC of the first one after as many zeros as the second one has
    bytes, XOR the CRC of the second one. 32 more columns read zeros, one for each bit of a CRC.
    """
    import numpy as np

    pieces = math.isqrt(len(data))
    length = len(data) // pieces
    rest = len(data) - pieces * length
    crc = _feed(crc, data[:rest])
    rows = np.frombuffer(data, np.uint8, offset=rest).reshape(pieces, length).T.copy()
    table = np.array(_TABLE, np.uint32)
    state = np.concatenate([np.zeros(pieces, np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    for row in rows:
        index = state & np.uint32(0xFF)
        index[:pieces] ^= row
        state = table[index] ^ state >> np.uint32(8)
    columns = state.tolist()
    last = columns[pieces:]
    for each in columns[:pieces]:
        shifted, bit = each, 0
        while crc:
            if crc & 1:
                shifted ^= last[bit]
            crc, bit = crc >> 1, bit + 1
        crc = shifted
    return crc
