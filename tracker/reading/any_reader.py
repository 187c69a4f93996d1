"""``AnyReader``: the common part of the protocols of readers."""

from __future__ import annotations

from typing import Protocol


class AnyReader(Protocol):
    """The common part of all readers."""

    @property
    def url(self) -> str | None:
        """The address of the server, or None if the store is read without a server."""

    @property
    def api_overrides(self) -> dict[str, str]:
        """The argument ``overrides`` with which ``Api`` reads this store or server in any process."""

    def catch_up(self) -> None:
        """Apply, or send to the server, everything that this host has logged so far."""

    def close(self) -> None:
        """Close files and connections."""
