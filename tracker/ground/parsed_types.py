"""Types for values from untrusted sources. Decoding a value into one of these types checks it.

Any user who can write to the store's folder or reach the server can send a journal, a manifest, a published
file or a request. In the structures that are decoded from them, each field that becomes a path, a number in
the catalog or a time has one of these types. The decoder then rejects a hostile value in one place.

msgspec inspects a type at its first use. If another thread decodes the same type during that time, it reads a
null pointer. So a module makes its decoders at import, or calls ``prepare``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

_SHA256 = "[0-9a-f]{64}"
# Neither absolute nor with a part "." or "..": the path must stay in the folder that it is relative to.
_RELATIVE = r"^(?!/)(?!(.*/)?\.\.?(/|\Z))[^\x00]+\Z"

Digest = Annotated[str, msgspec.Meta(pattern=rf"^{_SHA256}\Z")]
DigestOrEmpty = Annotated[str, msgspec.Meta(pattern=rf"^({_SHA256})?\Z")]
# Id of a draft, a segment or a client: 128 random bits.
Token = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
# Name of a file in a draft's folder.
FileNumber = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}\Z")]
RelativePath = Annotated[str, msgspec.Meta(pattern=_RELATIVE)]
# The range of an integer in SQLite.
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Number of an artifact version. A hostile number leaves room for all later versions.
VersionNumber = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
# Name of a store in aliases of versions that were copied from it.
_STORE_NAME = r"[A-Za-z0-9_.\-]{1,100}"
StoreName = Annotated[str, msgspec.Meta(pattern=rf"^{_STORE_NAME}\Z")]
# Unix seconds in the range of `datetime`; neither NaN nor infinite.
Time = Annotated[float, msgspec.Meta(ge=-62_000_000_000.0, le=250_000_000_000.0)]
# A duration, or a time that may be outside the range of `Time`. Python's longest timedelta is shorter.
Seconds = Annotated[float, msgspec.Meta(ge=-1e14, le=1e14)]


class SessionInfo(msgspec.Struct, frozen=True):
    """Whether a server requires a key, and whether the caller has sent one or is a signed-in browser."""

    key_required: bool
    signed_in: bool


def is_digest(value: object) -> bool:
    """Return whether a value is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


def is_token(value: object) -> bool:
    """Return whether a value is a token, such as a draft's: 32 lower-case hex digits."""
    return isinstance(value, str) and len(value) == 32 and not value.strip("0123456789abcdef")


def is_store_name(value: str) -> bool:
    """Return whether a text is valid as the name of a store in aliases."""
    return re.fullmatch(_STORE_NAME, value) is not None


def prepare(*types: Any) -> None:
    """Let msgspec inspect types now, so that several threads can later decode values into them."""
    for each in types:
        msgspec.json.Decoder(each)


prepare(SessionInfo)
