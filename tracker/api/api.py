"""``Api``: runs and artifacts of the local store, or of the server that is named."""

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
from tracker.reading.open_reader import open_artifacts, open_reader, remote_for, used_store
from tracker.reading.reader import Reader
from tracker.version import __version__

# What wandb's Api takes in ``overrides`` and means nothing here.
_PASSED_OVER = ("organization", "run", "_proxies", "timeout")


class Api(ArtifactQueries, UnsupportedMethods):
    """Reads and edits what was logged, like ``wandb.Api``; needs no server.

    Every answer includes all that this host has logged, with a recorder or without. Nothing is cached: each
    call looks again.

    Args:
        overrides: ``entity``, ``project``, ``base_url`` or ``store``, over what variables say; what else
            wandb takes there is passed over. Without ``store``: that of the latest run of this process.
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
        if given.get("dir") is not None:
            raise ApiUsageError("dir is not where the store is: give store, the folder of the store itself")
        found = load_settings(**given)
        self._settings = found if given.get("store") is not None else used_store(found)
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
    def _reader(self) -> Reader:  # type: ignore[override]
        readable = not isinstance(self._artifacts, CatalogFreeReader)
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
            include_sweeps: As in wandb; here a run's ``sweep`` is looked up when it is asked for.
            lazy: As in wandb; here runs always come whole.

        Raises:
            UsageError: The path is none, or (when the runs are looked at) filter or order are wrong.
        """
        entity, project = self._project(path)
        return Runs(self._reader, entity, project, filters, order, per_page)

    def project(self, name: str, entity: str | None = None) -> Project:
        """Return a project, whether it is there or not: its ``id`` says so."""
        return Project(self, entity or self._settings.entity, name)

    def projects(self, entity: str | None = None, per_page: int = 200) -> Projects:
        """Return an entity's projects, the most recently changed first."""
        wanted = entity or self._settings.entity
        found = [each for each in self._reader.projects() if each.entity == wanted]
        return Projects((Project(self, wanted, each.name, each) for each in found), per_page)

    def from_path(self, path: str) -> Run | Project | Sweep:
        """Return what a path names: ``[entity/]project``, ``entity/project/[runs/]id``.

        Raises:
            ApiUsageError: It names nothing.
            UnsupportedError: It names a report.
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
            ApiNotFoundError: There is no such sweep (wandb: ValueError).
            ApiUsageError: The path names none.
        """
        return Sweep(self._reader, *parse_path(path, self._settings.entity, self._settings.project))

    def create_project(self, name: str, entity: str) -> None:
        """Check the names of a new project: it is there with its first run or artifact.

        Raises:
            UsageError: A name is not allowed.
        """
        check_entity(entity)
        check_project(name)

    def create_run(
        self, *, run_id: str | None = None, project: str | None = None, entity: str | None = None
    ) -> Run:
        """Make a run without rows and return it; ``init(id=run.id, resume="must")`` goes on with it.

        Its state is ``"finished"`` until somebody does; wandb's is ``"running"``, then ``"crashed"``.

        Args:
            run_id: Its id; a new one unless given.
            project: Its project; that of the settings unless given.
            entity: Whose project; that of the settings unless given.

        Raises:
            UsageError: A name is not allowed, or there is such a run.
        """
        run_path = (
            check_entity(entity or self._settings.entity),
            check_project(project or self._settings.project),
            check_run_id(run_id) if run_id is not None else new_run_id(),
        )
        if run_id is not None:
            with suppress(NotFoundError):
                self._reader.run(*run_path)
                raise ApiUsageError(f"there is a run {'/'.join(run_path)}: use another id")
        begin_run(self._reader, run_path, new_run_name())
        return Run(self._reader, self._reader.run(*run_path))

    def sync_tensorboard(
        self, root_dir: str, run_id: str | None = None, project: str | None = None, entity: str | None = None
    ) -> Run:
        """Make a run of the tfevents files below a folder, those of all its folders together; return it.

        Args:
            root_dir: The folder. A file's path below it is put in front of its tags.
            run_id: The run's id; a new one unless given.
            project: Its project; that of the settings unless given.
            entity: Whose project; that of the settings unless given.

        Raises:
            UsageError: There are no such files.
            Error: The package tensorboard is not installed.
        """
        return self.run(
            public_package.package._sync_folder(root_dir, self._settings, run_id, project, entity)
        )

    @property
    def user_agent(self) -> str:
        """How a client of wandb's version names itself; ours names tracker."""
        return f"tracker {__version__}"

    @property
    def viewer(self) -> User:
        """Who asks: nobody has an account here, so it is the default entity."""
        return User(self._settings.entity)

    def user(self, username_or_email: str) -> User | None:
        """Return the user of an entity that has projects; None when there is none."""
        return next(iter(self.users(username_or_email)), None)

    def users(self, username_or_email: str) -> list[User]:
        """Return the users of entities of that name: one, or none."""
        known = {each.entity for each in self._reader.projects()} | {self._settings.entity}
        return [User(username_or_email)] if username_or_email in known else []

    def team(self, team: str) -> Team:
        """Return an entity as a team."""
        return Team(team)

    def flush(self) -> None:
        """Forget what was looked up: nothing is kept here, so each call looks again anyway."""

    def _project(self, path: str | None) -> tuple[str, str]:
        return parse_project(path, self._settings.entity, self._settings.project)
