"""Reads a tfevents file while another program writes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.errors import Error

# A record consists of the length (8 bytes), its checksum (4), the event, and the event's checksum (4).
_HEAD = struct.Struct("<QI")
_LENGTH, _TAIL = 8, 4
# Checksums of larger events are not compared: tensorboard computes them in Python, at 0.1 s per megabyte.
_CHECKED_BYTES = 64 * 1024


class EventFile:
    """A tfevents file and its read position.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> Iterator[Any]:
        """Yield the new events (``tensorboard``'s ``Event``).

        An incomplete event is left for the next call.

        Raises:
            Error: The file is not a tfevents file or is damaged, or tensorboard is not installed.
        """
        decode, checksum = _functions()
        with self.path.open("rb") as file:
            while True:
                file.seek(self._offset)
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return
                length, expected = _HEAD.unpack(head)
                if checksum(head[:_LENGTH]) != expected:
                    raise Error(f"{self.path} is not a tfevents file, or is damaged at byte {self._offset}")
                data, tail = file.read(length), file.read(_TAIL)
                if len(tail) < _TAIL:
                    return
                if length <= _CHECKED_BYTES and checksum(data) != int.from_bytes(tail, "little"):
                    raise Error(f"{self.path} is damaged at byte {self._offset}")
                try:
                    event = decode(data)
                except Exception as error:  # protobuf's DecodeError
                    raise Error(f"{self.path} is damaged at byte {self._offset}: {error}") from error
                self._offset = file.tell()
                yield event


def _functions() -> tuple[Any, Any]:
    """Return the function that decodes an event, and the function that computes a checksum."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import masked_crc32c
    except ImportError as error:
        raise Error(
            "reading TensorBoard files needs the tensorboard package: pip install tensorboard"
        ) from error
    return Event.FromString, masked_crc32c
