"""Reading a ``.wandb`` file while its client writes it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from zlib import crc32

import pytest

from tracker.importing.wandb_log import WandbLog

BLOCK = 32768


def content_of(records: list[bytes]) -> bytes:
    """Return a file with whole records. No record crosses the end of a block."""
    found = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        if BLOCK - len(found) % BLOCK < 7 + len(record):
            found += bytes(BLOCK - len(found) % BLOCK)
        found += struct.pack("<IHB", crc32(record, crc32(b"\x01")), len(record), 1) + record
    return bytes(found)


def test_a_file_that_grows_between_two_reads_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [b"%05d" % at * 20 for at in range(1500)]
    content = content_of(records)
    path = tmp_path / "run.wandb"
    path.write_bytes(content)

    class Growing(io.BytesIO):
        """Has more at each read after the header, and never ends at the end of a block."""

        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 40_001))

    monkeypatch.setattr(Path, "open", lambda *_args, **_options: Growing(content))
    log = WandbLog(path)
    offset = 0
    found: list[bytes] = []
    while len(found) < len(records):
        new = list(log.records(offset, last=False))
        assert new, log.problems
        found += [record for record, _ in new]
        offset = new[-1][1]
    assert log.problems == {}
    assert found == records
