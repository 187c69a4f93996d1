"""Which small contents lie in which packs, as the catalog knows it."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tracker.store.blobs import BlobStore
from tracker.store.manifest import Entry
from tracker.store.models import Packed
from tracker.store.settle import Place

# SQLite takes 32,766 variables in one statement; long lists of them only cost parsing.
_AT_ONCE = 500


def known_places(session: Session, blobs: BlobStore, names: list[str]) -> dict[str, Place]:
    """Return where small contents lie already, of those that do.

    Args:
        session: A transaction of the catalog.
        blobs: The blobs beside it.
        names: SHA-256 of each, 64 hex digits.
    """
    found: dict[str, Place] = {}
    if session.scalar(select(Packed.sha256).limit(1)) is not None:
        for start in range(0, len(names), _AT_ONCE):
            wanted = [bytes.fromhex(name) for name in names[start : start + _AT_ONCE]]
            rows = session.execute(
                select(Packed.sha256, Packed.pack, Packed.offset).where(Packed.sha256.in_(wanted))
            )
            found.update({sha256.hex(): (pack.hex(), offset) for sha256, pack, offset in rows})
    # A blob of its own is found by its name; asking the disk for very many would cost more than it saves.
    if len(names) <= _AT_ONCE:
        found.update({name: (None, 0) for name in names if name not in found and blobs.has(name)})
    return found


def note_packed(session: Session, entries: list[Entry]) -> None:
    """Note where the contents lie that a manifest finds in packs."""
    rows = sorted(  # in the order of the table: half the time
        (bytes.fromhex(entry.sha256), bytes.fromhex(entry.pack), entry.offset)
        for entry in entries
        if entry.pack is not None
    )
    if rows:
        # Straight to the driver: through the mapping of the table, 100,000 rows take four times as long.
        statement = "INSERT OR IGNORE INTO packed (sha256, pack, pack_offset) VALUES (?, ?, ?)"
        session.connection().exec_driver_sql(statement, rows)


def forget_packs(session: Session, packs: list[str]) -> None:
    """Forget what lies in packs that go. Other blobs among ``packs`` do no harm."""
    for start in range(0, len(packs), _AT_ONCE):
        names = [bytes.fromhex(name) for name in packs[start : start + _AT_ONCE]]
        session.execute(delete(Packed).where(Packed.pack.in_(names)))
