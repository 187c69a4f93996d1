"""Published files that carry a checksum of themselves: JSON with one field more, the last one.

Readers do not need it, so a person may edit such a file; ``tracker verify --all`` names it then.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from tracker.errors import StoreError
from tracker.ground import values
from tracker.store.objects.atomic_files import publish, write_new

# Whatever bytes are where the field is: a damaged name must not hide the checksum.
_LAST_FIELD = re.compile(rb',\n "(.{8})": "(.{16})"\n}\Z', re.DOTALL)
_NAME = b"checksum"
_END = b"\n}"


def encode(value: dict[str, Any]) -> bytes:
    """Return a description as JSON; its field ``checksum`` is of all the bytes without that field."""
    text = values.dumps(value, indent=1).encode("utf-8", "replace")
    return text.removesuffix(_END) + b',\n "%s": "%s"' % (_NAME, _checksum(text)) + _END


def publish_checksummed(temporary: Path, path: Path, value: dict[str, Any]) -> None:
    """Publish a description, replacing what is there."""
    write_new(temporary, encode(value))
    publish(temporary, path)


def check(data: bytes) -> bool:
    """Compare a published file with its checksum; return False for one of an older tracker, which has none.

    Raises:
        StoreError: It is not the file that was written.
    """
    found = _LAST_FIELD.search(data)
    if found is None:
        return False
    name, checksum = found.groups()
    if name != _NAME or checksum != _checksum(data[: found.start()] + _END):
        raise StoreError("its bytes are not those that were written; `tracker rebuild` reads it as it is")
    return True


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
