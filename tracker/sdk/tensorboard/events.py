"""Reading a tfevents file while it is being written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.errors import Error

# A record: length (8 bytes), its checksum (4), the event, its checksum (4).
_HEAD = struct.Struct("<QI")
_TAIL = 4
# No event is larger (protobuf's own limit); a length beyond it means that this is no event file.
_LARGEST = 2**31


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
        decode = _decoder()
        with self.path.open("rb") as file:
            while True:
                file.seek(self._offset)
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return
                length, _ = _HEAD.unpack(head)
                if length > _LARGEST:
                    raise Error(f"{self.path} is no tfevents file, or is damaged at byte {self._offset}")
                data = file.read(length + _TAIL)
                if len(data) < length + _TAIL:
                    return
                try:
                    event = decode(data[:length])
                except Exception as error:  # protobuf's DecodeError
                    raise Error(f"{self.path} is damaged at byte {self._offset}: {error}") from error
                self._offset += _HEAD.size + len(data)
                yield event


def _decoder() -> Any:
    try:
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise Error(
            "reading TensorBoard files needs the tensorboard package: pip install tensorboard"
        ) from error
    return Event.FromString
