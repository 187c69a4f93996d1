"""Types that values from outside are parsed into: nothing else fits into them.

A journal, a manifest, a published file and a request may come from anybody who can write to the store's
folder or reach the server. What becomes a path, a number in the catalog or a time has one of these types in
the structures that are decoded, so that a hostile value is refused there, once.

A module makes its decoders when it is imported, or calls ``prepare``: msgspec inspects a type when it first
decodes it, and while one thread does so, another thread that decodes the same type reads a null pointer.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

_SHA256 = "[0-9a-f]{64}"
# No part may lead out of the folder that the path is relative to.
_RELATIVE = r"^(?!/)(?!(.*/)?\.\.?(/|\Z))[^\x00]+\Z"

Digest = Annotated[str, msgspec.Meta(pattern=rf"^{_SHA256}\Z")]
DigestOrEmpty = Annotated[str, msgspec.Meta(pattern=rf"^({_SHA256})?\Z")]
# Of a draft, a segment or a client: 128 random bits.
Token = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
# Name of a captured file in its draft's folder.
FileNumber = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}\Z")]
RelativePath = Annotated[str, msgspec.Meta(pattern=_RELATIVE)]
# What an SQLite column holds.
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Unix seconds that a calendar has a date for; neither NaN nor infinite.
Time = Annotated[float, msgspec.Meta(ge=-62_000_000_000.0, le=250_000_000_000.0)]
# A span of time, or a moment that is that far away: more than Python's longest timedelta.
Seconds = Annotated[float, msgspec.Meta(ge=-1e14, le=1e14)]


def is_digest(value: object) -> bool:
    """Return whether a value is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


def is_token(value: object) -> bool:
    """Return whether a value is the token of a draft: 32 lower-case hex digits."""
    return isinstance(value, str) and len(value) == 32 and not value.strip("0123456789abcdef")


def prepare(*types: Any) -> None:
    """Let msgspec inspect types, so that several threads may convert values to them."""
    for each in types:
        msgspec.json.Decoder(each)
