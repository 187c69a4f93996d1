"""One-time links that sign a browser in to the server of a store."""

from __future__ import annotations

from server import keys
from tracker.errors import UsageError
from tracker.store.objects.atomic_files import read_json
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable


def new_link(layout: Layout, user: str = "") -> str:
    """Return a link that signs one browser in, once, to the server of a store.

    Args:
        layout: The paths of the store.
        user: Name of the user who is signed in; empty for the owner of the store.

    Raises:
        ReadOnlyError: The store is read-only, so a link cannot be stored in it.
        UsageError: The store has never been served.
    """
    require_writable(layout)
    found = read_json(layout.served_at)
    if found is None:
        raise UsageError(f"No server has served {layout.root} yet. Start one: tracker server")
    return f"{found['url'].rstrip('/')}/sign-in?token={keys.make_link_token(layout, user)}"
