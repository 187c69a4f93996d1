"""The public names of ``wandb.apis.public``."""

from __future__ import annotations

from tracker.api.api import Api
from tracker.api.attrs import Attrs
from tracker.api.collections import ArtifactCollection, ArtifactType
from tracker.api.console import ConsoleLogLine, ConsoleLogs
from tracker.api.files import File, Files
from tracker.api.history import DownloadHistoryResult, HistoryScan, IncompleteRunHistoryError
from tracker.api.projects import Project, Projects
from tracker.api.run import Run
from tracker.api.runs import Runs
from tracker.api.summary import Summary, SummarySubDict
from tracker.api.sweeps import Sweep
from tracker.api.users import Team, User
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiNotFoundError as RunNotFoundError

HTTPSummary = Summary
ArtifactCollections = ArtifactTypes = Artifacts = RunArtifacts = ProjectArtifactCollections = PaginatedList
PublicApi = Api

__all__ = [
    "Api",
    "ArtifactCollection",
    "ArtifactCollections",
    "ArtifactType",
    "ArtifactTypes",
    "Artifacts",
    "Attrs",
    "ConsoleLogLine",
    "ConsoleLogs",
    "DownloadHistoryResult",
    "File",
    "Files",
    "HTTPSummary",
    "HistoryScan",
    "IncompleteRunHistoryError",
    "Project",
    "ProjectArtifactCollections",
    "Projects",
    "PublicApi",
    "Run",
    "RunArtifacts",
    "RunNotFoundError",
    "Runs",
    "Summary",
    "SummarySubDict",
    "Sweep",
    "Team",
    "User",
]
