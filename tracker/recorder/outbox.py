"""Where an outbox's journals go: a server's address and key, beside the journals that wait for it.

An outbox is a store folder without a catalog: ``OUTBOX/remote.json`` names the server. It lies in
``STORE/outbox/HOST-OF-THE-SERVER`` and is readable by its owner only, as it holds the API key.
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
    """A server: base URL without trailing slash, and the API key or None."""

    url: str
    key: str | None


def check_url(url: str) -> str:
    """Return a base URL without its trailing slash.

    Raises:
        UsageError: It is not http or https, or names no host.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an unfinished IPv6 address
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is no server address: write it like http://host:8080")
    return url.rstrip("/")


def outbox_folder(store: Path, url: str) -> Path:
    """Return this user's outbox of ``store`` for the server at ``url``."""
    folder = store / "outbox" / quote(url, safe="")
    return folder.with_name(f"{folder.name}@{os.getuid()}") if _is_of_another(folder) else folder


def write_remote(layout: Layout, remote: Remote) -> None:
    """Note where an outbox's journals go; a newer key replaces an older one."""
    if remote_of(layout) == remote:
        return
    temporary = layout.new_temporary()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": remote.url, "key": remote.key}, file)
    os.replace(temporary, layout.remote)


def remote_of(layout: Layout) -> Remote | None:
    """Return where an outbox's journals go; None for a store."""
    try:
        with layout.remote.open(encoding="utf-8") as file:
            described = json.load(file)
    except FileNotFoundError:
        return None
    return Remote(described["url"], described["key"])


def list_outboxes(store: Path) -> list[Layout]:
    """Return the outboxes in a store's folder, without those of other users."""
    folder = store / "outbox"
    found = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    return [Layout(path) for path in found if not _is_of_another(path)]


def _is_of_another(outbox: Path) -> bool:
    """Whether an outbox has the key of another user, in a store that a group shares."""
    file = Layout(outbox).remote
    return os.path.exists(file) and not os.access(file, os.R_OK)
