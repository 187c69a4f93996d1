"""``Run``: the history, files and artifacts of one run, and the actions on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tracker.api.captured import OUTPUT_FILE, output_log, system_rows
from tracker.api.console import ConsoleLogs, console_logs
from tracker.api.data_frames import frame_of
from tracker.api.files import File, FileMakers, Files, find_file, find_files
from tracker.api.history import (
    DownloadHistoryResult,
    HistoryScan,
    IncompleteRunHistoryError,
    check_keys,
    format_of,
    read_rows,
    sampled,
    save,
)
from tracker.api.run_fields import RunFields
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.collection import as_detail
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiUsageError, ArtifactError, NotFoundError, UnsupportedError
from tracker.ground.names import RunPath
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactUsed
from tracker.ground.values import loads
from tracker.reading.external_segment import add_file, append_records
from tracker.reading.generated_files import config_yaml, summary_json
from tracker.reading.reader import Reader
from tracker.runstate.merge import Rank, describe_missing_rank
from tracker.sweeps.files import store_of, sweeps_of_run

if TYPE_CHECKING:
    import pyarrow as pa

    from tracker.api.api import Api
    from tracker.api.sweeps import Sweep
ENDED = ("finished", "failed", "crashed", "killed", "preempted")
# The time between two reads of the state in ``Run.wait_until_finished``.
_POLL_SECONDS = 0.2


class Run(RunFields):
    """A run, like ``wandb.apis.public.Run`` (wandb: ``apis/public/runs.py``)."""

    # sweeps.py sets this attribute, because that module imports this one.
    _make_sweep: ClassVar[Callable[..., Sweep]]

    @classmethod
    def create(
        cls,
        api: Api,
        run_id: str | None = None,
        project: str | None = None,
        entity: str | None = None,
        state: Literal["running", "pending"] = "running",
    ) -> Run:
        """Create a run without rows. See ``Api.create_run``.

        Args:
            api: The ``Api`` that creates the run.
            run_id: The id of the run; by default a new random id.
            project: The project; by default that of the settings.
            entity: The entity; by default that of the settings.
            state: Accepted for compatibility.
        """
        return api.create_run(run_id=run_id, project=project, entity=entity)

    # History

    def history(
        self,
        samples: int | None = None,
        keys: list[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        stream: str = "default",
        *,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> Any:
        """Return the rows of the history, by default all rows.

        The default differs from wandb, which returns 500 sampled rows.

        Args:
            samples: The maximum number of rows. The returned rows are evenly spaced and include the last row.
            keys: Return only these keys, and only rows that have at least one of them.
            x_axis: A key to return in addition to ``keys``.
            pandas: Whether to return a DataFrame if pandas is installed; otherwise a list of dicts. A column
                of ints with missing values has the type ``Int64``. A column of ints and floats has the type
                ``object`` if a double cannot hold every int.
            stream: ``"default"`` for logged rows, ``"system"`` or ``"events"`` for samples of system metrics
                (``system.cpu`` and so on).
            segment: The id of a segment (see ``segments``), to return all its rows; by default the newest
                branch of the run.
            rank: A rank of a distributed run (see ``ranks``), to return its rows; ``"all"`` for the rows of
                all ranks, each with its rank as ``_rank``. By default those of rank 0.

        Raises:
            ApiUsageError: ``keys`` is not a list of strings, the stream is unknown, or the run does not have
                the rank.
        """
        wanted = check_keys(keys)
        self._check_rank(rank, segment)
        if stream in ("system", "events"):
            rows = system_rows(self._reader, self._run_path, wanted, segment, rank)
        elif stream != "default":
            raise ApiUsageError(f"Invalid stream {stream!r}. Use 'default' or 'system'.")
        elif wanted and x_axis not in ("_step", *wanted):
            rows = read_rows(self._reader, self._run_path, [x_axis, *wanted], False, segment, rank)
            rows = [row for row in rows if any(key in row for key in wanted)]
        else:
            rows = read_rows(self._reader, self._run_path, wanted, False, segment, rank)
        rows = sampled(rows, samples)
        if not pandas:
            return rows
        try:
            return frame_of(rows)
        except ImportError:
            return rows

    def _check_rank(self, rank: Rank | None, segment: str | None = None) -> None:
        if rank is None:
            return
        if segment is not None:
            raise ApiUsageError("A segment belongs to one rank. Pass segment or rank, not both.")
        if rank != "all" and rank not in self.ranks:
            raise ApiUsageError(f"The run has {describe_missing_rank(rank, self.ranks)}")

    def console_logs(
        self, *, per_page: int = 1000, last: int | None = None, rank: int | None = None
    ) -> ConsoleLogs:
        """Return the lines that the run's processes wrote to stdout and stderr, the oldest first.

        Args:
            per_page: Accepted for compatibility.
            last: Return only this number of lines from the end.
            rank: A rank of a distributed run (see ``ranks``); by default rank 0.

        Raises:
            ApiUsageError: The run does not have the rank.
        """
        self._check_rank(rank)
        return console_logs(self._reader, self._run_path, per_page, last, rank)

    def history_arrow(
        self, keys: list[str] | None = None, *, segment: str | None = None, rank: Rank | None = None
    ) -> pa.Table:
        """Return the history as an Arrow table, the fastest way to read many rows.

        The columns are ``_step``, ``_runtime`` (seconds), ``_timestamp`` (Unix seconds) and the logged keys.
        The rows are in the order of their steps. ``.column(KEY).to_numpy()`` returns an array. Numbers are
        int64 or double. An integer in a column of floats, or beyond 64 bits, becomes the nearest double.
        Dicts and lists become JSON text. wandb does not have this method.

        Args:
            keys: Return only these keys, and only rows that have at least one of them.
            segment: The id of a segment (see ``segments``), to return all its rows; by default the newest
                branch of the run.
            rank: A rank of a distributed run (see ``ranks``), to return its rows; ``"all"`` for the rows of
                all ranks, each with its rank as ``_rank``. By default those of rank 0.

        Raises:
            ApiUsageError: The run does not have the rank.
        """
        self._check_rank(rank, segment)
        return self._reader.table(*self._run_path, keys, segment, rank)

    def scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,
        *,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> HistoryScan:
        """Return an iterator over all rows in the order of their steps.

        Args:
            keys: Return only these keys, and only rows that have all of them.
            page_size: Accepted for compatibility.
            min_step: The first step. The default 0 also includes rows with negative steps.
            max_step: The step before which the iterator stops.
            use_cache: Accepted for compatibility.
            segment: The id of a segment (see ``segments``), to return all its rows; by default the newest
                branch of the run.
            rank: A rank of a distributed run (see ``ranks``), to return its rows; ``"all"`` for the rows of
                all ranks, each with its rank as ``_rank``. By default those of rank 0.

        Raises:
            ApiUsageError: ``keys`` is not a list of strings, or the run does not have the rank.
        """
        wanted = check_keys(keys) or None
        self._check_rank(rank, segment)  # raises here, and not at the first row
        return HistoryScan(
            lambda: read_rows(self._reader, self._run_path, wanted, True, segment, rank),
            [*wanted, "_rank"] if wanted and rank == "all" else wanted,
            min_step,
            max_step,
            page_size,
        )

    def beta_scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,
    ) -> HistoryScan:
        """Return an iterator over all rows, under the former name of the method. See ``Run.scan_history``."""
        return self.scan_history(keys, page_size, min_step, max_step, use_cache)

    def download_history_exports(
        self, download_dir: Path | str, require_complete_history: bool = True
    ) -> DownloadHistoryResult:
        """Write the history to a Parquet file with the columns of ``history_arrow``.

        Args:
            download_dir: The target folder; created if it does not exist.
            require_complete_history: Whether to raise an error if the run is still running.

        Raises:
            IncompleteRunHistoryError: The run is still running, and ``require_complete_history`` is True.
        """
        self.load()
        live = self.state not in ENDED
        if live and require_complete_history:
            raise IncompleteRunHistoryError(
                f"Run {self.storage_id} is still running, so its history is not complete. "
                "Pass require_complete_history=False to export it now."
            )
        path = Path(download_dir) / f"{self.id}.history.parquet"
        save(path, self._reader.export_history(*self._run_path, "parquet", exact=False))
        return DownloadHistoryResult([path], live)

    def export_history(
        self,
        path: Path | str,
        keys: list[str] | None = None,
        *,
        segment: str | None = None,
        rank: Rank | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
    ) -> Path:
        """Write the history to a file, in memory that does not depend on the number of rows.

        The format is that of the ending: ``.json``, ``.jsonl``, ``.csv``, ``.arrows`` or ``.parquet``.
        docs/rest-api.md describes the formats.

        Args:
            path: The file. It gets its name when it is complete.
            keys: Write only these keys, and only rows that have at least one of them.
            segment: The id of a segment (see ``segments``), to write all its rows; by default the newest
                branch of the run.
            rank: A rank of a distributed run, or ``"all"``, as for ``history``.
            min_step: The first step.
            max_step: The last step.

        Raises:
            ApiUsageError: The ending is unknown, ``keys`` is not a list of strings, or the run does not have
                the rank.
        """
        self._check_rank(rank, segment)
        target = Path(path)
        format, wanted = format_of(target), check_keys(keys)
        pieces = self._reader.export_history(
            *self._run_path,
            format,
            keys=wanted,
            segment=segment,
            rank=rank,
            min_step=min_step,
            max_step=max_step,
        )
        save(target, pieces)
        return target

    # Files

    def files(self, names: list[str] | None = None, pattern: str | None = None, per_page: int = 50) -> Files:
        """Return the run's files, sorted by path.

        ``config.yaml``, ``wandb-summary.json`` and ``output.log`` are generated by this call, unless the run
        saved files of these names.

        Args:
            names: Return only the files of these names.
            pattern: Return only files that match this SQL ``LIKE`` pattern, such as ``%.json``.
            per_page: Accepted for compatibility.

        Raises:
            ApiUsageError: Both names and a pattern are given.
        """
        return find_files(self._reader, self._run_path, self._file_makers(), names, pattern, per_page)

    def file(self, name: str) -> File:
        """Return one of the run's files.

        Raises:
            ApiNotFoundError: The run does not have a file of that name.
        """
        return find_file(self._reader, self._run_path, self._file_makers(), name)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The content of ``wandb-metadata.json``: host, program and git commit. None without a valid file."""
        try:
            content = b"".join(self.file("wandb-metadata.json").chunks())
            found = loads(content)
        except (NotFoundError, ArtifactError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    @property
    def commit(self) -> str | None:
        """The git commit of the run's program, or None if it is not known."""
        git = (self.metadata or {}).get("git")
        return git.get("commit") if isinstance(git, dict) else None

    def _file_makers(self) -> FileMakers:
        return {
            "config.yaml": lambda: config_yaml(self.rawconfig),
            "wandb-summary.json": lambda: summary_json(self.summary_metrics),
            OUTPUT_FILE: lambda: output_log(self._reader, self._run_path) or None,
        }

    def upload_file(self, path: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> File:
        """Add a file to the run; return the added file.

        Args:
            path: The file.
            root: The file's name in the run is its path relative to this folder.

        Raises:
            ApiUsageError: The file is not inside ``root``.
            OSError: The file cannot be read.
        """
        source = os.path.abspath(path)
        name = os.path.relpath(source, os.path.abspath(root)).replace(os.sep, "/")
        if name.startswith("../"):
            raise ApiUsageError(f"File {source} is not inside {os.path.abspath(root)}. Pass another root.")
        add_file(self._reader, self._run_path, name, Path(source))
        return self.file(name)

    # Artifacts

    def logged_artifacts(self, per_page: int = 100) -> PaginatedList[Artifact]:
        """Return the artifact versions that this run logged, newest first."""
        found = self._reader.artifacts(*self._run_path[:2], self.id, None)
        return PaginatedList((as_artifact(as_detail(info), self._reader) for info in found), per_page)

    def used_artifacts(self, per_page: int = 100) -> PaginatedList[Artifact]:
        """Return the artifact versions that this run used, in the order of their use."""
        found = self._reader.used_artifacts(*self._run_path)
        return PaginatedList((as_artifact(as_detail(info), self._reader) for info in found), per_page)

    def use_artifact(self, artifact: Artifact, use_as: str | None = None) -> Artifact:
        """Record that this run used an artifact; return the artifact.

        Args:
            artifact: An artifact version from ``Api().artifact``.
            use_as: Accepted for compatibility.

        Raises:
            ApiUsageError: ``artifact`` is not a logged artifact.
        """
        version = _version(artifact)
        used = ArtifactUsed(
            version.entity,
            version.project,
            version.name,
            int(version.version[1:]),
            time.time(),
            version.digest,
        )
        append_records(self._reader, self._run_path, [used])
        return artifact

    def log_artifact(
        self, artifact: Artifact, aliases: Collection[str] | None = None, tags: Collection[str] | None = None
    ) -> Artifact:
        """Add aliases and tags to an artifact version that this run logged; return the artifact.

        Args:
            artifact: An artifact version from ``Api().artifact``.
            aliases: Aliases to add. An alias of another version moves to this version.
            tags: Tags to add.

        Raises:
            ApiUsageError: ``artifact`` is not a logged artifact, or belongs to another project.
            UnsupportedError: Another run logged the artifact.
        """
        version = _version(artifact)
        source = (artifact.source_entity, artifact.source_project)
        own = artifact.detail.logged_in == f"{self.entity}/{self.project}" and version.logged_by == self.id
        if source != (self.entity, self.project) and not own:
            raise ApiUsageError("A run can't log an artifact to a different project.")
        if version.logged_by not in (None, self.id):
            raise UnsupportedError(
                "Run.log_artifact of an artifact that another run logged",
                "call run.use_artifact(artifact) to record its use, or resume the run with "
                "init(id=..., resume='must') and log a new version",
            )
        artifact.aliases = [*artifact.aliases, *(aliases or ())]
        artifact.tags = [*artifact.tags, *(tags or ())]
        artifact.save()
        return artifact

    # State

    def wait_until_finished(self) -> None:
        """Wait until the run has ended: finished, failed, crashed or preempted."""
        self.load()
        while self.state not in ENDED:
            time.sleep(_POLL_SECONDS)
            self.load()

    def move(self, project: str, entity: str | None = None) -> None:
        """Move an ended run to another project.

        The artifact versions that the run logged stay in their project. Changes of this object that were not
        stored with ``update`` are lost.

        Args:
            project: The target. It is created if it does not exist.
            entity: The entity of the target; by default that of the run.

        Raises:
            NotFoundError: The run does not exist any more.
            UsageError: The run is still running, or the target is invalid.
            ConflictError: The target has a run with this id.
        """
        self._set_info(self._reader.move_run(*self._run_path, project, entity))

    def delete(self, delete_artifacts: bool = False) -> None:
        """Delete an ended run. It can be restored for 7 days; then ``tracker gc`` deletes its files.

        ``TRACKER_DELETED_DAYS`` changes the number of days. The dashboard and the REST API restore runs.

        Args:
            delete_artifacts: Whether to also delete the artifact versions that the run logged.

        Raises:
            NotFoundError: The run does not exist any more.
            UsageError: The run is still running.
        """
        self._reader.delete_run(*self._run_path, delete_artifacts)

    def stop(self) -> None:
        """Raise UnsupportedError: ``Api`` cannot control the run's process."""
        raise UnsupportedError("Run.stop", "send SIGTERM to its process: the run then ends as preempted")

    def update_state(self, state: str) -> bool:
        """Raise UnsupportedError: only the run's writers and the recorder set the state."""
        raise UnsupportedError(
            "Run.update_state",
            "a run whose process is gone becomes crashed automatically; use tags or notes for remarks",
        )

    @property
    def sweep_name(self) -> str | None:
        """The id of the run's sweep, or None."""
        return next(sweeps_of_run(store_of(self._reader), *self._run_path), None)

    @property
    def sweep(self) -> Sweep | None:
        """The run's sweep, or None."""
        found = self.sweep_name
        return None if found is None else self._make_sweep(self._reader, self.entity, self.project, found)

    def _fields(self) -> dict[str, Any]:
        return {**super()._fields(), "sweepName": self.sweep_name}

    @property
    def dir(self) -> str:
        """A local folder for files of this run. Reading this attribute creates the folder.

        The folder is ``ENTITY/PROJECT/ID`` in ``WANDB_DIR``. Without this variable, it is in the system's
        temporary folder.
        """
        import tempfile

        base = os.environ.get("WANDB_DIR") or tempfile.gettempdir()
        folder = os.path.join(base, *self.path)
        os.makedirs(folder, exist_ok=True)
        return folder

    @property
    def _run_path(self) -> RunPath:
        return self.entity, self.project, self.id


def _version(artifact: Any) -> ArtifactDetail:
    if not isinstance(artifact, Artifact):
        raise ApiUsageError(f"You must pass a wandb.Api().artifact(), not a {type(artifact).__name__}")
    if artifact.is_draft():
        raise ApiUsageError(
            "Only existing artifacts are accepted by this api. "
            "Log the artifact in a run, or store it with `tracker artifact put`."
        )
    return artifact.detail


def as_artifact(version: ArtifactDetail, reader: Reader) -> Artifact:
    """Return the artifact of a version. The artifact reads its runs with the same reader."""
    return Artifact.from_version(version, reader, lambda *run_path: Run(reader, reader.run(*run_path)))
