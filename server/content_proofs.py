"""Proofs that callers without all rights have the contents that they name by their SHA-256."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

from server.accounts.callers import Caller
from tracker.errors import ArtifactError, ConflictError, NotFoundError
from tracker.store.blobs.content import Piece
from tracker.store.blobs.finalize import PackPosition
from tracker.store.blobs.manifest import Entry, InvalidManifestError, read_manifest
from tracker.store.blobs.packs import check_places, pieces_of
from tracker.store.ingest.uploads import find_proven, find_proven_places, note_proven
from tracker.store.queries.artifacts import find_named
from tracker.store.store import Store

# Number of manifests whose check is remembered. A draft and the record that logs it name the same manifest.
REMEMBERED = 10_000


class ContentProofs:
    """The contents that callers have sent to this server.

    Args:
        store: The store of the server.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests: dict[tuple[int, float, str], None] = {}
        self._lock = threading.Lock()

    def note(self, caller: Caller, names: Collection[str]) -> None:
        """Note that a caller has contents, by their SHA-256."""
        if holder_of(caller) and (missing := {*names} - self.find(caller, names)):
            with self._store.writing() as session:
                note_proven(session, holder_of(caller), missing)

    def note_versions(
        self, caller: Caller, names: Collection[str], versions: Iterable[str]
    ) -> dict[str, PackPosition]:
        """Note that a caller has the contents of versions that it can read.

        Args:
            caller: The caller.
            names: SHA-256 of the contents or packs that the caller needs.
            versions: Full names of the versions. A version that the caller cannot read is ignored.

        Returns:
            The places of those contents that are in packs. The caller has not proven to have the packs: they
            can also contain files of other projects.
        """
        wanted = {*names}
        found: set[str] = set()
        places: dict[str, PackPosition] = {}
        for version in versions:
            place, _, reference = version.rpartition(":")
            entity, project, name = [*place.split("/"), "", ""][:3]
            if not caller.rights.may("viewer", entity, project):
                continue
            try:
                with self._store.reading() as session:
                    sha256 = find_named(session, entity, project, name, reference).manifest
                entries = read_manifest(self._store.blobs, sha256).entries
            except (NotFoundError, ArtifactError):
                continue
            needed = [each for each in entries if each.sha256 and wanted & {each.sha256, each.blob}]
            found.update((sha256, *(each.sha256 for each in needed)))
            places.update((each.sha256, (each.pack, each.offset)) for each in needed if each.pack)
        if found:
            self.note(caller, found)
        return places

    def find(self, caller: Caller, names: Iterable[str]) -> set[str]:
        """Return those contents that a caller has proven to have. They may be deleted by now."""
        with self._store.reading() as session:
            return find_proven(session, holder_of(caller), names)

    def find_places(self, caller: Caller, names: Iterable[str]) -> dict[str, PackPosition]:
        """Return the places of small contents in packs that a caller has proven to have."""
        with self._store.reading() as session:
            return find_proven_places(session, holder_of(caller), names)

    def require(self, caller: Caller, names: Collection[str]) -> None:
        """Check that a caller has proven to have contents.

        Raises:
            ConflictError: The caller has not. The error does not tell whether the content is here.
        """
        proven = self.find(caller, names)
        missing = next((name for name in names if name not in proven), None)
        if missing is not None:
            raise _not_sent(missing)

    def require_contents(self, caller: Caller, sha256: str) -> None:
        """Check that a caller has proven to have the contents that a manifest names.

        Args:
            caller: The caller.
            sha256: SHA-256 of the manifest, which the caller has proven to have.

        Raises:
            ConflictError: The caller has not. The error does not tell whether the content is here.
            ArtifactError: A pack has other bytes at a place that the manifest names.
        """
        owner = caller.user if holder_of(caller) > 0 else caller.key
        # The time is needed because the number of a deleted user can be used again.
        known = (holder_of(caller), 0.0 if owner is None else owner.created_at, sha256)
        if known in self._manifests:
            return
        try:
            manifest = read_manifest(self._store.blobs, sha256)
            proven = self.find(caller, manifest.blobs)
            others = [each for each in manifest.entries if each.blob and each.blob not in proven]
            self.require(caller, list({each.sha256 or each.blob or "": None for each in others}))
            self._check_places(manifest.entries)
        except InvalidManifestError:
            return  # no version can have it
        except NotFoundError:  # deleted since the caller sent it
            raise _not_sent(sha256) from None
        with self._lock:
            self._manifests[known] = None
            if len(self._manifests) > REMEMBERED:
                del self._manifests[next(iter(self._manifests))]

    def _check_places(self, entries: list[Entry]) -> None:
        """Check the places in packs that the catalog does not know: other senders rely on its places."""
        named = {(each.sha256, Piece(each.pack, each.offset, each.size)) for each in entries if each.pack}
        if not named:
            return
        with self._store.reading() as session:
            known = pieces_of(session, {sha256 for sha256, _ in named if sha256})
        check_places(
            self._store.blobs, ((sha256, piece) for sha256, piece in named if known.get(sha256) != piece)
        )


def holder_of(caller: Caller) -> int:
    """Return the number of a caller for the proofs: see ``Upload``. 0 if the caller cannot have proofs.

    This is a browser that a key without a user has signed in. A key of one project has proofs of its own,
    because those of its user can be contents of other projects.
    """
    if caller.user is not None and caller.rights.only is None:
        return caller.user.id
    return -caller.key.id if caller.key is not None else 0


def _not_sent(sha256: str) -> ConflictError:
    return ConflictError(f"Content {sha256} is missing. Send it before the record that names it.")
