"""Contents that arrive before the records that name them."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.ground.group_files import touch
from tracker.store.blobs.packs import pieces_of
from tracker.store.store import Store


def missing_contents(store: Store, names: Sequence[str]) -> list[str]:
    """Return those contents that are not in the store. Garbage collection keeps the others for a day.

    Args:
        store: The store.
        names: SHA-256 of each content.
    """
    note_upload(store)
    missing = [name for name in names if not store.blobs.touch(name)]
    with store.reading() as session:
        pieces = pieces_of(session, missing)
    return [name for name in missing if name not in pieces or not store.blobs.touch(pieces[name].pack)]


def note_upload(store: Store) -> None:
    """Note that content without a record is here or arriving, so that garbage collection keeps it."""
    touch(store.layout.uploads)
