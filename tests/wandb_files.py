"""Writes ``.wandb`` files as the wandb client does, for tests and benchmarks that need no wandb."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32 * 1024


def varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """Return one protobuf field: an integer as a varint, a float as a double, else with its length."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def stamp(number: int, seconds: float) -> bytes:
    whole = int(seconds)
    return field(number, field(1, whole) + field(2, round((seconds - whole) * 1e9)))


def items(number: int, values: dict[str, Any]) -> bytes:
    """Return items with a nested key of one part, and JSON values."""
    found = (field(2, key) + field(16, json.dumps(value)) for key, value in values.items())
    return b"".join(field(number, each) for each in found)


def record(number: int, body: bytes, count: int = 1) -> bytes:
    return field(1, count) + field(number, body)


def run_record(run_id: str, start: float = 1_700_000_000.0, project: str = "p", extra: bytes = b"") -> bytes:
    body = field(1, run_id) + field(3, project) + field(13, "node7") + stamp(17, start) + extra
    return record(17, body)


def history(step: int, values: dict[str, Any], start: float = 1_700_000_000.0) -> bytes:
    row = {**values, "_step": step, "_timestamp": start + step, "_runtime": float(step)}
    return record(2, items(1, row) + field(2, field(1, step) if step else b""), step + 10)


def rows(count: int, keys: int, begin: int = 0) -> Iterator[bytes]:
    """Yield the records of rows as the client writes them: the summary twice, then the row."""
    for step in range(begin, begin + count):
        values = {f"metric/{key}": 1 / (1 + step + key) for key in range(keys)}
        number = 3 * step + 10
        yield record(3, field(1, field(2, "_wandb") + field(2, "runtime") + field(16, "1")), number)
        derived = {"_step": step, "_timestamp": 1_700_000_000.5 + step, "_runtime": float(step)}
        yield record(3, items(1, values | derived), number + 1)
        yield history(step, values)


def exit_record(code: int = 0) -> bytes:
    return record(18, field(1, code) if code else b"")


def write(path: Path, records: Iterable[bytes]) -> Path:
    """Write a file with records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(HEADER)
        at = len(HEADER)
        for each in records:
            begun = False
            while True:
                left = BLOCK - at % BLOCK
                if left < 7:
                    file.write(bytes(left))
                    at += left
                    left = BLOCK
                piece, each = each[: left - 7], each[left - 7 :]
                kind = (4 if begun else 1) if not each else (3 if begun else 2)
                file.write(struct.pack("<IHB", crc32(piece, crc32(bytes([kind]))), len(piece), kind) + piece)
                at += 7 + len(piece)
                begun = True
                if not each:
                    break
    return path
