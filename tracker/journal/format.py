"""The file format of a journal: header and frames. See docs/journal-format.md.

A journal file has a 32-byte header, followed by frames. All integers are little-endian.

    header: magic 8 | version u16 | reserved u16 | index u32 | segment id 16
    frame:  marker 4 | sequence u64 | length u32 | checksum u32 | payload

The checksum is a CRC-32 over the frame's first 16 bytes and the payload. It starts from the CRC of the
segment id, so the frame of one journal is not valid inside the payload of another journal. Sequence numbers
continue from one file of a segment to the next.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"TRKJRNL\n"
VERSION = 1
HEADER = struct.Struct("<8sHHI16s")
FRAME = struct.Struct("<4sQII")
FRAME_PREFIX = struct.Struct("<4sQI")

# This sequence of bytes occurs neither in UTF-8 text nor in msgpack: 0xc1 is unused in both.
MARKER = b"\xc1\xfeT\xc1"

# A frame contains one record. Media and manifests are blobs, not records. wandb allows 25 MB for one call of
# log(); 64 MiB is enough for it, and limits how much a reader reads if a length is damaged.
MAX_PAYLOAD = 64 * 1024 * 1024


class FileHeader(NamedTuple):
    """The header of a journal file: its first 32 bytes.

    Attributes:
        segment: Random 128-bit id of the writer's segment, as 32 hex digits.
        number: Number of this file among the segment's journals, from 0.
        version: Version of the file's format.
    """

    segment: str
    number: int
    version: int


def pack_header(segment: str, index: int) -> bytes:
    """Return the header (32 bytes) of file number ``index`` of ``segment`` (32 hex digits)."""
    return HEADER.pack(MAGIC, VERSION, 0, index, bytes.fromhex(segment))


def unpack_header(data: bytes) -> FileHeader | None:
    """Return the header at the start of ``data``, or None if there is no header."""
    if len(data) < HEADER.size:
        return None
    magic, version, _reserved, index, segment = HEADER.unpack_from(data)
    if magic != MAGIC:
        return None
    return FileHeader(segment.hex(), index, version)


def checksum_seed(segment: str) -> int:
    """Return the start value of the checksums of all frames of ``segment``."""
    return crc32(bytes.fromhex(segment))


def pack_frame(payload: bytes, sequence: int, seed: int) -> bytes:
    """Return the bytes of one frame: its header (20 bytes) and its payload.

    Args:
        payload: The payload.
        sequence: Sequence number of the frame.
        seed: Result of ``checksum_seed`` for the segment.
    """
    prefix = FRAME_PREFIX.pack(MARKER, sequence, len(payload))
    return prefix + crc32(payload, crc32(prefix, seed)).to_bytes(4, "little") + payload
