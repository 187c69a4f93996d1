"""Finalizing drafts that are missing, or that another process has finalized."""

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


def test_a_missing_draft_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="have not arrived yet"):
        finalize_draft(store.layout, "ab" * 16)


def test_a_missing_file_of_a_draft_is_an_error(store: Store, tmp_path: Path) -> None:
    draft = log(store, tmp_path)
    (draft.folder / "0").unlink()
    with pytest.raises(FileNotFoundError):
        finalize_draft(store.layout, draft.token)


def test_another_process_may_finalize_and_remove_a_draft_that_is_being_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process commits and removes the draft between two steps of this process."""
    draft = log(store, tmp_path)
    original = finalize.read_draft
    others: list[FinalizedDraft] = []

    def read_then_lose(*args: object) -> object:
        found = original(*args)  # type: ignore[arg-type]
        monkeypatch.undo()
        (draft.folder / "lock").unlink()  # so that the inner call does not wait for the lock of the outer one
        others.append(finalize_draft(store.layout, draft.token))
        note_draft(store.layout, draft.token)
        discard_draft(store.layout, draft.token)
        return found

    monkeypatch.setattr(finalize, "read_draft", read_then_lose)
    assert finalize_draft(store.layout, draft.token) == others[0] == read_finalized(store.layout, draft.token)
    assert others[0].file_count == 2


def test_finalizing_a_draft_again_does_not_write_to_a_blob(store: Store) -> None:
    """``pack.fresh`` of the first attempt is a read-only blob now; the second attempt writes a new file."""
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
