"""A run as the client asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from server.wandb.artifact_reads import RunArtifacts
from server.wandb.client_config import join_config
from server.wandb.context import Context
from server.wandb.ids import make_id, run_id
from server.wandb.pages import connection
from server.wandb.texts import json_text, plain, read_json, read_row, time_text
from tracker.ground.names import RunPath
from tracker.ground.read_models import FileInfo, RunDetail, RunInfo

# The type of a value in the client's words, by the kind of a history key.
_TYPES = {"number": "number", "text": "string", "null": "nil"}
_DERIVED = ("_step", "_runtime", "_timestamp")
# Rows that a resuming client gets.
_TAIL = 1


class ProjectObject:
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


class RunObject(RunArtifacts):
    """A run.

    Args:
        context: The request.
        place: Entity, project and id.
        info: What a list of runs has of it.
        inserted: Whether this request has made it.
    """

    typename = "Run"

    def __init__(self, context: Context, place: RunPath, info: RunInfo) -> None:
        self._context = context
        self._place = place
        self._info = info
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
        self.stopped = False
        self.sweep_name = None
        self.commit = None
        self.project_id = "0"
        self.user = {"__typename": "User", "name": context.caller.name, "username": context.caller.name}
        self.agent = None

    @property
    def project(self) -> ProjectObject:
        """Its project."""
        return ProjectObject(self._context, *self._place[:2])

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
        last = {} if self._info.last_step is None else {"_step": self._info.last_step}
        return json_text({**last, "_runtime": self._info.duration, **self._info.summary})

    @property
    def system_metrics(self) -> str:
        """JSON of the last value of each system metric."""
        return json_text({f"system.{key}": value for key, value in self._detail.system_metrics.items()})

    # History

    @property
    def history_line_count(self) -> int:
        """Number of rows of all attempts."""
        return sum(each.rows for each in self._detail.segments)

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
        last = self._info.last_step
        keys = {
            each.key: {
                "typeCounts": [{"type": _TYPES.get(each.kind, "map"), "count": each.count}],
                "monotonic": False,
                "previousValue": None,
            }
            for each in self._detail.keys
        }
        return {"sets": [], "keys": keys, "lastStep": -1 if last is None else last}

    @property
    def history_tail(self) -> str:
        """JSON list of the JSON text of the last row, from which a client resumes."""
        last = self._info.last_step
        rows = [] if last is None else list(self._rows(None, last, last))[-_TAIL:]
        return json.dumps([json_text(row) for row in rows])

    @property
    def events_tail(self) -> str:
        """JSON list of the JSON text of the last sample of system metrics."""
        return json.dumps([json_text(row) for row in self._samples(1)[-_TAIL:]])

    def history(
        self, samples: int | None = None, min_step: int | None = None, max_step: int | None = None, **_: Any
    ) -> list[str]:
        """Return rows as JSON texts; ``max_step`` is exclusive."""
        rows = self._rows(None, min_step, None if max_step is None else max_step - 1)
        return [json_text(row) for row in _sampled(rows, samples, None if min_step is None else min_step)]

    def sampled_history(self, specs: list[Any], **_: Any) -> list[list[dict[str, Any]]]:
        """Return for each specification the rows that have all its keys, as objects."""
        return [self._sampled(read_json(spec) if isinstance(spec, str) else spec) for spec in specs]

    def _sampled(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = [str(key) for key in spec.get("keys") or ()]
        rows = self._rows(
            [key for key in wanted if key not in _DERIVED] or None, spec.get("minStep"), spec.get("maxStep")
        )
        # The client asks for the step too, and reads rows without it as damaged.
        chosen = (
            [plain({key: row.get(key) for key in wanted}) for row in rows] if wanted else map(plain, rows)
        )
        return _sampled(chosen, spec.get("samples"), spec.get("minStep"))

    def events(self, samples: int | None = None, **_: Any) -> list[str]:
        """Return samples of system metrics as JSON texts."""
        return [json_text(row) for row in self._samples(samples)]

    def parquet_history(self, live_keys: list[str] | None = None) -> dict[str, Any]:
        """Return no files: the client reads all rows page by page, and keeps no copy that becomes old."""
        return {"parquetUrls": [], "liveData": []}

    def _rows(self, keys: list[str] | None, low: Any, high: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of the newest branch with all keys; keys may be dotted."""
        top = None if keys is None else [*dict.fromkeys(self._top(key) for key in keys)]
        pieces = self._context.reader.export_history(
            *self._place,
            "jsonl",
            keys=top,
            complete=top is not None,
            min_step=None if low is None else int(low),
            max_step=None if high is None else int(high),
        )
        for line in _lines(pieces):
            row = read_row(line)
            if keys is None:
                yield row
                continue
            values = {key: _value(row, key) for key in keys}
            if None not in values.values():
                yield {name: row[name] for name in _DERIVED if name in row} | values

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
        """Return files by name, by a pattern of SQL's LIKE, or all; a page at a time."""
        found = self._files
        if names:
            found = [each for each in found if each.path in set(names)]
        if pattern is not None:
            found = [each for each in found if like(each.path, pattern)]
        return connection([FileObject(self._context, self._place, each) for each in found], after, first)

    @property
    def file_count(self) -> int:
        """Number of files."""
        return len(self._files)

    @cached_property
    def _files(self) -> list[FileInfo]:
        return self._context.reader.files(*self._place)

    def log_lines(
        self, first: int | None = None, after: str | None = None, last: int | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return lines of output."""
        offset = int(after) + 1 if after else 0
        if last is not None:
            output = self._context.reader.console(*self._place, tail=last)
        else:
            output = self._context.reader.console(*self._place, offset=offset, limit=first)
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
            "pageInfo": {"endCursor": str(end), "hasNextPage": last is None and end + 1 < output.total},
        }


class FileObject:
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
        self.direct_url = context.address("file", sha256=info.sha256, mimetype=info.mimetype)

    def url(self, **_: Any) -> str:
        """Return the address of the content."""
        return self.direct_url


def like(text: str, pattern: str) -> bool:
    """Return whether a text matches a pattern of SQL's LIKE."""
    import re

    parts = (".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


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


def _sampled(rows: Any, samples: Any, low: Any) -> list[Any]:
    """Return at most a number of rows, evenly spaced. A page of a scan, which has a first step, is whole."""
    found = list(rows)
    if samples is None or low is not None or len(found) <= int(samples):
        return found
    count = max(int(samples), 1)
    return [found[at * len(found) // count] for at in range(count - 1)] + found[-1:]
