"""Settings of a server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from server.forwarded import Network, parse_networks
from tracker.errors import UsageError

# The server uses the paths /api and /assets itself, so it could not recognise them as a prefix.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_PUBLIC = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+((?!/(api|assets)(/|$))(/[A-Za-z0-9._~-]+)+)?/?")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
# Headers that every client sends, or that have another meaning for the server.
_OTHER_HEADERS = {
    *("accept", "authorization", "content-length", "content-type", "cookie", "host", "origin", "user-agent"),
    *("x-forwarded-for", "x-forwarded-proto", "x-tracker-dashboard"),
}


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """A provider of OpenID Connect at which people sign in.

    Attributes:
        issuer: Address of the provider, as in its tokens.
        client_id: Name of this server at the provider.
        client_secret: Secret of this server at the provider; None for a public client.
        name: Name of the provider on the sign-in page.
        user_claim: Claim with the name of the user; None: ``preferred_username``, else ``email``.
        admin: A claim and its value, or one of its values, for administrators of the server, as
            ``CLAIM=VALUE``. None: the provider does not decide who is an administrator.
        scopes: The scopes, separated by spaces.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    name: str = "Single sign-on"
    user_claim: str | None = None
    admin: str | None = None
    scopes: str = "openid profile email"

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UsageError: A setting is invalid.
        """
        parts = urlsplit(self.issuer)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if not safe or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"Invalid issuer {self.issuer!r}. Use https://HOST or https://HOST/PATH.")
        if self.admin is not None and not all(self.admin.partition("=")):
            raise UsageError(f"Invalid claim {self.admin!r}. Use CLAIM=VALUE, such as groups=tracker-admins.")
        if "openid" not in self.scopes.split():
            raise UsageError(f"Invalid scopes {self.scopes!r}. Scopes contain openid.")

    @property
    def user_claims(self) -> tuple[str, ...]:
        """The claims with the name of the user. The first one that is not empty is used."""
        return ("preferred_username", "email") if self.user_claim is None else (self.user_claim,)

    @property
    def admin_claim(self) -> str | None:
        """The claim that decides who is an administrator; None if no claim decides this."""
        return None if self.admin is None else self.admin.partition("=")[0]

    @property
    def admin_value(self) -> str:
        """The value of this claim."""
        return (self.admin or "").partition("=")[2]


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
        proxies: Addresses and networks of the proxies in front, separated by commas. The server takes the
            address of the client only from them. None: no proxy, or one whose clients need not be told apart.
        trusted_header: Header in which these proxies name the user; None for no such header.
        oidc: The provider at which people can sign in, if there is one.
        frames: Origins of the sites that may show single panels in a frame, separated by commas.
        watched: Further stores whose journals the server applies.
        in_place: The folders that the store only shows: nothing can be changed. Empty for a store of its own.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 8080
    no_key: bool = False
    url: str | None = None
    proxies: str | None = None
    trusted_header: str | None = None
    oidc: OidcSettings | None = None
    frames: str | None = None
    watched: tuple[Path, ...] = ()
    in_place: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UsageError: A setting is invalid.
        """
        if self.url is not None and not _PUBLIC.fullmatch(self.url):
            raise UsageError(
                f"Invalid address {self.url!r}. Use https://HOST or https://HOST/PATH. "
                "PATH has letters, digits and . _ ~ -, and does not begin with api or assets."
            )
        for origin in self.frame_origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(f"Invalid origin {origin!r}. Use https://HOST or https://HOST:PORT.")
        if self.proxies is not None:
            try:
                parse_networks(self.proxies)
            except ValueError as error:
                raise UsageError(
                    f"Invalid proxy: {error}. Use addresses or networks, such as 10.0.0.5,10.1.0.0/24."
                ) from error
        if self.no_key and self.oidc is not None:
            raise UsageError("--no-key lets everyone in, so leave out --oidc-issuer.")
        if self.trusted_header is None:
            return
        if not _HEADER.fullmatch(self.trusted_header) or self.trusted_header.lower() in _OTHER_HEADERS:
            raise UsageError(
                f"Invalid header {self.trusted_header!r}. Use a header of its own, such as X-Remote-User."
            )
        if self.proxies is None:
            raise UsageError("--trusted-header needs --proxy: the addresses that may send the header.")
        if self.no_key:
            raise UsageError("--no-key lets everyone in, so leave out --trusted-header.")

    @property
    def frame_origins(self) -> list[str]:
        """Return the origins of ``frames``."""
        return [] if self.frames is None else [each.strip() for each in self.frames.split(",")]

    @property
    def root(self) -> str:
        """The path of the public address, without a slash at the end: empty, or for example ``/tracker``."""
        return urlsplit(self.url or "").path.rstrip("/")

    @property
    def pinned(self) -> tuple[Network, ...] | None:
        """The addresses of the proxies; None if there are none."""
        return None if self.proxies is None else parse_networks(self.proxies)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def key_required(self) -> bool:
        """Whether reading and writing require an API key."""
        return not (self.no_key and self.on_loopback)


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address is that of the loopback interface."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
