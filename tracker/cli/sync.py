"""``tracker sync``: apply or send everything that waits."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tracker.cli.server import add_store, store_of
from tracker.errors import Error
from tracker.recorder.remote import Remote, list_outboxes, remote_of, write_remote
from tracker.settings import load_settings
from tracker.store.description import require_store
from tracker.store.layout import Layout

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    sync = commands.add_parser("sync", help="apply all journals of a store, and send those meant for servers")
    add_store(sync)
    sync.set_defaults(run=_sync)


def _sync(options: argparse.Namespace) -> None:
    root = store_of(options)
    layout = Layout(root)
    if not list_outboxes(root):
        require_store(layout)
    failed = layout.description.is_file() and not _apply(layout)
    for outbox in list_outboxes(root):
        remote = remote_of(outbox)
        if remote is not None:
            # One server that is away must not keep the others waiting.
            failed |= not _send(outbox, _with_given_key(outbox, remote))
    if failed:
        sys.exit(1)


def _apply(layout: Layout) -> bool:
    """Apply a store's journals, whichever hosts wrote them; return whether none is left over."""
    from tracker.recorder.follow import Follower
    from tracker.store.orphans import list_orphans
    from tracker.store.store import Store

    store = Store(layout.root, create=False)
    follower = Follower(store)
    look = follower.look()
    print(f"{layout.root}: {look.applied} records applied, {look.live} runs go on")
    wrong = [*follower.wrong(), *list_orphans(store)]
    for line in wrong:
        print(f"tracker: {line}", file=sys.stderr)
    return not wrong


def _with_given_key(outbox: Layout, remote: Remote) -> Remote:
    """Take a key from TRACKER_API_KEY when it is meant for this server: the stored one may be wrong."""
    given = load_settings()
    if given.api_key is None or (given.base_url or remote.url).rstrip("/") != remote.url:
        return remote
    remote = remote._replace(key=given.api_key)
    write_remote(outbox, remote)
    return remote


def _send(outbox: Layout, remote: Remote) -> bool:
    """Send an outbox, whichever hosts wrote it; return whether all of it could be."""
    from tracker.recorder.send import Sender

    sender = Sender(outbox, remote)
    away = None
    try:
        look = sender.look(patient=False)
        print(f"{remote.url}: {look.applied} records sent, {look.live} runs go on")
    except Error as error:
        away = error.message
    for fault in [*(sender.faults[segment] for segment in sorted(sender.faults)), *([away] if away else [])]:
        print(f"tracker: {fault}", file=sys.stderr)
    return not sender.faults and away is None
