"""Writes tfevents files, for tests that need no tensorboard."""

from __future__ import annotations

import struct
from pathlib import Path

from wandb_files import field, varint

from tracker.importing.event_file import masked_crc32c


def frame(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def scalar(step: int, tag: str, value: float, when: float) -> bytes:
    """Return an event with one scalar, as torch's ``SummaryWriter`` writes it."""
    summary = field(1, field(1, tag) + varint(2 << 3 | 5) + struct.pack("<f", value))
    return frame(field(1, when) + (field(2, step) if step else b"") + field(5, summary))


def image(step: int, tag: str, png: bytes, when: float) -> bytes:
    summary = field(1, field(1, tag) + field(4, field(1, 1) + field(2, 1) + field(3, 3) + field(4, png)))
    return frame(field(1, when) + field(2, step) + field(5, summary))


def write_events(path: Path, events: list[bytes], start: float = 1_700_000_000.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frame(field(1, start) + field(3, "brain.Event:2")) + b"".join(events))
    return path


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))
