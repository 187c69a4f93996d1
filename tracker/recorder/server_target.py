"""``ServerTarget``: a server that the journals and blobs of an outbox are sent to.

For each journal, the server reports how many bytes it has and their SHA-256. If the same number of bytes of
the journal here has this SHA-256, the rest is sent.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tracker.ground.http import Client
from tracker.recorder.outbox import Remote
from tracker.recorder.outgoing_journal import GZIP, Needs, Outgoing, Received
from tracker.runstate.fold import Gone
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.finalize import FinalizedDraft, PackPosition

# Fewer bytes than this are sent as they are: compressed, they are hardly smaller.
FEWEST_PACKED = 256
# Number of digests in one request, which is then smaller than a megabyte.
ASKED_AT_ONCE = 10_000
# The server keeps the blobs that it has reported for at least a day (``tracker.store.gc.collect``). If
# sending the missing blobs takes longer than this, ask again.
LONGEST_TRUST = 3600.0


class ServerTarget:
    """Sends parts of an outbox to a server. All methods raise CommError as ``tracker.ground.http`` does.

    Args:
        remote: The server.
        blobs: The blobs to send.
        note_progress: Called when the server has accepted bytes.
    """

    # The recorder waits at least this long between two rounds.
    shortest_wait = 0.1

    def __init__(self, remote: Remote, blobs: BlobStore, note_progress: Callable[[], None]) -> None:
        self._blobs = blobs
        self._note_progress = note_progress
        self._client = Client(remote.url, remote.key)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def received(self, known: Outgoing) -> Received:
        """Return the part of a journal that the server has."""
        return msgspec.convert(self._client.get("ingest", "journals", known.name), Received)

    def is_current(self, known: Outgoing) -> bool:
        """Return True: if another sender has continued, ``append`` raises ConflictError."""
        return True

    def append(self, known: Outgoing, data: bytes) -> Received:
        """Append bytes to a journal, or show that its writer lives; return the part that the server has."""
        packed = gzip.compress(data, 6, mtime=0) if known.compressed and len(data) >= FEWEST_PACKED else data
        answer = self._client.send(
            "POST",
            "ingest",
            "journals",
            known.name,
            data=packed,
            encoding="" if packed is data else GZIP,
            offset=known.sent,
            digest=known.digest.hexdigest(),
        )
        return msgspec.convert(answer, Received)

    def delete_sent(self, known: Outgoing, needs: Needs) -> None:
        """Delete nothing: the outbox keeps content until garbage collection, in case the server loses it."""

    def make_room(self) -> None:
        """Do nothing: an outbox has no reserve."""

    def end(self, segment: str, gone: Gone | None) -> None:
        """Report that the writer of a segment is dead, and why if that is known."""
        body: dict[str, Any] = {"state": "crashed"}
        if gone is not None:
            body |= msgspec.to_builtins(gone)
        self._client.post("ingest", "segments", segment, "end", body=body)

    def clean_up(self) -> None:
        """Do nothing: only the journals of a sent segment are deleted."""

    def was_moved(self, found: FinalizedDraft) -> bool:
        """Return False: ``delete_sent`` deletes nothing."""
        return False

    def record_draft(self, token: str, found: FinalizedDraft) -> None:
        """Send the result of a draft."""
        self._client.post("ingest", "drafts", token, body=msgspec.to_builtins(found))

    def known_places(
        self, names: list[str], versions: list[str], again: bool = False
    ) -> dict[str, PackPosition]:
        """Return the places of the small contents that the server has.

        Args:
            names: SHA-256 of each content.
            versions: Full names of the versions that some of the contents come from.
            again: Not used.
        """
        found: dict[str, PackPosition] = {}
        for start in range(0, len(names), ASKED_AT_ONCE):
            asked = {"sha256": names[start : start + ASKED_AT_ONCE], "versions": versions}
            answer = self._client.post("ingest", "blobs", "places", body=asked)["places"]
            found.update({name: (pack, offset) for name, (pack, offset) in answer.items()})
        return found

    def send_blobs(self, names: list[str], versions: Sequence[str] = ()) -> list[str]:
        """Send the blobs that the server lacks; return those that are missing here too.

        Args:
            names: SHA-256 of each blob.
            versions: Full names of the versions that some of the blobs come from.
        """
        body = {"sha256": names, "versions": [*versions]}
        while names:
            began = time.monotonic()
            missing = self._client.post("ingest", "blobs", "missing", body=body)["missing"]
            here = [name for name in missing if self._blobs.has(name)]
            for name in here:
                self._send_blob(name)
            if not here or time.monotonic() - began < LONGEST_TRUST:
                return [name for name in missing if name not in here]
        return []

    def _send_blob(self, name: str) -> None:
        path = self._blobs.path(name)
        if path.exists():
            self._client.send_file("PUT", "ingest", "blobs", name, file=path, sent=self._note_progress)
        else:  # a small content in a pack
            self._client.send("PUT", "ingest", "blobs", name, data=self._blobs.read(name))
