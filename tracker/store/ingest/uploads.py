"""The contents that callers of a server have proven to have: the table ``uploads``.

The name of a content is its SHA-256, and a name is not a secret. So a caller without all rights may refer to
a content only after it has sent the content, or if a version that it can read contains the content. Such a
proof stays valid as long as the content is in the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from tracker.store.blobs.finalize import PackPosition
from tracker.store.blobs.packs import AT_ONCE
from tracker.store.catalog.models import Packed, Upload
from tracker.store.catalog.sqlite import upsert
from tracker.store.store import Store

_COLUMNS = ("holder", "sha256", "time")


def note_proven(session: Session, holder: int, names: Iterable[str]) -> None:
    """Note that a caller has contents.

    Args:
        session: A write transaction.
        holder: The caller: see ``Upload``.
        names: SHA-256 of each content.
    """
    now = time.time()
    rows = ((holder, name, now) for name in sorted(map(bytes.fromhex, names)))
    upsert(session, Upload, _COLUMNS, rows, key=_COLUMNS[:2])


def find_proven(session: Session, holder: int, names: Iterable[str]) -> set[str]:
    """Return those contents that a caller has proven to have. They may be deleted by now.

    Args:
        session: A read transaction.
        holder: The caller: see ``Upload``.
        names: SHA-256 of each content.
    """
    found: set[str] = set()
    for asked in _batches(names):
        query = select(Upload.sha256).where(Upload.holder == holder, Upload.sha256.in_(asked))
        found.update(name.hex() for name in session.scalars(query))
    return found


def find_proven_places(session: Session, holder: int, names: Iterable[str]) -> dict[str, PackPosition]:
    """Return the places of small contents in blobs and packs that a caller has proven to have.

    Args:
        session: A read transaction.
        holder: The caller: see ``Upload``.
        names: SHA-256 of each content.
    """
    found: dict[str, PackPosition] = {}
    query = select(Packed.sha256, Packed.pack, Packed.offset).join(
        Upload, (Upload.sha256 == Packed.pack) & (Upload.holder == holder)
    )
    for asked in _batches(names):
        for sha256, pack, offset in session.execute(query.where(Packed.sha256.in_(asked))):
            found[sha256.hex()] = (None if pack == sha256 else pack.hex(), offset)
    return found


def forget_missing(store: Store, older_than: float) -> int:
    """Delete the proofs of contents that are not in the store any more; return their number.

    Args:
        store: The store.
        older_than: Keep newer proofs than this time, in unix seconds.
    """
    count, last = 0, (-(2**63), b"")
    key = tuple_(Upload.holder, Upload.sha256)
    while True:
        with store.reading() as session:
            query = select(Upload.holder, Upload.sha256).where(key > last, Upload.time < older_than)
            ordered = query.order_by(Upload.holder, Upload.sha256).limit(AT_ONCE)
            rows = [(holder, sha256) for holder, sha256 in session.execute(ordered)]
        if not rows:
            return count
        last = rows[-1]
        if gone := [row for row in rows if not store.blobs.has(row[1].hex())]:
            with store.writing() as session:
                session.execute(delete(Upload).where(key.in_(gone)))
            count += len(gone)


def _batches(names: Iterable[str]) -> Iterable[list[bytes]]:
    wanted = [bytes.fromhex(name) for name in dict.fromkeys(names)]
    return (wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE))
