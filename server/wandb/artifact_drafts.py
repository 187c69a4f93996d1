"""Artifacts that a client is sending: their state until the commit.

An artifact that is not committed yet is a draft of the store, in which the server writes:

drafts/TOKEN/wandb.json     name, aliases and other fields of the artifact
drafts/TOKEN/received       the contents that have arrived, one line for each
drafts/TOKEN/manifest-0     manifests of the client
drafts/TOKEN/0, 1, ..., pack    the contents, as in every draft
drafts/NOTE.json            which collection and digest the artifact has, for a day

The draft has no owner that could die, so garbage collection removes it when nothing has arrived for a week.
The token follows from the client's id of the artifact. Therefore a request that comes again, also to the
next server process, finds the same draft.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from tracker.errors import NotFoundError, UsageError
from tracker.ground.group_files import create
from tracker.store.blobs.drafts import PACK, PACKED_BELOW, Captured, DraftEntry, DraftFile
from tracker.store.objects.atomic_files import force, make_folder, publish, sync_file, write_new
from tracker.store.objects.digests import Digests, Hashing
from tracker.store.objects.layout import Layout

# Contents are hashed and written in pieces of this size.
PIECE = 1024 * 1024
# Locks of commits. Two artifacts rarely share one.
_COMMIT_LOCKS = 64
# Drafts whose received contents are remembered. Those of others are read again.
_MOST_KNOWN = 64
NOT_WAITING = "The upload of this artifact has ended: it was committed, or nothing arrived for a week."


class ClientManifest(msgspec.Struct):
    """A manifest of the client.

    Attributes:
        type: ``FULL``; ``INCREMENTAL``, which adds to a version; or ``PATCH``, one of several parts.
        base: Id of the version to which an incremental manifest adds.
    """

    type: str
    base: str | None = None


class Pending(msgspec.Struct):
    """``wandb.json``: an artifact before its commit.

    Attributes:
        entity: The entity of the collection.
        project: The project of the collection.
        name: The collection.
        artifact_type: The type.
        run: Id of the run; None as long as the client has not named one.
        client: Id of the client among several that write to the run; else empty.
        client_id: The client's id of the artifact.
        digest: Digest as the client has computed it; empty if it does not know all files.
        ttl: Seconds after which the version may be deleted; None: never.
        manifests: The manifests that the client sends.
    """

    entity: str
    project: str
    name: str
    artifact_type: str
    run: str | None
    client: str
    client_id: str
    digest: str
    aliases: list[str] = []
    tags: list[str] = []
    description: str | None = None
    metadata: dict[str, Any] = {}
    ttl: float | None = None
    manifests: list[ClientManifest] = []


class Note(msgspec.Struct):
    """Where the artifact with a token is.

    Attributes:
        place: Entity, project and name of the collection.
        digest: Digest of the version that it became, or that the client expects.
    """

    place: tuple[str, str, str]
    digest: str


_read_pending = msgspec.json.Decoder(Pending).decode
_read_note = msgspec.json.Decoder(Note).decode
_read_captured = msgspec.json.Decoder(Captured).decode


@dataclass
class _Contents:
    """The contents of a draft that have arrived, by MD5 in Base64."""

    known: dict[str, Captured] = field(default_factory=dict)
    files: int = 0
    packed: int = 0

    def add(self, taken: Captured) -> None:
        self.known[taken.md5] = taken
        if taken.file is not None:
            self.files = max(self.files, int(taken.file) + 1)
        else:
            self.packed = max(self.packed, taken.offset + taken.size)


def token_of(client_id: str, distributed: str = "") -> str:
    """Return the token of an artifact. Several processes that send one artifact share ``distributed``."""
    if not client_id and not distributed:
        return os.urandom(16).hex()
    text = f"distributed\0{distributed}" if distributed else client_id
    return hashlib.sha256(f"wandb artifact\0{text}".encode("utf-8", "replace")).hexdigest()[:32]


class ArtifactDrafts:
    """The artifacts that clients are sending to this store.

    Args:
        layout: The paths of the store.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._committing = [threading.Lock() for _ in range(_COMMIT_LOCKS)]
        self._contents: OrderedDict[str, _Contents] = OrderedDict()

    def begin(self, token: str, pending: Pending) -> None:
        """Write an artifact that a client begins to send."""
        with self._lock:
            make_folder(self._layout.draft(token))
            before = self._find(token)
            if before is not None:
                pending.manifests = before.manifests
                pending.run = pending.run or before.run
            self._write(self._layout.draft(token) / "wandb.json", pending)

    def find(self, token: str) -> Pending | None:
        """Return an artifact that was not committed yet; None if there is none."""
        with self._lock:
            return self._find(token)

    def get(self, token: str) -> Pending:
        """Return an artifact that was not committed yet.

        Raises:
            NotFoundError: There is none. It was committed, or nothing has arrived for a week.
        """
        found = self.find(token)
        if found is None:
            raise NotFoundError(NOT_WAITING)
        return found

    def add_manifest(self, token: str, run: str | None, manifest: ClientManifest) -> int:
        """Note a manifest that a client is going to send; return its number.

        Args:
            token: Token of the artifact.
            run: Id of the run.
            manifest: The manifest. Only a part is always a new one.
        """
        with self._lock:
            pending = self._find(token)
            if pending is None:
                raise NotFoundError(NOT_WAITING)
            pending.run = pending.run or run
            types = [each.type for each in pending.manifests]
            if manifest.type != "PATCH" and manifest.type in types:
                number = types.index(manifest.type)
                if pending.manifests[number] == manifest:
                    return number  # the client has asked before, without an address
                pending.manifests[number] = manifest
            else:
                number = len(types)
                pending.manifests.append(manifest)
            self._write(self._layout.draft(token) / "wandb.json", pending)
            return number

    def manifest_path(self, token: str, number: int) -> Path:
        """Return the path of a manifest."""
        return self._layout.draft(token) / f"manifest-{number}"

    def received(self, token: str) -> dict[str, Captured]:
        """Return the contents that have arrived, by MD5."""
        with self._lock:
            return dict(self._load(token).known)

    def receive(self, token: str) -> Receiving:
        """Return a content of an artifact that arrives. Use it as a context manager."""
        make_folder(self._layout.temporary, durable=False)
        return Receiving(self, token, self._layout.new_temporary())

    def take_bytes(self, token: str, data: bytes, found: Digests) -> None:
        """Store a small content in the pack of a draft.

        Args:
            token: Token of the artifact.
            data: The content.
            found: Its digests.
        """
        with self._lock:
            contents = self._load(token)
            if found.md5 in contents.known:
                return
            with open(self._layout.draft(token) / PACK, "r+b", opener=create) as file:
                file.seek(contents.packed)  # after a kill, the pack can have more
                file.write(data)
                file.truncate()
            self._note(token, Captured(found.size, None, contents.packed, found.md5, found.sha256))

    def take_file(self, token: str, path: Path, found: Digests) -> None:
        """Make a finished file a content of a draft.

        Args:
            token: Token of the artifact.
            path: The file.
            found: The digests of its content.
        """
        with self._lock:
            contents = self._load(token)
            if found.md5 in contents.known:
                return
            name = str(contents.files)
            os.replace(path, self._layout.draft(token) / name)
            self._note(token, Captured(found.size, name, 0, found.md5, found.sha256))

    def committing(self, token: str) -> threading.Lock:
        """Return the lock of a commit. A client asks again if a commit takes longer than 30 s."""
        return self._committing[int(token[:8], 16) % _COMMIT_LOCKS]

    def finish(self, token: str, entries: list[DraftEntry]) -> None:
        """Force all contents to the disk and write ``draft.json``. After that a record may name the draft."""
        folder = self._layout.draft(token)
        for name in {each.captured.file or PACK for each in entries if each.captured is not None}:
            sync_file(folder / name)
        self._write(folder / "draft.json", DraftFile(entries))

    def forget(self, token: str) -> None:
        """Forget the contents of a draft that became a version."""
        with self._lock:
            self._contents.pop(token, None)

    def write_note(self, token: str, note: Note) -> None:
        """Write where an artifact is. A power loss may take the note, which only tells a repetition."""
        temporary = self._layout.new_temporary()
        with open(temporary, "xb", opener=create) as file:
            file.write(msgspec.json.encode(note))
        os.replace(temporary, self._note_path(token))

    def read_note(self, token: str) -> Note | None:
        """Return where an artifact is; None if it is unknown or was sent more than a day ago."""
        with suppress(OSError, msgspec.DecodeError):
            return _read_note(self._note_path(token).read_bytes())
        return None

    def _note_path(self, token: str) -> Path:
        # Not the path of the draft's own note, which is deleted when the segment of the run is sealed.
        name = hashlib.sha256(f"wandb note\0{token}".encode()).hexdigest()[:32]
        return self._layout.finalized(name)

    def _find(self, token: str) -> Pending | None:
        with suppress(FileNotFoundError):
            return _read_pending((self._layout.draft(token) / "wandb.json").read_bytes())
        return None

    def _write(self, path: Path, value: Any) -> None:
        data = msgspec.json.encode(value)
        if isinstance(value, Pending):
            try:
                _read_pending(data)
            except msgspec.ValidationError as error:
                raise UsageError(f"The artifact has an invalid value: {error}") from None
        temporary = self._layout.new_temporary()
        write_new(temporary, data)
        publish(temporary, path)

    def _load(self, token: str) -> _Contents:
        if self._find(token) is None:
            self._contents.pop(token, None)
            raise NotFoundError(NOT_WAITING)
        found = self._contents.get(token)
        if found is None:
            found = _Contents()
            with suppress(FileNotFoundError):
                for line in (self._layout.draft(token) / "received").read_bytes().splitlines():
                    # After a power loss, the line or the content can be missing: the client sends it again.
                    with suppress(msgspec.DecodeError, FileNotFoundError):
                        taken = _read_captured(line)
                        size = (self._layout.draft(token) / (taken.file or PACK)).stat().st_size
                        if size == taken.size or (taken.file is None and size >= taken.offset + taken.size):
                            found.add(taken)
            self._contents[token] = found
            while len(self._contents) > _MOST_KNOWN:
                self._contents.popitem(last=False)
        self._contents.move_to_end(token)
        return found

    def _note(self, token: str, taken: Captured) -> None:
        folder = self._layout.draft(token)
        line = b"\n" + msgspec.json.encode(taken)
        with open(folder / "received", "ab", buffering=0, opener=create) as file:
            file.write(line)
        os.utime(folder)  # garbage collection removes a draft to which nothing comes
        self._contents[token].add(taken)


class Receiving:
    """A content that arrives in pieces. A small one stays in memory; a large one is written to a file."""

    def __init__(self, drafts: ArtifactDrafts, token: str, temporary: Path) -> None:
        self._drafts = drafts
        self._token = token
        self._temporary = temporary
        self._file: IO[bytes] | None = None
        self._data = b""
        self._hashing = Hashing(small=False)

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._hashing.update(data)
        if self._file is None:
            self._data += data
            if len(self._data) < PACKED_BELOW:
                return
            self._file = open(self._temporary, "xb", opener=create)  # noqa: SIM115 - closed in __exit__
            data, self._data = self._data, b""
        self._file.write(data)

    def force(self) -> None:
        """Force what was written so far to the disk. Another thread may write meanwhile."""
        if self._file is not None:
            with suppress(OSError):  # the commit tries again, and reports it
                force(self._file.fileno())

    def keep(self, md5: str) -> None:
        """Make the content a part of the artifact.

        Args:
            md5: MD5 that the content must have, in Base64.

        Raises:
            UsageError: It has another one. Nothing is stored.
        """
        found = self._hashing.digests()
        if found.md5 != md5:
            raise UsageError(f"The content has the MD5 {found.md5}, but {md5} was announced.")
        if self._file is None:
            self._drafts.take_bytes(self._token, self._data, found)
        else:
            self._file.flush()
            self._drafts.take_file(self._token, self._temporary, found)

    def replace(self, path: Path, md5: str) -> None:
        """Make the content a file of its own. See ``keep``; an empty ``md5`` is not checked."""
        found = self._hashing.digests()
        if md5 and found.md5 != md5:
            raise UsageError(f"The content has the MD5 {found.md5}, but {md5} was announced.")
        if self._file is None:
            self._file = open(self._temporary, "xb", opener=create)  # noqa: SIM115 - closed in __exit__
            self._file.write(self._data)
        self._file.flush()
        os.replace(self._temporary, path)

    def __enter__(self) -> Receiving:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)
