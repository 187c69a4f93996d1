"""A run as the client asks for it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from mimetypes import guess_type
from typing import Any, TypeVar

from server.wandb.artifact_reads import RunArtifacts
from server.wandb.client_config import join_config
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.ids import make_id, run_id
from server.wandb.pages import connection, page_info
from server.wandb.segments import newest_step
from server.wandb.stops import is_stopped
from server.wandb.sweep_runs import sweeps_of_runs
from server.wandb.texts import json_text, plain, read_integer, read_json, read_row, time_text
from tracker.ground.names import RunPath
from tracker.ground.read_models import FileInfo, RunDetail, RunInfo
from tracker.ground.values import flatten
from tracker.reading.generated_files import config_yaml, summary_json
from tracker.reading.local import LocalReader
from tracker.store.queries.run_rows import count_rows

T = TypeVar("T")

# The type of a value in the client's words, by the kind of a history key.
_TYPES = {"number": "number", "text": "string", "null": "nil"}
_DERIVED = ("_step", "_runtime", "_timestamp")
# Files that tracker generates from the records. Those that the client uploads are not stored.
GENERATED = ("config.yaml", "output.log", "wandb-summary.json")
# Rows that a resuming client gets.
_TAIL = 1


class ProjectObject(Fields):
    """A project."""

    typename = "Project"

    def __init__(self, context: Context, entity: str, name: str, *, created_at: float = 0.0) -> None:
        self._context = context
        self.name = name
        self.entity_name = entity
        self.id = make_id("Project", entity, name)
        self.internal_id = make_id("ProjectInternalId", entity, name)
        self.entity = {"__typename": "Entity", "id": make_id("Entity", entity), "name": entity}
        self.created_at = time_text(created_at)
        self.is_benchmark = False
        self.read_only = False
        self.access = "USER_WRITE"
        self.views = "{}"
        self.description = None
        self.user = None
        self.tags: list[str] = []


class RunsOfPage:
    """Values from other tables and files that the runs of a page need. They are read once for all runs.

    Args:
        context: The request.
        runs: The runs, which are of one project.
    """

    def __init__(self, context: Context, runs: Sequence[RunInfo]) -> None:
        self._context = context
        self._place = (runs[0].entity, runs[0].project) if runs else ("", "")
        self._names = [each.id for each in runs]

    @cached_property
    def row_counts(self) -> dict[str, int]:
        """The number of rows of all attempts of each run."""
        return self._context.store.answer(lambda session: count_rows(session, *self._place, self._names))

    @cached_property
    def sweeps(self) -> dict[str, str]:
        """The sweep of each run that belongs to one."""
        return sweeps_of_runs(self._context, *self._place, self._names)


class RunObject(RunArtifacts):
    """A run.

    Args:
        context: The request.
        place: Entity, project and id.
        info: What a list of runs has of it.
        page: Values that the runs of its list share; None for a single run.
    """

    typename = "Run"

    def __init__(
        self, context: Context, place: RunPath, info: RunInfo, page: RunsOfPage | None = None
    ) -> None:
        self._context = context
        self._place = place
        self._info = info
        self._page = page or RunsOfPage(context, [info])
        self.id = run_id(place)
        self.name = place[2]
        self.display_name = info.name
        self.description = info.notes
        self.notes = info.notes
        self.tags = info.tags
        self.state = "running" if info.state == "preempting" else info.state
        self.group = self.group_name = info.group
        self.job_type = info.job_type
        self.created_at = time_text(info.created_at)
        self.heartbeat_at = self.updated_at = time_text(info.updated_at)
        self.host = info.host
        self.read_only = False
        self.commit = None
        self.project_id = "0"
        self.user = {"__typename": "User", "name": context.caller.name, "username": context.caller.name}
        self.agent = None

    @property
    def project(self) -> ProjectObject:
        """Its project."""
        return ProjectObject(self._context, *self._place[:2])

    @property
    def sweep_name(self) -> str | None:
        """Id of its sweep."""
        return self._page.sweeps.get(self.name)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return is_stopped(self._context, self._place)

    @cached_property
    def _detail(self) -> RunDetail:
        if isinstance(self._info, RunDetail):
            return self._info
        return self._context.reader.run(*self._place)

    # Config and summary

    @property
    def config(self) -> str:
        """JSON of the config; each value is in an object with the key ``value``."""
        return json_text(join_config(self._info.config))

    def wandb_config(self, keys: list[str] | None = None) -> str:
        """Return JSON of some keys of the client's own part of the config."""
        known = join_config(self._info.config)["_wandb"]["value"]
        return json_text({key: known[key] for key in keys or known if key in known})

    @property
    def summary_metrics(self) -> str:
        """JSON of the summary."""
        return json_text(whole_summary(self._info))

    @property
    def system_metrics(self) -> str:
        """JSON of the last value of each system metric."""
        return json_text({f"system.{key}": value for key, value in self._detail.system_metrics.items()})

    # History

    @property
    def history_line_count(self) -> int:
        """Number of rows of all attempts."""
        if isinstance(self._info, RunDetail):
            return sum(each.rows for each in self._info.segments)
        return self._page.row_counts.get(self.name, 0)

    @property
    def events_line_count(self) -> int:
        """Number of samples of system metrics of all attempts."""
        return sum(each.samples for each in self._detail.segments)

    @property
    def log_line_count(self) -> int:
        """Number of lines of output of all attempts."""
        return sum(each.console_lines for each in self._detail.segments)

    @property
    def history_keys(self) -> dict[str, Any]:
        """The keys of the history; a scan ends after ``lastStep``."""
        last = newest_step(self._detail)
        found: dict[str, Any] = {}
        for each in self._detail.keys:
            value = self._info.summary.get(each.key)
            inner = {each.key: value}
            if each.kind == "other" and isinstance(value, dict) and value and "_type" not in value:
                inner = {f"{each.key}.{name}": item for name, item in flatten(value)}
            for name, item in inner.items():
                is_number = isinstance(item, int | float) and not isinstance(item, bool)
                kind = "number" if is_number else _TYPES.get(each.kind, "map")
                found[name] = {
                    "typeCounts": [{"type": kind, "count": each.count}],
                    "monotonic": False,
                    "previousValue": plain(item) if is_number else None,
                }
        return {"sets": [], "keys": found, "lastStep": -1 if last is None else last}

    @property
    def history_tail(self) -> str:
        """JSON list of the JSON text of the last row, from which a client resumes."""
        last = newest_step(self._detail)
        rows = [] if last is None else list(self._rows(None, last, last))[-_TAIL:]
        return json.dumps([json_text(row) for row in rows])

    @property
    def events_tail(self) -> str:
        """JSON list of the JSON text of the last sample of system metrics."""
        return json.dumps([json_text(row) for row in self._samples(1)[-_TAIL:]])

    def history(
        self, samples: int | None = None, min_step: int | None = None, max_step: int | None = None, **_: Any
    ) -> list[str]:
        """Return rows as JSON texts; ``max_step`` is exclusive.

        Args:
            samples: The largest number of rows; without ``min_step`` they are evenly spaced.
            min_step: The first step.
            max_step: The step after the last one.
        """
        lines = self._lines(
            None, min_step, None if max_step is None else read_integer(max_step, "maxStep") - 1
        )
        # A page of a scan, which has a first step, is whole.
        chosen = lines if min_step is not None else _sampled(lines, samples, self.history_line_count)
        return [_client_text(line) for line in chosen]

    def sampled_history(self, specs: Any, **_: Any) -> list[list[dict[str, Any]]]:
        """Return for each specification the rows that have all its keys, as objects."""
        listed = specs if isinstance(specs, list) else [specs]  # as in GraphQL, one may stand for a list
        return [self._sampled(read_json(spec) if isinstance(spec, str) else spec) for spec in listed]

    def _sampled(self, spec: Any) -> list[dict[str, Any]]:
        wanted = [str(key) for key in spec.get("keys") or ()] if isinstance(spec, dict) else []
        if not wanted:
            return []
        keys = [key for key in wanted if key not in _DERIVED]
        rows = self._rows(keys or None, spec.get("minStep"), spec.get("maxStep"))
        # The client asks for the step too, and reads rows without it as damaged.
        chosen: Iterable[dict[str, Any]] = ({key: row.get(key) for key in wanted} for row in rows)
        if spec.get("minStep") is None:
            tops = {self._top(key) for key in keys}
            counts = [each.count for each in self._detail.keys if each.key in tops]
            chosen = _sampled(chosen, spec.get("samples"), min(counts, default=self.history_line_count))
        return [plain(row) for row in chosen]

    def events(self, samples: int | None = None, **_: Any) -> list[str]:
        """Return samples of system metrics as JSON texts."""
        return [json_text(row) for row in self._samples(samples)]

    def parquet_history(self, live_keys: list[str] | None = None) -> dict[str, Any]:
        """Return no files: the client reads all rows page by page, and keeps no copy that becomes old.

        The first row tells the client that rows are missing in the files, so a download of the files fails
        instead of giving none.
        """
        return {
            "parquetUrls": [],
            "liveData": [{"_step": row["_step"]} for row in islice(self._rows(None, None, None), 1)],
        }

    def _rows(self, keys: list[str] | None, low: Any, high: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of the newest branch with all keys; keys may be dotted."""
        for line in self._lines(keys, low, high):
            row = read_row(line)
            if keys is None:
                yield row
                continue
            values = {key: _value(row, key) for key in keys}
            if None not in values.values():
                yield {name: row[name] for name in _DERIVED if name in row} | values

    def _lines(self, keys: list[str] | None, low: Any, high: Any) -> Iterator[bytes]:
        """Yield the JSON of the rows of the newest branch that have all keys."""
        top = None if keys is None else [*dict.fromkeys(self._top(key) for key in keys)]
        pieces = self._context.reader.export_history(
            *self._place,
            "jsonl",
            keys=top,
            complete=top is not None,
            min_step=None if low is None else read_integer(low, "The first step"),
            max_step=None if high is None else read_integer(high, "The last step"),
        )
        return _lines(pieces)

    def _top(self, key: str) -> str:
        known = {each.key for each in self._detail.keys}
        return key if key in known else key.partition(".")[0]

    def _samples(self, points: int | None) -> list[dict[str, Any]]:
        return [
            {name if name.startswith("_") else f"system.{name}": value for name, value in row.items()}
            for each in self._context.reader.system(*self._place, points=points)
            for row in each.rows
        ]

    # Files and output

    def files(
        self,
        names: list[str] | None = None,
        after: str | None = None,
        first: int | None = None,
        pattern: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Return files by name, by a pattern of SQL's LIKE, or all; a page at a time.

        Args:
            names: Paths of files. Those that the run does not have come last: see ``MissingFile``.
            pattern: A pattern of SQL's LIKE.
            after: Cursor of the page before; None for the first page.
            first: The largest number; None for all.
        """
        wanted = dict.fromkeys(posixpath.normpath(str(name)) for name in names or ())
        found: list[Any] = [each for each in self._files if not wanted or each.name in wanted]
        known = {each.name for each in found}
        found += [MissingFile(self._context, self._place, name) for name in wanted if name not in known]
        if pattern is not None:
            found = [each for each in found if like(each.name, pattern)]
        return connection(found, after, first)

    @property
    def file_count(self) -> int:
        """Number of files."""
        return len(self._files)

    @cached_property
    def _files(self) -> list[FileObject | GeneratedFile]:
        saved = self._context.reader.files(*self._place)
        files: list[FileObject | GeneratedFile] = [
            FileObject(self._context, self._place, each) for each in saved
        ]
        known = {each.path for each in saved}
        missing = [name for name in GENERATED if name not in known]
        if not self.log_line_count and "output.log" in missing:
            missing.remove("output.log")
        files += [GeneratedFile(self._context, self._place, self._detail, name) for name in missing]
        return sorted(files, key=lambda each: each.name)

    def log_lines(
        self, first: int | None = None, after: str | None = None, last: int | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return lines of output.

        Args:
            first: The largest number.
            after: Cursor of the page before.
            last: The number of lines from the end, instead of a page.
        """
        offset = read_integer(after, "after", 0) + 1 if after else 0
        if last is not None:
            output = self._context.reader.console(*self._place, tail=read_integer(last, "last", 0))
        else:
            output = self._context.reader.console(
                *self._place, offset=offset, limit=first and read_integer(first, "first", 0)
            )
        edges = [
            {
                "cursor": str(line.line),
                "node": {
                    "__typename": "LogLine",
                    "number": line.line,
                    "timestamp": time_text(line.time),
                    "level": "error" if line.stream == "stderr" else None,
                    "label": None,
                    "line": line.text,
                },
            }
            for line in output.lines
        ]
        end = output.lines[-1].line if output.lines else offset - 1
        return {
            "edges": edges,
            "pageInfo": page_info(str(end), last is None and end + 1 < output.total),
        }


class FileObject(Fields):
    """A file of a run."""

    typename = "File"

    def __init__(self, context: Context, place: RunPath, info: FileInfo) -> None:
        self.id = make_id("File", *place, info.path)
        self.name = self.display_name = info.path
        self.size_bytes = info.size
        self.mimetype = info.mimetype
        self.updated_at = time_text(info.updated_at)
        self.md5 = None
        self.digest = None
        self.direct_url = context.address("file", sha256=info.sha256, name=info.path)

    def url(self, **_: Any) -> str:
        """Return the address of the content."""
        return self.direct_url


class GeneratedFile(Fields):
    """A file that the client uploads with each run, and that tracker generates from the records."""

    typename = "File"

    def __init__(self, context: Context, place: RunPath, run: RunDetail, name: str) -> None:
        self._context = context
        self._run = run
        self.id = make_id("File", *place, name)
        self.name = self.display_name = name
        self.mimetype = guess_type(name)[0] or "text/plain"
        self.updated_at = time_text(run.updated_at)
        self.md5 = None
        self.digest = None
        self.direct_url = context.address("generated", place=list(place), name=name)

    @property
    def size_bytes(self) -> int:
        """Size of the content."""
        return sum(map(len, generated_content(self._context.reader, self._run, self.name)))

    def url(self, **_: Any) -> str:
        """Return the address of the content."""
        return self.direct_url


class MissingFile(Fields):
    """A file that a run does not have, with the values by which the client recognises it."""

    typename = "File"

    def __init__(self, context: Context, place: RunPath, name: str) -> None:
        self.id = make_id("File", *place, name)
        self.name = self.display_name = name
        self.size_bytes = 0
        self.mimetype = self.updated_at = self.digest = None
        self.md5 = "0"
        self.direct_url = context.address("file", sha256="0" * 64, name=name)

    def url(self, **_: Any) -> str:
        """Return an address at which there is nothing."""
        return self.direct_url


def whole_summary(run: RunInfo) -> dict[str, Any]:
    """Return the summary with the keys that tracker computes."""
    last = {} if run.last_step is None else {"_step": run.last_step}
    return {**last, "_runtime": run.duration, **run.summary}


def generated_content(reader: LocalReader, run: RunDetail, name: str) -> Iterator[bytes]:
    """Yield the content of one of the files of ``GENERATED``.

    Args:
        reader: Reads the run.
        run: The run.
        name: Name of the file.
    """
    if name == "config.yaml":
        yield config_yaml(run.config)
    elif name == "wandb-summary.json":
        yield summary_json(whole_summary(run))
    else:
        yield from reader.output_text(run.entity, run.project, run.id)


def like(text: str, pattern: str) -> bool:
    """Return whether a text matches a pattern of SQL's LIKE."""
    import pyarrow.compute as pc

    return bool(pc.match_like(text, pattern.replace("\\", "\\\\")).as_py())


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _value(row: dict[str, Any], key: str) -> Any:
    if key in row:
        return row[key]
    found: Any = row
    for name in key.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def _client_text(line: bytes) -> str:
    """Return a row of a JSON export as the client reads it."""
    # Only a number that JSON does not have is written in another way.
    return json_text(read_row(line)) if b'"_type":"number"' in line else line.decode()


def _sampled(rows: Iterable[T], samples: Any, count: int) -> list[T]:
    """Return a number of rows, evenly spaced, with the last one.

    Args:
        rows: The rows.
        samples: Their largest number; None for all.
        count: About the number of rows, so that only some are in memory.
    """
    if samples is None:
        return list(rows)
    most = max(read_integer(samples, "samples"), 1)
    stride = max(count // (4 * most), 1)
    found: list[T] = []
    last: list[T] = []
    for at, row in enumerate(rows):
        last = [row]
        if at % stride == 0:
            found.append(row)
            last = []
    found += last
    if len(found) <= most:
        return found
    return [found[at * len(found) // most] for at in range(most - 1)] + found[-1:]
