"""Outboxes: folders of journals that wait for a server, with the server's address and API key.

An outbox is a store folder without a catalog, at ``STORE/outbox/ADDRESS-OF-THE-SERVER``. Its file
``remote.json`` contains the address and the API key, and only its owner can read it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tracker.errors import UsageError
from tracker.store.objects.layout import Layout


class Remote(NamedTuple):
    """A server, or the store of a spool.

    Attributes:
        url: Base URL without trailing slash, or the path of the store.
        key: API key, or None.
    """

    url: str
    key: str | None

    @property
    def folder(self) -> Path | None:
        """The store of a spool; None for a server."""
        return Path(self.url) if os.path.isabs(self.url) else None


def check_url(url: str) -> str:
    """Return a base URL without its trailing slash.

    Raises:
        UsageError: The scheme is not http or https, or the host is missing.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or an incomplete IPv6 address
        usable = False
    if not usable:
        raise UsageError(f"Invalid server address {url!r}. Use http://host:port.")
    return url.rstrip("/")


def outbox_folder(store: Path, url: str) -> Path:
    """Return this user's outbox of ``store`` for the server at ``url``."""
    folder = store / "outbox" / quote(url, safe="")
    return folder.with_name(f"{folder.name}@{os.getuid()}") if _is_of_another(folder) else folder


def write_remote(layout: Layout, remote: Remote) -> None:
    """Write an outbox's server to its folder. A new key replaces an older one."""
    if remote_of(layout) == remote:
        return
    temporary = layout.new_temporary()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": remote.url, "key": remote.key}, file)
    os.replace(temporary, layout.remote)


def remote_of(layout: Layout) -> Remote | None:
    """Return the server of an outbox; None for a store."""
    try:
        with layout.remote.open(encoding="utf-8") as file:
            described = json.load(file)
    except FileNotFoundError:
        return None
    return Remote(described["url"], described["key"])


def list_outboxes(store: Path) -> list[Layout]:
    """Return this user's outboxes in a store's folder."""
    folder = store / "outbox"
    found = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    return [Layout(path) for path in found if not _is_of_another(path)]


def _is_of_another(outbox: Path) -> bool:
    """Return whether an outbox belongs to another user, in a store that a group of users shares."""
    file = Layout(outbox).remote
    return os.path.exists(file) and not os.access(file, os.R_OK)
