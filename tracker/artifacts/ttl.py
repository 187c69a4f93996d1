"""How long an artifact version is kept."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

_LONGEST = timedelta(days=365_000)


class ArtifactTTL(Enum):
    """``wandb.ArtifactTTL``: INHERIT takes the collection's lifetime. Here that is: for ever."""

    INHERIT = 0


def ttl_of(ttl: timedelta | ArtifactTTL | None) -> timedelta | None:
    """Return a lifetime; None: for ever.

    Raises:
        ValueError: It is no lifetime, or not positive.
    """
    if ttl is None or ttl is ArtifactTTL.INHERIT:
        return None
    if not isinstance(ttl, timedelta):
        raise ValueError(f"ttl is a datetime.timedelta, ArtifactTTL.INHERIT or None, not {ttl!r}")
    if ttl.total_seconds() <= 0:
        raise ValueError("Artifact TTL Duration has to be positive")
    if ttl > _LONGEST:
        raise ValueError(f"ttl {ttl} is longer than 1,000 years: leave it out to keep the artifact for ever")
    return ttl
