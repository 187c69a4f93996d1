"""Records that only answers of the REST API contain. All other answers are the records of the readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tracker.ground.documents import DocumentInfo
from tracker.ground.read_models import (
    ProjectInfo,
    SystemMetrics,
    TablePage,
)
from tracker.ground.sweep_infos import SweepInfo


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the server: always ``ok``, with its version. A server that cannot read its store fails."""

    status: Literal["ok"]
    version: str


@dataclass(frozen=True, slots=True)
class SignInPlace:
    """Another system at which people can sign in.

    Attributes:
        name: Text of the button.
        url: Address on this server that sends the browser there. The query ``next`` names the path to show
            afterwards.
        problem: Why the last attempt of this server to reach the system failed; None if it did not fail.
    """

    name: str
    url: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Who calls the server.

    Attributes:
        key_required: Whether this server requires a key or a signed-in browser.
        signed_in: Whether the caller has sent a valid key, or is a signed-in browser.
        has_users: Whether the server has users, who sign in with a name and a password.
        user: Name of the user; None for the owner of the store, and for a key without a user.
        is_admin: Whether the caller may administrate the server.
        sign_in: Other systems at which people can sign in.
        in_place: Whether the server shows folders of other programs in place: see ``get_opened_folders``.
    """

    key_required: bool
    signed_in: bool
    has_users: bool
    user: str | None
    is_admin: bool
    sign_in: list[SignInPlace]
    in_place: bool


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file or folder that cannot be read, or only in part.

    Attributes:
        path: Its path on the machine of the server.
        problem: The reason.
    """

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class OpenedFolders:
    """The folders that ``tracker open`` shows in place, and how far they are read.

    Attributes:
        folders: The folders, on the machine of the server. Empty for a server of a store.
        files: Number of files with runs that were found.
        read: Number of files that were read to their end.
        growing: Number of files that grow.
        searched: Whether all folders were searched.
        problems: Files that cannot be read, or only in part. At most 100.
    """

    folders: list[str]
    files: int
    read: int
    growing: int
    searched: bool
    problems: list[FileProblem]


@dataclass(frozen=True, slots=True)
class Done:
    """The empty answer to a change that returns nothing."""


@dataclass(frozen=True, slots=True)
class WandbOperations:
    """The operations that clients have asked this server process for, with the number of times.

    Attributes:
        answered: Operations that were answered.
        unknown: Fields, arguments and mutations that the server does not know, and newer clients ask for.
    """

    answered: dict[str, int]
    unknown: dict[str, int]


@dataclass(frozen=True, slots=True)
class ProjectList:
    """All projects, the most recently changed first."""

    projects: list[ProjectInfo]


@dataclass(frozen=True, slots=True)
class DocumentList:
    """Documents of a project without their contents, the last changed first."""

    documents: list[DocumentInfo]


@dataclass(frozen=True, slots=True)
class SweepList:
    """Sweeps of a project with their trials, the newest first."""

    sweeps: list[SweepInfo]


@dataclass(frozen=True, slots=True)
class HistoryRows:
    """Rows of a run's history by key, in the order of their steps."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class LoggedObject:
    """A logged object (media, a histogram) and its step. Each ``path`` in it has a ``url`` next to it."""

    step: int
    value: Any


@dataclass(frozen=True, slots=True)
class LoggedObjects:
    """The logged objects of a key by step."""

    key: str
    steps: list[LoggedObject]


@dataclass(frozen=True, slots=True)
class LoggedObjectsOfRuns:
    """The logged objects of a key by step, for each run. ``missing`` are the runs that do not exist."""

    key: str
    runs: dict[str, list[LoggedObject]]
    missing: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedTablePage(TablePage):
    """A page of a table, with the address of the whole table."""

    url: str


@dataclass(frozen=True, slots=True)
class SystemMetricsList:
    """System metrics of a run, one entry for each writer (rank) and attempt."""

    segments: list[SystemMetrics]


@dataclass(frozen=True, slots=True)
class FactsFile:
    """A file with facts about the start of a run: its path, size in bytes, address and checksum."""

    path: str
    size: int
    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the start of a run.

    Attributes:
        metadata: Content of ``wandb-metadata.json``; None if the run has none.
        packages: Installed packages, as ``name==version``.
        files: The files that contain the facts, the git diff and the code.
    """

    metadata: Any
    packages: list[str]
    files: list[FactsFile]


@dataclass(frozen=True, slots=True)
class JournalState:
    """The received part of a journal: its length in bytes, its SHA-256 in hex, and accepted encodings."""

    offset: int
    digest: str
    encodings: list[str]


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """The recorded state of a segment whose writer died."""

    state: Literal["crashed"]


@dataclass(frozen=True, slots=True)
class KnownSegments:
    """The segments that need not be sent: ``stored`` here completely, or of a ``deleted`` run."""

    known: dict[str, Literal["stored", "deleted"]]


@dataclass(frozen=True, slots=True)
class MissingBlobs:
    """SHA-256 of the blobs that are not here."""

    missing: list[str]


@dataclass(frozen=True, slots=True)
class BlobPlaces:
    """Places of small contents by SHA-256: the SHA-256 of the pack (None for a blob), and the offset."""

    places: dict[str, tuple[str | None, int]]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that is now stored: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    size: int
