"""One run as ``Api`` gives it: its history, its artifacts, and what can be done with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tracker.api.captured import OUTPUT_FILE, output_log, system_rows
from tracker.api.console import ConsoleLogs, console_logs
from tracker.api.data_frames import frame_of
from tracker.api.files import File, Files, Made, find_file, find_files
from tracker.api.generated_files import config_yaml, summary_json
from tracker.api.history import (
    DownloadHistoryResult,
    HistoryScan,
    IncompleteRunHistoryError,
    check_keys,
    export_history,
    read_rows,
    sampled,
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
from tracker.reading.reader import Reader
from tracker.sweeps.files import store_of, sweeps_of_run

if TYPE_CHECKING:
    import pyarrow as pa

    from tracker.api.api import Api
    from tracker.api.sweeps import Sweep
ENDED = ("finished", "failed", "crashed", "killed", "preempted")
# Seconds between two looks at a run that is waited for.
_PATIENCE = 0.2


class Run(RunFields):
    """A run, like ``wandb.apis.public.Run``."""

    _make_sweep: ClassVar[Callable[..., Sweep]]  # set where sweeps, which have runs, are defined

    @classmethod
    def create(
        cls,
        api: Api,
        run_id: str | None = None,
        project: str | None = None,
        entity: str | None = None,
        state: Literal["running", "pending"] = "running",
    ) -> Run:
        """Make a run without rows; see ``Api.create_run``. ``state`` is accepted for compatibility."""
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
    ) -> Any:
        """Return the history rows, all of them unless ``samples`` asks for fewer.

        wandb returns 500 random rows by default; here none is left out.

        Args:
            samples: At most this many rows, evenly spaced, the last one included.
            keys: Only these keys, and rows that have at least one of them.
            x_axis: A key that comes along with ``keys``.
            pandas: Return a DataFrame when pandas is installed, else a list of dicts. Its columns of ints
                that are not in every row are ``Int64``; ints among floats that no double holds are objects.
            stream: ``"default"`` for what was logged, ``"system"`` (or ``"events"``) for samples of system
                metrics, ``system.cpu`` and so on.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.

        Raises:
            ApiUsageError: ``keys`` is no list of strings, or there is no such stream.
        """
        wanted = check_keys(keys)
        if stream in ("system", "events"):
            rows = system_rows(self._reader, self._run_path, wanted, segment)
        elif stream != "default":
            raise ApiUsageError(f"stream is {stream!r}; use 'default' or 'system'")
        elif wanted and x_axis not in ("_step", *wanted):
            rows = read_rows(self._reader, self._run_path, [x_axis, *wanted], False, segment)
            rows = [row for row in rows if any(key in row for key in wanted)]
        else:
            rows = read_rows(self._reader, self._run_path, wanted, False, segment)
        rows = sampled(rows, samples)
        if not pandas:
            return rows
        try:
            return frame_of(rows)
        except ImportError:
            return rows

    def console_logs(self, *, per_page: int = 1000, last: int | None = None) -> ConsoleLogs:
        """Return what the run's processes wrote to stdout and stderr, line by line, oldest first.

        Args:
            per_page: Accepted for compatibility.
            last: Only so many lines, from the end.
        """
        return console_logs(self._reader, self._run_path, per_page, last)

    def history_arrow(self, keys: list[str] | None = None, *, segment: str | None = None) -> pa.Table:
        """Return the history as whole columns: the fast way to read much of it.

        Columns ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds), then the keys, by step.
        ``.column(KEY).to_numpy()`` gives an array. Numbers are int64 or double; integers among floats, or
        beyond 64 bits, are the nearest double; dicts and lists are JSON text. wandb has no such method.

        Args:
            keys: Only these keys, and rows that have at least one of them.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.
        """
        return self._reader.table(*self._run_path, keys, segment)

    def scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,
        *,
        segment: str | None = None,
    ) -> HistoryScan:
        """Return an iterator over every row by step; with ``keys``, over rows that have all of them.

        Args:
            keys: The keys.
            page_size: Accepted for compatibility.
            min_step: First step; 0 for the very first, should it be negative.
            max_step: Step to stop before.
            use_cache: Accepted for compatibility.
            segment: All rows of one writer's attempt, see ``segments``; default the newest branch.

        Raises:
            ApiUsageError: ``keys`` is no list of strings.
        """
        wanted = check_keys(keys) or None
        return HistoryScan(self._reader, self._run_path, wanted, min_step, max_step, page_size, segment)

    def beta_scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,
    ) -> HistoryScan:
        """Do what ``scan_history`` does: wandb's former name of it."""
        return self.scan_history(keys, page_size, min_step, max_step, use_cache)

    def download_history_exports(
        self, download_dir: Path | str, require_complete_history: bool = True
    ) -> DownloadHistoryResult:
        """Write the history as a Parquet file, with the columns of ``history_arrow``; return where.

        Args:
            download_dir: SegmentFold; made if there is none.
            require_complete_history: Whether a run that goes on is refused.

        Raises:
            IncompleteRunHistoryError: The run goes on, and that is refused.
        """
        self.load()
        live = self.state not in ENDED
        if live and require_complete_history:
            raise IncompleteRunHistoryError(f"run {self.storage_id} goes on: its history is not complete")
        return export_history(self.history_arrow(), Path(download_dir), self.id, live=live)

    # Files

    def files(self, names: list[str] | None = None, pattern: str | None = None, per_page: int = 50) -> Files:
        """Return the run's files, by path.

        ``config.yaml``, ``wandb-summary.json`` and ``output.log`` are made when asked for, unless the run
        saved files of these names.

        Args:
            names: Only these.
            pattern: Only those like this, in SQL's words: ``%.json``.
            per_page: Accepted for compatibility.

        Raises:
            ApiUsageError: Both names and a pattern are given.
        """
        return find_files(self._reader, self._run_path, self._made(), names, pattern, per_page)

    def file(self, name: str) -> File:
        """Return one of the run's files.

        Raises:
            ApiNotFoundError: It has none of that name.
        """
        return find_file(self._reader, self._run_path, self._made(), name)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What ``wandb-metadata.json`` says of the run's host, program and git commit; None without it."""
        try:
            content = b"".join(self.file("wandb-metadata.json").chunks())
            said = loads(content)
        except (NotFoundError, ArtifactError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    @property
    def commit(self) -> str | None:
        """The git commit that the run's program was at; None when it is not known."""
        git = (self.metadata or {}).get("git")
        return git.get("commit") if isinstance(git, dict) else None

    def _made(self) -> Made:
        return {
            "config.yaml": lambda: config_yaml(self.rawconfig),
            "wandb-summary.json": lambda: summary_json(self.summary_metrics),
            OUTPUT_FILE: lambda: output_log(self._reader, self._run_path) or None,
        }

    def upload_file(self, path: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> File:
        """Add a file to the run; return it.

        Args:
            path: The file.
            root: Its name in the run is its path from here.

        Raises:
            ApiUsageError: It does not lie below ``root``.
            OSError: It cannot be read.
        """
        source = os.path.abspath(path)
        name = os.path.relpath(source, os.path.abspath(root)).replace(os.sep, "/")
        if name.startswith("../"):
            raise ApiUsageError(f"{source} does not lie below {os.path.abspath(root)}: give another root")
        add_file(self._reader, self._run_path, name, Path(source))
        return self.file(name)

    # Artifacts

    def logged_artifacts(self, per_page: int = 100) -> PaginatedList[Artifact]:
        """Return the artifact versions that this run logged, newest first."""
        found = self._reader.artifacts(*self._run_path[:2], self.id, None)
        return PaginatedList((as_artifact(as_detail(info), self._reader) for info in found), per_page)

    def used_artifacts(self, per_page: int = 100) -> PaginatedList[Artifact]:
        """Return the artifact versions that this run used, in the order in which it did."""
        found = self._reader.used_artifacts(*self._run_path)
        return PaginatedList((as_artifact(as_detail(info), self._reader) for info in found), per_page)

    def use_artifact(self, artifact: Artifact, use_as: str | None = None) -> Artifact:
        """Note that this run used an artifact; return it.

        Args:
            artifact: A version, as ``Api().artifact`` gives it.
            use_as: Accepted for compatibility.

        Raises:
            ApiUsageError: It is none.
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
        """Give an artifact that this run logged further aliases and tags; return it.

        Args:
            artifact: A version, as ``Api().artifact`` gives it.
            aliases: Moved to it.
            tags: Added to its own.

        Raises:
            ApiUsageError: It is none, or of another project.
            UnsupportedError: Another run logged it.
        """
        version = _version(artifact)
        source = (artifact.source_entity, artifact.source_project)
        if source != (self.entity, self.project):
            raise ApiUsageError("A run can't log an artifact to a different project.")
        if version.logged_by not in (None, self.id):
            raise UnsupportedError(
                "Run.log_artifact of an artifact that another run logged",
                "run.use_artifact(artifact) notes it, or resume the run with init(id=..., resume='must') and "
                "log a new version",
            )
        artifact.aliases = [*artifact.aliases, *(aliases or ())]
        artifact.tags = [*artifact.tags, *(tags or ())]
        artifact.save()
        return artifact

    # Its life

    def wait_until_finished(self) -> None:
        """Wait until the run has ended: finished, failed, crashed or preempted."""
        self.load()
        while self.state not in ENDED:
            time.sleep(_PATIENCE)
            self.load()

    def delete(self, delete_artifacts: bool = False) -> None:
        """Delete the run for good, once it has ended; the bytes of its files go with ``tracker gc``.

        Args:
            delete_artifacts: Whether the artifact versions that it logged are deleted too; else they stay.

        Raises:
            NotFoundError: It is not there any more.
            UsageError: It goes on.
        """
        self._reader.delete_run(*self._run_path, delete_artifacts)

    def stop(self) -> None:
        """Raise UnsupportedError: nothing here reaches into another process."""
        raise UnsupportedError("Run.stop", "send SIGTERM to its process, which ends the run as preempted")

    def update_state(self, state: str) -> bool:
        """Raise UnsupportedError: the state is what the run's writers and the recorder see."""
        raise UnsupportedError(
            "Run.update_state", "a run that is lost becomes crashed by itself; keep remarks in tags or notes"
        )

    @property
    def sweep_name(self) -> str | None:
        """The id of its sweep; None when it belongs to none."""
        return next(sweeps_of_run(store_of(self._reader), *self._run_path), None)

    @property
    def sweep(self) -> Sweep | None:
        """Its sweep; None when it belongs to none."""
        found = self.sweep_name
        return None if found is None else self._make_sweep(self._reader, self.entity, self.project, found)

    def _fields(self) -> dict[str, Any]:
        return {**super()._fields(), "sweepName": self.sweep_name}

    @property
    def dir(self) -> str:
        """A folder for files of this run, made when asked for: ``WANDB_DIR`` (or the temporary one)/PATH."""
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
            "Only existing artifacts are accepted by this api: log it in a run, or `tracker artifact put` it"
        )
    return artifact.detail


def as_artifact(version: ArtifactDetail, reader: Reader) -> Artifact:
    """Return an artifact whose lineage leads to runs that are read from the same place."""
    return Artifact.from_version(version, reader, lambda *run_path: Run(reader, reader.run(*run_path)))
