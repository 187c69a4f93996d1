"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens and what it serves.

    Attributes:
        store: Folder of the store.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        no_key: Ask for no API key. Every user of this machine can then read and write; only on loopback.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 8080
    no_key: bool = False

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def key_required(self) -> bool:
        """Whether reading and writing need an API key."""
        return not (self.no_key and self.on_loopback)
