"""The runs of a store as a source: the records of their ended segments, and the contents that these name."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tracker.bundles.manifest import BundledJournal, BundledRun, Content, Manifest
from tracker.bundles.staging import Staging
from tracker.ground.records import ArtifactLogged, FileSaved, Record
from tracker.ground.settings import STORE_FOLDER
from tracker.recorder.upload import StoredRun, write_journal
from tracker.store.blobs.content import CHUNK, Piece
from tracker.store.blobs.manifest import parse_manifest, read_manifest
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import check_description
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.recovery.replay import Replay, replay_run, replay_segment
from tracker.store.store import Store


class Known(NamedTuple):
    """Data that the receiver has: ids of segments, SHA-256 of contents, and the bundles that brought them."""

    segments: Collection[str] = ()
    contents: Collection[str] = ()
    bundles: Sequence[str] = ()


NOTHING = Known()
_encode = msgspec.json.Encoder().encode


def name_of(root: Path) -> str:
    """Return the name of a store for aliases: that of its folder, or of the folder above the default name."""
    folder = root.parent if root.name == STORE_FOLDER else root
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", folder.name)[:100].strip("-") or "store"


class StoreSource:
    """Runs of a store.

    The journals are written when the source is made. Contents are read from the store when they are needed.

    Args:
        store: The store. Its journals must be applied, and sealed unless it is a private copy.
        runs: The runs.
        staging: Temporary files for the journals.
        known: What is left out.
        origin: Name of the store; None for that of its folder.
        visible: Leave out the artifacts of other projects. Packs are then taken apart, because a pack can
            have contents of projects that are not visible.

    Attributes:
        manifest: See ``Source``.
        problems: One line for each artifact or file whose content is not in the store.
    """

    def __init__(
        self,
        store: Store,
        runs: Sequence[StoredRun],
        staging: Staging,
        known: Known = NOTHING,
        origin: str | None = None,
        visible: Visible = EVERYTHING,
    ) -> None:
        self._store = store
        self._staging = staging
        self._known = known
        self._needed: dict[str, int] = {}
        self._problems: dict[str, None] = {}
        self._takes_packs_apart = not visible.everything
        self._manifests: dict[str, bytes] = {}
        self._pieces: dict[str, Piece] = {}
        origin = origin or name_of(store.layout.source)
        rest = [replay_run(store, run.number, with_artifact_edits=True, visible=visible) for run in runs]
        # A run that was copied before has such a segment already.
        left_out = {*known.segments, *(replay.segment for replay in rest)}
        journals = [
            self._write(replay_segment(store, number, origin, visible))
            for run in runs
            for number, segment, sealed in run.segments
            if sealed and segment not in left_out
        ]
        # These records name artifacts of other runs, which the receiver must have before.
        for replay in rest:
            self._problems |= dict.fromkeys(replay.left_out)
            if replay.records and replay.segment not in known.segments:
                journals.append(self._write(replay))
        known_contents = set(known.contents)
        self.manifest = Manifest(
            bundle=os.urandom(16).hex(),
            created_at=time.time(),
            store=str((check_description(Layout(store.layout.source)) or {}).get("id", "")),
            origin=origin,
            after=[*known.bundles],
            runs=[describe_run(run) for run in runs],
            journals=journals,
            contents=[Content(*each) for each in self._needed.items() if each[0] not in known_contents],
            left_out=len(self._problems),
            needs=[sha256 for sha256 in self._needed if sha256 in known_contents],
        )
        self.problems = list(self._problems)

    def journal(self, segment: str) -> Path:
        """Return the file with the journal of a segment."""
        return self._staging.path(segment)

    def contents(self) -> Iterator[tuple[Content, Iterator[bytes]]]:
        """Yield each content with its bytes."""
        for content in self.manifest.contents:
            yield content, self._chunks(content.sha256)

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        if sha256 in self._manifests:
            return iter([self._manifests[sha256]])
        piece = self._pieces.get(sha256)
        if piece is not None:
            return self._store.blobs.chunks(*piece)
        return self._store.blobs.chunks(sha256)

    def _write(self, replay: Replay) -> BundledJournal:
        if self._takes_packs_apart:
            replay = replay._replace(records=map(self._without_packs, replay.records))
        path = self.journal(replay.segment)
        write_journal(path, replay, self._note)
        self._problems |= dict.fromkeys(replay.left_out)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return BundledJournal(replay.segment, path.stat().st_size, digest.hexdigest())

    def _without_packs(self, record: Record) -> Record:
        """Return a record whose artifact has each small file as a content of its own."""
        if not isinstance(record, ArtifactLogged):
            return record
        manifest = read_manifest(self._store.blobs, record.manifest)
        for entry in manifest.entries:
            if entry.pack is not None:
                self._pieces[entry.sha256] = Piece(entry.pack, entry.offset, entry.size)
        entries = [msgspec.structs.replace(entry, pack=None, offset=0) for entry in manifest.entries]
        data = _encode(msgspec.structs.replace(manifest, entries=entries))
        sha256 = hashlib.sha256(data).hexdigest()
        self._manifests[sha256] = data
        return msgspec.structs.replace(record, manifest=sha256)

    def _note(self, record: Record) -> None:
        """Note the contents that a record names."""
        if isinstance(record, FileSaved):
            self._needed[record.sha256] = record.size
        elif isinstance(record, ArtifactLogged):
            data = b"".join(self._chunks(record.manifest))
            for entry in parse_manifest(data, record.manifest).entries:
                if entry.blob is not None:
                    path = self._store.blobs.path(entry.blob)
                    known = entry.pack is None or not path.exists()
                    self._needed[entry.blob] = entry.size if known else path.stat().st_size
            self._needed[record.manifest] = len(data)


def describe_run(run: StoredRun) -> BundledRun:
    """Return a run as the manifest lists it."""
    sealed = [segment for _, segment, is_sealed in run.segments if is_sealed]
    return BundledRun(*run.name, sealed, len(sealed) == len(run.segments))
