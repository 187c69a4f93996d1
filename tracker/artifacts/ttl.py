"""The lifetime (time to live) of artifact versions."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

_LONGEST = timedelta(days=365_000)


class ArtifactTTL(Enum):
    """``wandb.ArtifactTTL``. INHERIT means the lifetime of the collection, which is unlimited here."""

    INHERIT = 0


def ttl_of(ttl: timedelta | ArtifactTTL | None) -> timedelta | None:
    """Return a lifetime, or None for an unlimited lifetime.

    Raises:
        ValueError: ``ttl`` has another type, is not positive, or is longer than 1,000 years.
    """
    if ttl is None or ttl is ArtifactTTL.INHERIT:
        return None
    if not isinstance(ttl, timedelta):
        raise ValueError(f"Invalid ttl {ttl!r}. Use a datetime.timedelta, ArtifactTTL.INHERIT or None.")
    if ttl.total_seconds() <= 0:
        raise ValueError("Artifact TTL Duration has to be positive")
    if ttl > _LONGEST:
        raise ValueError(f"ttl {ttl} is longer than 1,000 years. Use None for an unlimited lifetime.")
    return ttl
