"""``Api``: read runs and artifacts of the local store, or of the server that is named."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from tracker.api.collections import ArtifactCollection, ArtifactType
from tracker.api.place import parse_path, parse_project
from tracker.api.run import Run, as_artifact, as_detail
from tracker.api.runs import Runs
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.reference import parse_reference
from tracker.errors import ApiNotFoundError, NotFoundError, UsageError
from tracker.reading.files import FilesReader
from tracker.reading.open import open_artifacts, open_reader, remote_for
from tracker.reading.reader import Reader
from tracker.settings import load_settings

# What wandb's Api takes in ``overrides`` and means nothing here.
_PASSED_OVER = ("organization", "run", "_proxies", "timeout")


class Api:
    """Reads and edits what was logged, like ``wandb.Api``; needs no server.

    Every answer includes all that this host has logged, with a recorder or without. Nothing is cached: each
    call looks again.

    Args:
        overrides: ``entity``, ``project``, ``base_url``, ``dir`` or ``store``, over what variables say; what
            else wandb takes there is passed over.
        timeout: Accepted for compatibility.
        api_key: Key of the server.

    Raises:
        StoreError: There is no store where the settings say.
    """

    def __init__(
        self,
        overrides: dict[str, Any] | None = None,
        timeout: int | None = None,
        api_key: str | None = None,
    ) -> None:
        given = {key: value for key, value in (overrides or {}).items() if key not in _PASSED_OVER}
        if given.get("username") is not None:  # wandb's former name of it
            given.setdefault("entity", given["username"])
        given.pop("username", None)
        if api_key is not None:
            given["api_key"] = api_key
        self._settings = load_settings(**given)
        # On a node that only sees the folder, artifacts can be read; runs cannot.
        self._artifacts = open_artifacts(self._settings)

    @property
    def settings(self) -> dict[str, Any]:
        """``entity``, ``project`` and ``base_url`` (None without a server) that are in force."""
        return {
            "entity": self._settings.entity,
            "project": self._settings.project,
            "base_url": self._settings.base_url if remote_for(self._settings) is not None else None,
            "organization": None,
        }

    @property
    def api_key(self) -> str | None:
        """The key shown to the server; None without one."""
        return self._settings.api_key

    @cached_property
    def _reader(self) -> Reader:
        readable = not isinstance(self._artifacts, FilesReader)
        return cast(Reader, self._artifacts) if readable else open_reader(self._settings)

    @property
    def default_entity(self) -> str:
        """The entity used where a path names none."""
        return self._settings.entity

    def run(self, path: str = "") -> Run:
        """Return one run.

        Args:
            path: ``[[entity/]project/]id``, ``entity/project/runs/id``, ``project:id``, or the address of its
                page.

        Raises:
            ApiNotFoundError: There is no such run (wandb: CommError).
            ApiUsageError: The path names no run.
        """
        place = parse_path(path, self._settings.entity, self._settings.project)
        try:
            return Run(self._reader, self._reader.run(*place))
        except NotFoundError as error:
            raise ApiNotFoundError(error.message) from None

    def runs(
        self,
        path: str | None = None,
        filters: dict[str, Any] | None = None,
        order: str = "+created_at",
        per_page: int = 50,
        include_sweeps: bool = False,
        lazy: bool = True,
    ) -> Runs:
        """Return a project's runs that match; oldest first unless ``order`` says otherwise.

        Args:
            path: ``[entity/]project``.
            filters: Such as ``{"config.lr": {"$lt": 0.1}, "state": "finished"}``: MongoDB's query language
                over ``config.KEY``, ``summary_metrics.KEY``, ``tags``, ``state``, ``display_name``, ``name``
                (the id), ``group``, ``job_type``, ``created_at`` and others; docs/rest-api.md has them all.
            order: ``created_at``, ``config.KEY``, ``summary_metrics.KEY`` or another column; ``-`` turns it
                round.
            per_page: Runs fetched at once.
            include_sweeps: As in wandb; there are no sweeps yet.
            lazy: As in wandb; here runs always come whole.

        Raises:
            UsageError: The path is none, or (when the runs are looked at) filter or order are wrong.
        """
        entity, project = self._project(path)
        return Runs(self._reader, entity, project, filters, order, per_page)

    def artifact(self, name: str, type: str | None = None) -> Artifact:
        """Return an artifact version: ``[[entity/]project/]name[:version|alias|digest]``.

        Raises:
            NotFoundError: There is no such artifact, version or alias.
            UsageError: It is of another type than ``type``.
        """
        wanted = parse_reference(name, self._settings.entity, self._settings.project)
        found = self._artifacts.artifact(*wanted)
        artifact = Artifact.from_version(found, self._artifacts, lambda *place: self.run("/".join(place)))
        if type is not None and artifact.type != type:
            raise UsageError(f"artifact {artifact.name} is of type {artifact.type!r}, not {type!r}")
        return artifact

    def artifact_exists(self, name: str, type: str | None = None) -> bool:
        """Return whether there is such an artifact version, of that type if one is given."""
        try:
            self.artifact(name, type)
        except (NotFoundError, UsageError):
            return False
        return True

    def artifacts(
        self,
        type_name: str,
        name: str,
        order: str | None = None,
        per_page: int = 50,
        tags: str | list[str] | None = None,
        start: str | None = None,
    ) -> list[Artifact]:
        """Return all versions of a collection, newest first.

        Args:
            type_name: Their type.
            name: ``[[entity/]project/]name``.
            order: ``created_at`` for oldest first; newest first otherwise.
            per_page: Accepted for compatibility: they come all at once.
            tags: Only those that have all of these tags.
            start: Accepted for compatibility.
        """
        wanted = parse_reference(name, self._settings.entity, self._settings.project)
        needed = {tags} if isinstance(tags, str) else set(tags or ())
        found = [
            as_artifact(as_detail(info), self._reader)
            for info in self._reader.artifacts(wanted.entity, wanted.project, None, wanted.name)
            if info.type == type_name and needed <= set(info.tags)
        ]
        return found[::-1] if order in ("created_at", "+created_at", "+createdAt", "createdAt") else found

    def artifact_versions(self, type_name: str, name: str, per_page: int = 50) -> list[Artifact]:
        """Return all versions of a collection, newest first (wandb's older name of ``artifacts``)."""
        return self.artifacts(type_name, name)

    def artifact_types(self, project: str | None = None, start: str | None = None) -> list[ArtifactType]:
        """Return the types of a project's artifacts, by name."""
        entity, name = self._project(project)
        types = {found.type for found in self._reader.collections(entity, name, None)}
        return [ArtifactType(self, entity, name, each) for each in sorted(types)]

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType:
        """Return one type of a project's artifacts."""
        return ArtifactType(self, *self._project(project), type_name)

    def artifact_collections(
        self,
        project_name: str,
        type_name: str,
        order: str | None = None,
        per_page: int = 50,
        start: str | None = None,
    ) -> list[ArtifactCollection]:
        """Return a project's collections of a type, by name: ``[entity/]project``."""
        entity, project = self._project(project_name)
        return [
            ArtifactCollection(self, found) for found in self._reader.collections(entity, project, type_name)
        ]

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection:
        """Return one collection: ``[[entity/]project/]name``.

        Raises:
            NotFoundError: There is none of that name and type.
        """
        wanted = parse_reference(name, self._settings.entity, self._settings.project)
        for found in self._reader.collections(wanted.entity, wanted.project, type_name):
            if found.name == wanted.name:
                return ArtifactCollection(self, found)
        raise NotFoundError(
            f"there is no collection {wanted.entity}/{wanted.project}/{wanted.name} of type {type_name!r}"
        )

    def artifact_collection_exists(self, name: str, type: str) -> bool:
        """Return whether there is a collection of that name and type."""
        try:
            self.artifact_collection(type, name)
        except NotFoundError:
            return False
        return True

    def _project(self, path: str | None) -> tuple[str, str]:
        return parse_project(path, self._settings.entity, self._settings.project)
