"""Settling drafts: what is gone, or settled by somebody else meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker.errors import StoreError
from tracker.store.blobs import finalize
from tracker.store.blobs.drafts import PACKED_BELOW, Draft, DraftEntry
from tracker.store.blobs.finalize import (
    FinalizedDraft,
    discard_draft,
    finalize_draft,
    forget_finalized,
    note_draft,
    read_finalized,
)
from tracker.store.blobs.manifest import read_manifest
from tracker.store.store import Store


def log(store: Store, tmp_path: Path) -> Draft:
    source = tmp_path / "source"
    source.write_bytes(b"x" * PACKED_BELOW)
    draft = Draft(store.layout)
    draft.finish([DraftEntry("a", draft.capture_file(source)), DraftEntry("b", draft.capture_bytes(b"b"))])
    return draft


def test_a_draft_that_is_not_here(store: Store) -> None:
    with pytest.raises(StoreError, match="are not here"):
        finalize_draft(store.layout, "ab" * 16)


def test_a_file_of_a_draft_that_is_gone(store: Store, tmp_path: Path) -> None:
    draft = log(store, tmp_path)
    (draft.folder / "0").unlink()
    with pytest.raises(FileNotFoundError):
        finalize_draft(store.layout, draft.token)


def test_a_draft_that_goes_while_it_is_read_has_been_settled(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process commits it, and clears it away, between two steps of this one."""
    draft = log(store, tmp_path)
    original = finalize.read_draft
    others: list[FinalizedDraft] = []

    def read_then_lose(*args: object) -> object:
        found = original(*args)  # type: ignore[arg-type]
        monkeypatch.undo()
        (draft.folder / "lock").unlink()  # the other one holds no lock that is waited for
        others.append(finalize_draft(store.layout, draft.token))
        note_draft(store.layout, draft.token)
        discard_draft(store.layout, draft.token)
        return found

    monkeypatch.setattr(finalize, "read_draft", read_then_lose)
    assert finalize_draft(store.layout, draft.token) == others[0] == read_finalized(store.layout, draft.token)
    assert others[0].file_count == 2


def test_a_draft_that_is_settled_again_writes_into_no_blob(store: Store) -> None:
    """Its pack without what the store had is a blob by now, read-only, and another inode must be written."""
    draft = Draft(store.layout)
    draft.finish([DraftEntry(name, draft.capture_bytes(name.encode() * 50)) for name in ("a", "b", "c")])
    known = store.blobs.add_bytes(b"a" * 50)
    first = finalize_draft(store.layout, draft.token, lambda _: {known.sha256: (None, 0)})
    (pack,) = {entry.pack for entry in read_manifest(store.blobs, first.manifest).entries if entry.pack}
    before = store.blobs.path(pack).stat()
    forget_finalized(store.layout, draft.token)
    assert finalize_draft(store.layout, draft.token, lambda _: {known.sha256: (None, 0)}) == first
    after = store.blobs.path(pack).stat()
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)
    assert not os.path.samestat(after, (draft.folder / "pack.fresh").stat())
    assert store.blobs.read(pack) == b"b" * 50 + b"c" * 50
