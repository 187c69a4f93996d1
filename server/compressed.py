"""Bodies of requests that the client has compressed."""

from __future__ import annotations

import zlib

from tracker.errors import UsageError


def unpack_gzip(data: bytes | bytearray, limit: int) -> bytes:
    """Return the content of gzip data.

    Args:
        data: The data.
        limit: The largest size of the content in bytes.

    Raises:
        UsageError: The data is not complete gzip data, or its content is too large.
    """
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpacking.decompress(data, limit)
    except zlib.error as error:
        raise UsageError(f"The body is not gzip data: {error}.") from error
    if not unpacking.eof or unpacking.unused_data:
        raise UsageError(f"The body is not one whole gzip stream of at most {limit} bytes.")
    return content
