"""Checks of what a sender without all rights sends: the projects and the contents that its records name."""

from __future__ import annotations

from sqlalchemy import select

from server.accounts.callers import Caller
from server.content_proofs import ContentProofs
from server.rights import require_role
from tracker.errors import ConflictError, JournalError, StoreError, UsageError
from tracker.ground.names import check_entity, check_project, check_run_id
from tracker.ground.people import ProjectPath
from tracker.ground.records import (
    ArtifactChanged,
    ArtifactLinked,
    ArtifactLogged,
    ArtifactUsed,
    FileSaved,
    Record,
    RunStarted,
    decode,
    is_row,
)
from tracker.journal.reader import Frame, read_frames
from tracker.store.blobs.finalize import read_finalized
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.store import Store


class SenderChecks:
    """The checks of one sender.

    Args:
        store: The store of the server.
        proofs: The contents that senders have proven to have.
        caller: The sender.
    """

    def __init__(self, store: Store, proofs: ContentProofs, caller: Caller) -> None:
        self._store = store
        self._proofs = proofs
        self._caller = caller

    def project_of(self, segment: str, last: int) -> ProjectPath | None:
        """Return the project of a segment; None if it has no run, or if its run is deleted.

        Args:
            segment: Id of the segment.
            last: Number of the last journal to read if the records are not applied yet.
        """
        query = (
            select(Project.entity, Project.name)
            .join_from(Segment, Run, Run.id == Segment.run_id)
            .join(Project, Project.id == Run.project_id)
            .where(Segment.segment == segment)
        )
        with self._store.reading() as session:
            found = session.execute(query).first()
        return self._received_project(segment, last) if found is None else (found.entity, found.name)

    def hides(self, project: ProjectPath | None) -> bool:
        """Return whether to answer about a segment of a project as about an unknown segment.

        Args:
            project: The project; None if the segment is unknown.

        Raises:
            ForbiddenError: The caller can read the project, but not write to it.
        """
        if project is None:
            return False
        if self._caller.rights.role(*project) is None:
            return True
        require_role(self._caller, "writer", *project)
        return False

    def check_frames(self, project: ProjectPath | None, frames: list[Frame]) -> None:
        """Check the records of a request before any of its bytes is stored.

        Args:
            project: The project of the segment, which the caller may write to; None if it is unknown.
            frames: The frames of the request.

        Raises:
            UsageError: The segment has no run yet, and the first record does not name one. Or the projects in
                a record are unknown, because a newer tracker wrote it or because it names only an entity. Or
                a name is invalid.
            ForbiddenError: The caller does not have the role in a project that a record names.
            NotFoundError: The caller cannot read a project that a record names.
            ConflictError: The caller has not sent a content that a record names.
            ArtifactError: See ``ContentProofs.require_contents``.
        """
        records = [None if is_row(frame.payload) else _decode(frame) for frame in frames]
        if project is None and records and not isinstance(records[0], RunStarted):
            raise UsageError("The segment does not begin with the record of its run. Send this record first.")
        for record in records:
            self._check_projects(record)
        manifests = [self._manifest(record) for record in records if isinstance(record, ArtifactLogged)]
        files = [record.sha256 for record in records if isinstance(record, FileSaved)]
        self._proofs.require(self._caller, [*files, *filter(None, manifests)])
        for manifest in filter(None, manifests):
            self._proofs.require_contents(self._caller, manifest)

    def _check_projects(self, record: Record | None) -> None:
        caller = self._caller
        if isinstance(record, RunStarted):
            _check_names(record.entity, record.project)
            check_run_id(record.run_id)
        if isinstance(record, RunStarted | ArtifactChanged):
            require_role(caller, "writer", record.entity, record.project)
        elif isinstance(record, ArtifactUsed):
            require_role(caller, "viewer", record.entity, record.project)
        elif isinstance(record, ArtifactLinked):
            _check_names(record.target_entity, record.target_project)
            require_role(caller, "viewer", record.entity, record.project)
            require_role(caller, "writer", record.target_entity, record.target_project)
        elif isinstance(record, ArtifactLogged) and (record.entity or record.project):
            # The run was moved after it had logged the artifact.
            if not (record.entity and record.project):
                raise UsageError(
                    f"Artifact {record.name!r:.80} names half a project. Send entity and project."
                )
            _check_names(record.entity, record.project)
            require_role(caller, "writer", record.entity, record.project)

    def _manifest(self, record: ArtifactLogged) -> str | None:
        """Return the SHA-256 of the manifest of a logged artifact; None if its draft has failed."""
        if record.draft is None:
            return record.manifest
        found = read_finalized(self._store.layout, record.draft)
        if found is None:
            raise ConflictError(f"Draft {record.draft} is missing. Send it before the record that logs it.")
        return found.manifest if found.problem is None else None

    def _received_project(self, segment: str, last: int) -> ProjectPath | None:
        """Return the project that the journals of a segment name, before they are applied."""
        project = None
        for journal in self._store.layout.segment_journals(segment, last):
            try:
                for frame in read_frames(journal.path, segment, final=False):
                    if isinstance(frame, Frame) and not is_row(frame.payload):
                        record = decode(frame.payload)
                        if isinstance(record, RunStarted):
                            project = record.entity, record.project
            except (StoreError, FileNotFoundError):
                continue
        return project


def _check_names(entity: str, project: str) -> None:
    """Check the names of a project that a record can create."""
    check_entity(entity)
    check_project(project)


def _decode(frame: Frame) -> Record:
    try:
        return decode(frame.payload)
    except JournalError as error:
        raise UsageError(
            f"The journal has a record that this server does not know ({error.reason.partition('.')[0]}). "
            "Upgrade airgap-tracker on the server."
        ) from error
