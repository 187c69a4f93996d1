"""``Api``: read runs and artifacts of the local store, or of the server that is named."""

from __future__ import annotations

from typing import Any

from tracker.api.runs import PublicRun, Runs
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.reference import parse_reference
from tracker.errors import UsageError
from tracker.reading.open import open_reader
from tracker.settings import load_settings


class Api:
    """Reads what was logged, like ``wandb.Api``; needs no server.

    Every answer includes all that this host has logged, with a recorder or without.

    Args:
        overrides: ``entity``, ``project``, ``base_url``, ``dir`` or ``store``, over what variables say.

    Raises:
        StoreError: There is no store where the settings say.
    """

    def __init__(self, overrides: dict[str, Any] | None = None) -> None:
        self._settings = load_settings(**(overrides or {}))
        self._reader = open_reader(self._settings)

    @property
    def default_entity(self) -> str:
        """The entity used where a path names none."""
        return self._settings.entity

    def run(self, path: str) -> PublicRun:
        """Return one run: ``[[entity/]project/]id``.

        Raises:
            NotFoundError: There is no such run.
        """
        parts = path.strip("/").split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise UsageError(f"{path!r} names no run: write [[entity/]project/]id")
        entity, project = self._place(parts[:-1])
        return PublicRun(self._reader, self._reader.run(entity, project, parts[-1]))

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
        parts = path.strip("/").split("/") if path else []
        if len(parts) > 2:
            raise UsageError(f"{path!r} names no project: write [entity/]project")
        entity, project = self._place(parts)
        return Runs(self._reader, entity, project, filters, order, per_page)

    def artifact(self, name: str, type: str | None = None) -> Artifact:
        """Return an artifact version: ``[[entity/]project/]name[:version|alias|digest]``.

        Raises:
            NotFoundError: There is no such artifact, version or alias.
            UsageError: It is of another type than ``type``.
        """
        wanted = parse_reference(name, self._settings.entity, self._settings.project)
        artifact = Artifact.from_version(self._reader.artifact(*wanted), self._reader)
        if type is not None and artifact.type != type:
            raise UsageError(f"artifact {artifact.name} is of type {artifact.type!r}, not {type!r}")
        return artifact

    def artifact_versions(self, type_name: str, name: str) -> list[Artifact]:
        """Return all versions of a collection, newest first: ``[[entity/]project/]name``."""
        wanted = parse_reference(name, self._settings.entity, self._settings.project)
        found = self._reader.artifacts(wanted.entity, wanted.project, None, wanted.name)
        return [
            Artifact.from_version(
                self._reader.artifact(info.entity, info.project, info.name, info.version), self._reader
            )
            for info in found
            if info.type == type_name
        ]

    def _place(self, parts: list[str]) -> tuple[str, str]:
        entity = parts[0] if len(parts) == 2 else self._settings.entity
        return entity, parts[-1] if parts else self._settings.project
