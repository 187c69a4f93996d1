"""Settings of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The address that a server listens on, and the store that it serves.

    Attributes:
        store: Folder of the store.
        host: Address to listen on.
        port: Port; 0 means a free port.
        no_key: Require no API key: every user of this machine can read and write. Only on loopback.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 8080
    no_key: bool = False

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def key_required(self) -> bool:
        """Whether reading and writing require an API key."""
        return not (self.no_key and self.on_loopback)
