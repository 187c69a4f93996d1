"""``VersionFields``: the fields that an artifact has after it is logged, such as its version and times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TypeVar
from urllib.parse import quote

from tracker.errors import ArtifactError, ArtifactNotLoggedError
from tracker.ground.read_models import ArtifactDetail
from tracker.reading.reader import ArtifactReader

T = TypeVar("T", bound="VersionFields")
# Finds the version that a logged artifact became, and the reader of that version.
Resolve = Callable[[], tuple[ArtifactDetail, ArtifactReader]]


class VersionFields:
    """The fields of a logged artifact.

    Args:
        name: The name of the collection.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._version: ArtifactDetail | None = None
        self._reader: ArtifactReader | None = None
        self._logged = False
        self._finalized = False
        self._resolve: Resolve | None = None

    @property
    def name(self) -> str:
        """``NAME:vN`` of a version, ``NAME`` of a draft."""
        return f"{self._name}:{self._version.version}" if self._version else self._name

    @property
    def detail(self) -> ArtifactDetail:
        """All fields of the version."""
        return self._require_version("detail")

    @property
    def entity(self) -> str:
        """The entity of the project."""
        return self._require_version("entity").entity

    @property
    def project(self) -> str:
        """The project."""
        return self._require_version("project").project

    @property
    def qualified_name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN``."""
        version = self._require_version("qualified_name")
        return f"{version.entity}/{version.project}/{self.name}"

    @property
    def id(self) -> str | None:
        """The same as ``qualified_name``; None for a draft."""
        return self.qualified_name if self._version else None

    @property
    def version(self) -> str:
        """``v0``, ``v1``, ..."""
        return self._require_version("version").version

    @property
    def state(self) -> str:
        """``"PENDING"`` without a version, ``"COMMITTED"`` with a version, ``"DELETED"`` after ``delete``."""
        if self._version is None:
            return "PENDING"
        return "COMMITTED" if self._reader is not None else "DELETED"

    def is_draft(self) -> bool:
        """Return whether the artifact was not logged yet."""
        return not self._logged and self._version is None

    @property
    def is_link(self) -> bool:
        """Whether this version is a link to a version of another collection, as in a model registry."""
        return (self._logged or self._version is not None) and self._require_version(
            "is_link"
        ).source is not None

    @property
    def linked_at(self) -> str | None:
        """The time when the link was created, such as ``2026-01-31T12:00:00Z``; None without a link."""
        return self.created_at if self.is_link else None

    @property
    def commit_hash(self) -> str:
        """The hash of the version. Here this is the digest of its contents."""
        return self._require_version("commit_hash").digest

    @property
    def digest_algorithm(self) -> str:
        """The algorithm of the digests: wandb's name for MD5."""
        return "MANIFEST_MD5"

    @property
    def url(self) -> str:
        """The address of the version's page, or an empty string without a server."""
        version, base = self._require_version("url"), self._reader.url if self._reader is not None else None
        if base is None:
            return ""
        project_path = f"{quote(version.entity, safe='')}/{quote(version.project, safe='')}"
        return f"{base.rstrip('/')}/{project_path}?tab=artifacts&artifact={quote(self.name, safe='')}"

    @property
    def source_qualified_name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN`` of the source version of a link; for other versions, of itself."""
        return self._require_version("source_qualified_name").source or self.qualified_name

    @property
    def source_entity(self) -> str:
        """Entity of ``source_qualified_name``."""
        return self.source_qualified_name.split("/")[0]

    @property
    def source_project(self) -> str:
        """Project of ``source_qualified_name``."""
        return self.source_qualified_name.split("/")[1]

    @property
    def source_name(self) -> str:
        """``NAME:vN`` of ``source_qualified_name``; ``NAME`` of a draft."""
        if self.is_draft():
            return self._name
        return self.source_qualified_name.split("/")[2]

    @property
    def source_version(self) -> str:
        """``vN`` of ``source_qualified_name``."""
        return self.source_qualified_name.rpartition(":")[2]

    @property
    def created_at(self) -> str:
        """The time of logging, such as ``2026-01-31T12:00:00Z``."""
        return as_time(self._require_version("created_at").created_at)

    @property
    def updated_at(self) -> str:
        """The time of the last change of description, metadata, aliases or tags, in the same format."""
        return as_time(self._require_version("updated_at").updated_at)

    def wait(self: T, timeout: float | None = None) -> T:
        """Wait until the logged artifact has a version; return the artifact.

        Raises:
            ArtifactNotLoggedError: The artifact was not logged.
        """
        if self._version is None:
            if self._resolve is None:
                raise ArtifactNotLoggedError(
                    f"Artifact {self._name} was not logged. Call run.log_artifact(artifact) first."
                )
            self._set_version(*self._resolve())
        return self

    def _set_version(self, version: ArtifactDetail, reader: ArtifactReader) -> None:
        self._version, self._reader, self._logged = replace(version), reader, True

    def _require_version(self, feature: str) -> ArtifactDetail:
        self.wait()
        if self._version is None:
            raise ArtifactError(f"Artifact {self._name} has no {feature} before it is logged.")
        return self._version

    def _require_reader(self, feature: str) -> ArtifactReader:
        self._require_version(feature)
        if self._reader is None:
            raise ArtifactError(f"Artifact {self.name} was deleted.")
        return self._reader


def as_time(seconds: float) -> str:
    """Return Unix seconds in the format of wandb's API: UTC, such as ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
