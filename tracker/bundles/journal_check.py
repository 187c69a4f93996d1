"""The check of a journal from outside, before any of its records is applied."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tracker.bundles.manifest import BundleError
from tracker.errors import Error
from tracker.ground.names import RunPath, check_entity, check_project, check_run_id
from tracker.ground.records import (
    ArtifactChanged,
    ArtifactLinked,
    ArtifactLogged,
    ArtifactUsed,
    ConsoleLines,
    FileSaved,
    Record,
    Row,
    RunChanged,
    RunEdited,
    RunFinished,
    RunStarted,
    SegmentRestored,
    SystemSample,
    decode,
)
from tracker.journal.format import VERSION
from tracker.journal.reader import Frame, read_frames, read_header

# The kinds that the replay of a segment has. A deletion is not among them.
_ALLOWED = (
    *(Row, SystemSample, ConsoleLines, FileSaved, RunChanged, RunEdited, RunFinished, SegmentRestored),
    *(ArtifactLogged, ArtifactUsed, ArtifactLinked, ArtifactChanged),
)


class CheckedJournal(NamedTuple):
    """The content of a checked journal.

    Attributes:
        started: The first record.
        files: The records of files.
        artifacts: The records of logged artifacts, with their sequence numbers.
    """

    started: RunStarted
    files: list[FileSaved]
    artifacts: list[tuple[int, ArtifactLogged]]

    @property
    def run(self) -> RunPath:
        """Entity, project and id of the run."""
        return self.started.entity, self.started.project, self.started.run_id

    @property
    def contents(self) -> list[str]:
        """SHA-256 of the contents of the files, and of the manifests of the artifacts."""
        return [*(each.sha256 for each in self.files), *(each.manifest for _, each in self.artifacts)]


def check_journal(path: Path, segment: str) -> CheckedJournal:
    """Return what the journal of a segment contains.

    Raises:
        BundleError: The journal is not whole, or has a record that the replay of a run does not have.
    """
    try:
        return _check(path, segment)
    except BundleError:
        raise
    except Error as error:
        raise BundleError(f"segment {segment} cannot be imported: {error.message}") from error


def _check(path: Path, segment: str) -> CheckedJournal:
    header = read_header(path)
    if header is None or (header.segment, header.number, header.version) != (segment, 0, VERSION):
        raise _refused(segment, "its header is wrong")
    found: CheckedJournal | None = None
    for outcome in read_frames(path, segment, sequence=0, final=True):
        if not isinstance(outcome, Frame):
            raise _refused(segment, "its journal is damaged")
        record = decode(outcome.payload, str(path), outcome.offset)
        if found is None:
            found = CheckedJournal(_first(record, segment), [], [])
            continue
        if isinstance(record, FileSaved):
            found.files.append(record)
        elif isinstance(record, ArtifactLogged):
            found.artifacts.append((outcome.sequence, record))
        if not _is_allowed(record):
            raise _refused(segment, f"record {outcome.sequence} is not one of a copied run")
    if found is None:
        raise _refused(segment, "its journal is empty")
    return found


def _first(record: Record, segment: str) -> RunStarted:
    if not isinstance(record, RunStarted):
        raise _refused(segment, "its first record does not name the run")
    check_entity(record.entity)
    check_project(record.project)
    check_run_id(record.run_id)
    return record


def _is_allowed(record: Record) -> bool:
    if isinstance(record, ArtifactLogged):
        return record.draft is None
    return isinstance(record, _ALLOWED) and not (isinstance(record, ArtifactChanged) and record.deleted)


def _refused(segment: str, reason: str) -> BundleError:
    return BundleError(f"segment {segment} cannot be imported: {reason}. Create the bundle again.")
