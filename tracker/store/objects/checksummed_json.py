"""JSON files with a checksum of their own content in a last field ``checksum``.

Readers ignore the checksum, so a person may edit such a file. ``tracker verify --all`` then reports the file.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from tracker.errors import StoreError
from tracker.ground import values
from tracker.store.objects.atomic_files import publish, write_new

# The name may be any 8 bytes: a file with a damaged field name must not count as a file without checksum.
_LAST_FIELD = re.compile(rb',\n "(.{8})": "(.{16})"\n}\Z', re.DOTALL)
_NAME = b"checksum"
_END = b"\n}"


def encode(value: msgspec.Struct | dict[str, Any]) -> bytes:
    """Return ``value`` as JSON with a field ``checksum``, computed from the JSON without that field."""
    text = values.dumps(msgspec.to_builtins(value), indent=1).encode("utf-8", "replace")
    return text.removesuffix(_END) + b',\n "%s": "%s"' % (_NAME, _checksum(text)) + _END


def publish_checksummed(temporary: Path, path: Path, value: msgspec.Struct | dict[str, Any]) -> None:
    """Publish ``value`` as JSON with a checksum. Replace an existing file.

    Args:
        temporary: Path for the new file until it is complete, on the same file system.
        path: Path of the published file.
        value: The content.
    """
    write_new(temporary, encode(value))
    publish(temporary, path)


def check(data: bytes) -> bool:
    """Check the bytes of a published file against its checksum.

    Returns:
        False if the file has no checksum, because an older tracker wrote it.

    Raises:
        StoreError: The checksum does not match.
    """
    found = _LAST_FIELD.search(data)
    if found is None:
        return False
    name, checksum = found.groups()
    if name != _NAME or checksum != _checksum(data[: found.start()] + _END):
        raise StoreError("its checksum does not match its content; `tracker rebuild` still reads the file")
    return True


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
