"""``Api``: read runs and artifacts of the local store, or of the server that the settings name."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any, cast

from tracker.api.artifact_queries import ArtifactQueries
from tracker.api.paths import parse_path, parse_project
from tracker.api.projects import Project, Projects
from tracker.api.run import Run
from tracker.api.runs import Runs
from tracker.api.sweeps import Sweep
from tracker.api.unsupported import UnsupportedMethods
from tracker.api.users import Team, User
from tracker.errors import ApiNotFoundError, ApiUsageError, NotFoundError
from tracker.ground import public_package
from tracker.ground.names import check_entity, check_project, check_run_id, new_run_id, new_run_name
from tracker.ground.settings import load_settings
from tracker.reading.catalog_free import CatalogFreeReader
from tracker.reading.external_segment import begin_run
from tracker.reading.open_reader import open_artifacts, remote_for, used_store
from tracker.reading.reader import Reader
from tracker.version import __version__

# Keys of ``overrides`` that wandb's Api accepts and that have no effect here.
_IGNORED_OVERRIDES = ("organization", "run", "_proxies", "timeout")


class Api(ArtifactQueries, UnsupportedMethods):
    """Reads and edits runs and artifacts, like ``wandb.Api`` (wandb: ``apis/public/api.py``).

    ``Api`` works without a server. Every answer includes everything that this host has logged, whether or
    not a recorder runs. ``Api`` does not cache: each call reads again.

    Args:
        overrides: Values of ``entity``, ``project``, ``base_url`` or ``store`` that replace those of the
            environment variables. Other keys that wandb accepts here have no effect. The default store is
            the store of the latest run of this process.
        timeout: Accepted for compatibility.
        api_key: The API key of the server.

    Raises:
        ApiUsageError: ``overrides`` has the key ``dir``.
        StoreError: The folder that the settings name is not a store.
    """

    def __init__(
        self,
        overrides: dict[str, Any] | None = None,
        timeout: int | None = None,
        api_key: str | None = None,
    ) -> None:
        given = {key: value for key, value in (overrides or {}).items() if key not in _IGNORED_OVERRIDES}
        if given.get("username") is not None:  # wandb's former name of ``entity``
            given.setdefault("entity", given["username"])
        given.pop("username", None)
        if api_key is not None:
            given["api_key"] = api_key
        if given.get("dir") is not None:
            raise ApiUsageError("The override 'dir' is not supported. Use 'store', the folder of the store.")
        found = load_settings(**given)
        self._settings = found if given.get("store") is not None else used_store(found)
        self._artifacts = open_artifacts(self._settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The current ``entity``, ``project`` and ``base_url``; ``base_url`` is None without a server."""
        return {
            "entity": self._settings.entity,
            "project": self._settings.project,
            "base_url": self._settings.base_url if remote_for(self._settings) is not None else None,
            "organization": None,
        }

    @property
    def api_key(self) -> str | None:
        """The API key that is sent to the server, or None."""
        return self._settings.api_key

    @cached_property
    def _reader(self) -> Reader:  # type: ignore[override]
        if isinstance(self._artifacts, CatalogFreeReader):
            return self._artifacts.complete
        return cast(Reader, self._artifacts)

    @property
    def default_entity(self) -> str:
        """The entity of a path that does not name an entity."""
        return self._settings.entity

    def run(self, path: str = "") -> Run:
        """Return one run.

        Args:
            path: ``[[entity/]project/]id``, ``entity/project/runs/id``, ``project:id``, or the address of the
                run's page.

        Raises:
            ApiNotFoundError: The run does not exist. The error is also a CommError, which wandb raises.
            ApiUsageError: The path does not name a run.
        """
        run_path = parse_path(path, self._settings.entity, self._settings.project)
        try:
            return Run(self._reader, self._reader.run(*run_path))
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
        *,
        query: str = "",
    ) -> Runs:
        """Return the runs of a project that match ``filters``, by default the oldest first.

        Args:
            path: ``[entity/]project``.
            filters: A filter in MongoDB's query language, such as
                ``{"config.lr": {"$lt": 0.1}, "state": "finished"}``. Fields are ``config.KEY``,
                ``summary_metrics.KEY``, ``tags``, ``state``, ``display_name``, ``name`` (the id), ``group``,
                ``job_type``, ``created_at`` and others: see docs/rest-api.md.
            order: ``created_at``, ``config.KEY``, ``summary_metrics.KEY`` or another column. A leading ``-``
                reverses the order.
            per_page: The number of runs in one request.
            include_sweeps: Accepted for compatibility. ``Run.sweep`` always reads the sweep when it is used.
            lazy: Accepted for compatibility. Runs always have all their fields.
            query: Return only runs that also match this text, such as ``state:failed config.lr>0.01``: see
                docs/rest-api.md. Not in wandb.

        Raises:
            UsageError: The path is invalid. A wrong filter or order raises it too, but only when the runs
                are fetched.
        """
        entity, project = self._project(path)
        return Runs(self._reader, entity, project, filters, order, per_page, query)

    def project(self, name: str, entity: str | None = None) -> Project:
        """Return a project, even if it does not exist. ``Project.id`` raises an error for a missing project.

        Args:
            name: The name of the project.
            entity: The entity; by default that of the settings.
        """
        return Project(self, entity or self._settings.entity, name)

    def projects(self, entity: str | None = None, per_page: int = 200) -> Projects:
        """Return the projects of an entity, the most recently changed first."""
        wanted = entity or self._settings.entity
        found = [each for each in self._reader.projects() if each.entity == wanted]
        return Projects((Project(self, wanted, each.name, each) for each in found), per_page)

    def from_path(self, path: str) -> Run | Project | Sweep:
        """Return the project, run or sweep that a path names.

        Args:
            path: ``[entity/]project``, ``entity/project/[runs/]id`` or ``entity/project/sweeps/id``.

        Raises:
            ApiNotFoundError: The run or sweep does not exist.
            ApiUsageError: The path is invalid.
            UnsupportedError: The path names a report.
        """
        parts = path.strip("/ ").split("/")
        if len(parts) <= 2 and all(parts):
            return self.project(parts[-1], parts[0] if len(parts) == 2 else None)
        kind = parts[2] if len(parts) == 4 else "runs"
        if len(parts) in (3, 4) and kind.startswith("run"):
            return self.run("/".join((*parts[:2], parts[-1])))
        if kind.startswith("sweep"):
            return self.sweep("/".join((*parts[:2], parts[-1])))
        if kind.startswith("report"):
            self.reports(path)
        raise ApiUsageError(
            f"Invalid path {path!r}, should be ENTITY/PROJECT/TYPE/ID where TYPE is runs or sweeps"
        )

    def sweep(self, path: str = "") -> Sweep:
        """Return a sweep of the local store.

        Args:
            path: ``[[entity/]project/]id``.

        Raises:
            ApiNotFoundError: The sweep does not exist. The error is also a ValueError, which wandb raises.
            ApiUsageError: The path does not name a sweep.
        """
        return Sweep(self._reader, *parse_path(path, self._settings.entity, self._settings.project))

    def create_project(self, name: str, entity: str) -> None:
        """Check the names of a new project. The first run or artifact creates the project.

        Raises:
            UsageError: The name or the entity is not allowed.
        """
        check_entity(entity)
        check_project(name)

    def create_run(
        self, *, run_id: str | None = None, project: str | None = None, entity: str | None = None
    ) -> Run:
        """Create a run without rows and return it; ``init(id=run.id, resume="must")`` resumes the run.

        The run's state is ``"finished"`` until a process resumes the run. In wandb the state is
        ``"running"``, and later ``"crashed"``.

        Args:
            run_id: The id of the run; by default a new random id.
            project: The project; by default that of the settings.
            entity: The entity; by default that of the settings.

        Raises:
            UsageError: A name is not allowed, or the run exists already.
        """
        run_path = (
            check_entity(entity or self._settings.entity),
            check_project(project or self._settings.project),
            check_run_id(run_id) if run_id is not None else new_run_id(),
        )
        if run_id is not None:
            with suppress(NotFoundError):
                self._reader.run(*run_path)
                raise ApiUsageError(f"Run {'/'.join(run_path)} exists already. Use another id.")
        begin_run(self._reader, run_path, new_run_name())
        return Run(self._reader, self._reader.run(*run_path))

    def sync_tensorboard(
        self, root_dir: str, run_id: str | None = None, project: str | None = None, entity: str | None = None
    ) -> Run:
        """Create one run from all tfevents files in a folder and its subfolders; return the run.

        Args:
            root_dir: The folder. The path of a file's folder, relative to ``root_dir``, is the prefix of the
                file's tags.
            run_id: The id of the run; by default a new random id.
            project: The project; by default that of the settings.
            entity: The entity; by default that of the settings.

        Raises:
            UsageError: The folder does not contain a tfevents file.
            Error: The package tensorboard is not installed.
        """
        return self.run(
            public_package.package._sync_folder(root_dir, self._settings, run_id, project, entity)
        )

    @property
    def user_agent(self) -> str:
        """The name and version of this client. It names tracker, not wandb."""
        return f"tracker {__version__}"

    @property
    def viewer(self) -> User:
        """The current user. Users have no accounts here, so the user is the default entity."""
        return User(self._settings.entity)

    def user(self, username_or_email: str) -> User | None:
        """Return the user of an entity that has projects, or None if there is no such entity."""
        return next(iter(self.users(username_or_email)), None)

    def users(self, username_or_email: str) -> list[User]:
        """Return a list with the user of the entity of that name, or an empty list."""
        known = {each.entity for each in self._reader.projects()} | {self._settings.entity}
        return [User(username_or_email)] if username_or_email in known else []

    def team(self, team: str) -> Team:
        """Return the team of an entity."""
        return Team(team)

    def flush(self) -> None:
        """Do nothing. ``Api`` has no cache to clear."""

    def _project(self, path: str | None) -> tuple[str, str]:
        return parse_project(path, self._settings.entity, self._settings.project)
