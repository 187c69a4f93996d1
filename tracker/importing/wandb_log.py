"""Reading of ``.wandb`` files: the records that the wandb client writes before it sends them.

The file has a header of 7 bytes and then blocks of 32 KiB, as the logs of LevelDB. A block contains chunks,
each with a checksum (CRC-32 of its type and data), a length and a type. A record is one chunk or several.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

from tracker.importing.source import UnreadableError

_HEADER = b":W&B\xe1\xbe"
_HEADER_SIZE = 7
_BLOCK = 32 * 1024
_READ = 32 * _BLOCK
_CHUNK = Struct("<IHB")
_CHUNK_SIZE = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SEEDS = {kind: crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}


class WandbLog:
    """A ``.wandb`` file.

    Args:
        path: The file.

    Attributes:
        problems: Damaged parts, and an incomplete record at the end, that were found so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: dict[str, None] = {}

    def records(self, start: int = 0, *, last: bool = True) -> Iterator[tuple[bytes, int]]:
        """Yield each whole record, and the offset of its end.

        Damaged blocks are skipped. An incomplete record at the end is not yielded.

        Args:
            start: The offset of the end of a record, to yield only the records after it; else 0.
            last: Whether the file does not grow any more. Otherwise the end of the file may be incomplete or
                wrong, and is not a problem.

        Raises:
            UnreadableError: The file is not a ``.wandb`` file.
            OSError: The file cannot be read.
        """
        with self.path.open("rb") as file:
            head = file.read(_HEADER_SIZE)
            if not head:
                raise UnreadableError("the file is empty")
            if head[: len(_HEADER)] != _HEADER[: len(head)]:
                raise UnreadableError("it is not a .wandb file: its first bytes are wrong")
            base = start - start % _BLOCK
            file.seek(base)
            parts: list[bytes] = []
            begun = 0
            while data := file.read(_READ):
                size = len(data)
                for block in range(0, size, _BLOCK):
                    at = max(block + (_HEADER_SIZE if base + block == 0 else 0), start - base)
                    end = min(block + _BLOCK, size)
                    is_last = end - block < _BLOCK
                    while end - at >= _CHUNK_SIZE:
                        checksum, length, kind = _CHUNK.unpack_from(data, at)
                        if kind == 0 and length == 0:
                            break  # the rest of the block is padding
                        stop = at + _CHUNK_SIZE + length
                        if stop > end and is_last and kind in _SEEDS:
                            begun = begun if parts else base + at
                            parts.append(b"")  # reported below: the chunk was not written to its end
                            break
                        chunk = data[at + _CHUNK_SIZE : stop]
                        if stop > end or kind not in _SEEDS or crc32(chunk, _SEEDS[kind]) != checksum:
                            if is_last and not last:
                                return
                            self.problems[
                                f"bytes {base + at} to {base + end} are damaged; their records are lost"
                            ] = None
                            parts = []
                            break
                        at = stop
                        if kind == _FULL:
                            parts = []
                            yield chunk, base + at
                        elif kind == _FIRST:
                            parts, begun = [chunk], base + at - _CHUNK_SIZE - length
                        elif parts:  # else the beginning of the record is damaged
                            parts.append(chunk)
                            if kind == _LAST:
                                record, parts = b"".join(parts), []
                                yield record, base + at
                    else:
                        if is_last and any(data[at:end]):
                            begun = begun if parts else base + at
                            parts.append(b"")
                base += size
                if size < _READ:
                    break  # a file that grows now has more, but its next byte is not the first of a block
            if parts and last:
                self.problems[
                    f"the file ends in an incomplete record: {base - begun} bytes from byte {begun} are not "
                    "imported"
                ] = None
