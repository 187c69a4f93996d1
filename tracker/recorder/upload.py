"""Sending the runs of a store to a server: runs with ``mode="offline"``, and all others that have ended.

Each segment is written again as a journal, in ``STORE/sending/SERVER``, and sent like a journal of an outbox.
A journal that was not sent completely stays there, and the next upload sends it first. The server reports
which segments it has, so nothing is sent twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import select

from tracker.errors import CommError, Error, NotFoundError
from tracker.ground.http import Client
from tracker.ground.names import RunPath
from tracker.ground.records import Record, pack
from tracker.journal.writer import JournalWriter
from tracker.recorder.outbox import Remote
from tracker.recorder.send import Sender
from tracker.recorder.server_target import ASKED_AT_ONCE
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.ingest.seal import has_all_records
from tracker.store.objects.atomic_files import make_folder, sync_file, sync_folder
from tracker.store.objects.layout import Layout
from tracker.store.recovery.replay import Replay, replay_run, replay_segment, was_moved
from tracker.store.store import Store

# Name of the host folder for journals that were written again.
REPLAYED = "@replay"


class Uploaded(NamedTuple):
    """Result of an upload.

    Attributes:
        sent: Runs that are now complete on the server, and for which data was sent.
        known: Runs that were already complete on the server.
        deleted: Runs that were deleted on the server. They are not sent again.
        live: Runs that have not ended or were not applied completely. Only their ended segments are sent.
        problems: One line for each item that could not be sent.
    """

    sent: list[RunPath]
    known: list[RunPath]
    deleted: list[RunPath]
    live: list[RunPath]
    problems: list[str]


class StoredRun(NamedTuple):
    """A run of a store.

    Attributes:
        name: Entity, project and id.
        number: Number in the catalog.
        segments: For each segment its number in the catalog, its id, and whether it has all its records: it
            is sealed for good. A private copy does not seal: there it has ended.
    """

    name: RunPath
    number: int
    segments: list[tuple[int, str, bool]]


def upload(
    store: Store,
    remote: Remote,
    wanted: Collection[RunPath] | None = None,
    note: Callable[[str], None] = lambda _: None,
    origin: str | None = None,
) -> Uploaded:
    """Send runs to a server. Data that the server already has is not sent again.

    Args:
        store: The store. Its journals must be applied, and sealed unless it is a private copy.
        remote: The server.
        wanted: Send only these runs (entity, project, id); None for all.
        note: Called with the path of each run when its first segment was sent.
        origin: Name of the store, for a copy that keeps the numbers of versions and the edits of artifacts.

    Raises:
        CommError: The server cannot be reached, refuses the key, or is too old. The server keeps the data
            that was sent, and the next call sends the rest.
    """
    runs = [run for run in list_runs(store) if wanted is None or run.name in wanted]
    upload = _Upload(store, remote, origin)
    try:
        return upload.send(runs, note)
    finally:
        upload.close()


class _Upload:
    def __init__(self, store: Store, remote: Remote, origin: str | None) -> None:
        self._store = store
        self._origin = origin
        self._layout = Layout(store.root / "sending" / quote(remote.url, safe=""))
        self._layout.make()
        self._client = Client(remote.url, remote.key)
        self._sender = Sender(self._layout, remote, source=store.blobs)
        self._problems: dict[str, None] = {}

    def send(self, runs: Sequence[StoredRun], note: Callable[[str], None]) -> Uploaded:
        self._sender.poll(patient=False)  # send journals that an earlier call has left
        found = Uploaded([], [], [], [], [])
        known = self._ask([segment for run in runs for _, segment, sealed in run.segments if sealed])
        changed: set[int] = set()
        failed: set[int] = set()

        def send(run: StoredRun, replay: Replay) -> None:
            if not self._send(replay):
                failed.add(run.number)
            elif run.number not in changed:
                changed.add(run.number)
                note("/".join(run.name))

        edits = self._origin is not None
        whole = [(run, replay_run(self._store, run.number, with_artifact_edits=edits)) for run in runs]
        # A run that came from another store has such a segment already.
        rest = {replay.segment for _, replay in whole}
        for run in runs:
            states = {known.get(segment) for _, segment, sealed in run.segments if sealed}
            if "deleted" in states:
                found.deleted.append(run.name)
                continue
            for number, segment, sealed in run.segments:
                if sealed and segment not in known and segment not in rest:
                    send(run, replay_segment(self._store, number, self._origin))
        # Records about artifacts of other runs are sent after all runs, so that these artifacts exist there.
        whole = [(run, replay) for run, replay in whole if run.name not in found.deleted]
        known = self._ask([replay.segment for _, replay in whole if replay.records])
        for run, replay in whole:
            self._problems |= dict.fromkeys(replay.left_out)
            if replay.records and replay.segment not in known:
                if run.number not in changed and self._is_elsewhere(run):
                    name = "/".join(run.name)
                    problem = f"run {name} was moved here after it was sent: move it on the server too"
                    self._problems[problem] = None
                    failed.add(run.number)
                else:
                    send(run, replay)
            if not all(sealed for _, _, sealed in run.segments):
                found.live.append(run.name)
            elif run.number in changed:
                found.sent.append(run.name)
            elif run.number not in failed:
                found.known.append(run.name)
        return found._replace(problems=list(self._problems))

    def close(self) -> None:
        self._sender.close()
        self._client.close()

    def _ask(self, segments: list[str]) -> dict[str, str]:
        """Return the segments that need not be sent, each with the server's reason."""
        found: dict[str, str] = {}
        for start in range(0, len(segments), ASKED_AT_ONCE):
            body = {"segments": segments[start : start + ASKED_AT_ONCE]}
            try:
                found |= self._client.post("ingest", "segments", "known", body=body)["known"]
            except NotFoundError:
                raise CommError(
                    f"{self._client.url} runs an older version, which does not accept runs of a store. "
                    "Upgrade airgap-tracker there"
                ) from None
        return found

    def _is_elsewhere(self, run: StoredRun) -> bool:
        """Return whether the server has a run only under the name that the run had before it was moved."""
        if not was_moved(self._store, run.number):
            return False
        entity, project, run_id = run.name
        try:
            self._client.get("projects", entity, project, "runs", run_id)
        except NotFoundError:
            return True
        return False

    def _send(self, replay: Replay) -> bool:
        """Write a segment as a journal and send it; return whether the server has all of it."""
        self._problems |= dict.fromkeys(replay.left_out)
        path = self._layout.journal(REPLAYED, replay.segment, 0)
        try:
            if not path.exists():
                self._write(path, replay)
            self._sender.poll(patient=False)
        except CommError:
            raise
        except (Error, OSError) as error:
            self._problems[f"segment {replay.segment}: {error}"] = None
            return False
        self._problems |= {f"{name}: {fault}": None for name, fault in self._sender.faults.items()}
        return not path.exists()

    def _write(self, path: Path, replay: Replay) -> None:
        """Write a segment's journal under a temporary name, then rename it, so that it is always complete."""
        make_folder(path.parent)
        temporary = self._layout.new_temporary()
        try:
            write_journal(temporary, replay)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_journal(path: Path, replay: Replay, note: Callable[[Record], object] = lambda _: None) -> None:
    """Write the records of a segment to a new journal, and force it to the disk.

    Args:
        path: The journal. It must not exist.
        replay: The segment.
        note: Called with each record.
    """
    writer = JournalWriter(path, replay.segment)
    try:
        for record in replay.records:
            note(record)
            writer.append(pack(record))
    finally:
        writer.close()
    sync_file(path)


def list_runs(store: Store, name: RunPath | None = None) -> list[StoredRun]:
    """Return the store's runs with their segments, oldest first.

    Args:
        store: The store.
        name: Return only this run; None for all runs.
    """
    one = (Project.entity, Project.name, Run.run_id) if name is not None else ()
    only = [column == part for column, part in zip(one, name or (), strict=True)]
    with store.reading() as session:
        names = {
            number: (entity, project, run_id)
            for number, entity, project, run_id in session.execute(
                select(Run.id, Project.entity, Project.name, Run.run_id)
                .join(Project, Project.id == Run.project_id)
                .where(*only)
                .order_by(Run.created_at, Run.id)
            )
        }
        # More records of these sealed segments may come, and a segment is sent only once.
        silent = {each.segment for each in store.layout.list_silent()}
        segments: dict[int, list[tuple[int, str, bool]]] = {number: [] for number in names}
        for number, segment, sealed, run in session.execute(
            select(Segment.id, Segment.segment, Segment.sealed, Segment.run_id)
            .where(Segment.run_id.in_(names) if only else Segment.run_id.is_not(None))
            .order_by(Segment.started_at, Segment.id)
        ):
            assert run is not None
            whole = sealed and segment not in silent
            if not sealed and store.layout.is_copy:
                whole = has_all_records(store, session.get_one(Segment, number))
            segments[run].append((number, segment, whole))
    return [StoredRun(name, number, segments[number]) for number, name in names.items()]
