"""Settings of a server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tracker.errors import UsageError

# The server uses the paths /api and /assets itself, so it could not recognise them as a prefix.
_PUBLIC = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+((?!/(api|assets)(/|$))(/[A-Za-z0-9._~-]+)+)?/?")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The address that a server listens on, and the store that it serves.

    Attributes:
        store: Folder of the store.
        host: Address to listen on.
        port: Port; 0 means a free port.
        url: Address under which browsers and scripts reach the server through a proxy, such as
            ``https://example.org/tracker``. None: the address that the server listens on.
        no_key: Require no API key: every user of this machine can read and write. Only on loopback.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 8080
    no_key: bool = False
    url: str | None = None

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            UsageError: The address is invalid.
        """
        if self.url is not None and not _PUBLIC.fullmatch(self.url):
            raise UsageError(
                f"Invalid address {self.url!r}. Use https://HOST or https://HOST/PATH. "
                "PATH has letters, digits and . _ ~ -, and does not begin with api or assets."
            )

    @property
    def root(self) -> str:
        """The path of the public address, without a slash at the end: empty, or for example ``/tracker``."""
        return urlsplit(self.url or "").path.rstrip("/")

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
