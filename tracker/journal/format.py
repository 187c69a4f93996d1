"""The bytes of a journal: file header and frames. See docs/journal-format.md.

A journal file is a 32-byte header and then frames. All integers are little-endian.

    header: magic 8 | version u16 | reserved u16 | index u32 | segment id 16
    frame:  marker 4 | sequence u64 | length u32 | checksum u32 | payload

The checksum is a CRC-32 over the frame's first 16 bytes and the payload, started from the
CRC of the segment id: a frame of one journal that happens to lie inside another journal's
payload therefore never validates there. Sequence numbers run on from file to file of a segment.
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

# Bytes that neither UTF-8 text nor msgpack produces in this order (0xc1 is unused in both).
MARKER = b"\xc1\xfeT\xc1"

# A frame holds one record; media and manifests travel as blobs. wandb's own limit for one
# log() call is 25 MB; 64 MiB leaves room for it and still bounds what a bad length can claim.
MAX_PAYLOAD = 64 * 1024 * 1024


class FileHeader(NamedTuple):
    """What the first 32 bytes of a journal say.

    Attributes:
        segment: Random 128-bit id of the writer's segment, as 32 hex digits.
        number: Position of this file among the segment's journals, from 0.
        version: Format version of the file.
    """

    segment: str
    number: int
    version: int


def pack_header(segment: str, index: int) -> bytes:
    """Return the 32 bytes that open file ``index`` of ``segment`` (32 hex digits)."""
    return HEADER.pack(MAGIC, VERSION, 0, index, bytes.fromhex(segment))


def unpack_header(data: bytes) -> FileHeader | None:
    """Return the header in ``data``, or None when it does not begin with one."""
    if len(data) < HEADER.size:
        return None
    magic, version, _reserved, index, segment = HEADER.unpack_from(data)
    if magic != MAGIC:
        return None
    return FileHeader(segment.hex(), index, version)


def checksum_seed(segment: str) -> int:
    """Return the value that every frame checksum of ``segment`` starts from."""
    return crc32(bytes.fromhex(segment))


def pack_frame(payload: bytes, sequence: int, seed: int) -> bytes:
    """Return one frame: its 20 header bytes and ``payload``."""
    prefix = FRAME_PREFIX.pack(MARKER, sequence, len(payload))
    return prefix + crc32(payload, crc32(prefix, seed)).to_bytes(4, "little") + payload
