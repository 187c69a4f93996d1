"""Reading a tfevents file while it is being written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.errors import Error

# A record: length (8 bytes), its checksum (4), the event, its checksum (4).
_HEAD = struct.Struct("<QI")
_LENGTH, _TAIL = 8, 4
# Checksums of larger events are not compared: tensorboard computes them in Python, 0.1 s for each megabyte.
_CHECKED_BYTES = 64 * 1024


class EventFile:
    """A tfevents file and how far it was read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> Iterator[Any]:
        """Yield the events (``tensorboard``'s ``Event``) that were not yielded before.

        An event that is only half written is left for the next call.

        Raises:
            Error: The file holds no events, or tensorboard is not installed.
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
                    raise Error(f"{self.path} is no tfevents file, or is damaged at byte {self._offset}")
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
    """Return what makes an event of bytes, and what computes the checksum of bytes."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import masked_crc32c
    except ImportError as error:
        raise Error(
            "reading TensorBoard files needs the tensorboard package: pip install tensorboard"
        ) from error
    return Event.FromString, masked_crc32c
