"""Reads of the screen: in one thread, so that the screen never waits for a store or a server."""

from __future__ import annotations

import asyncio
import queue
import re
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tracker.api.history import stream_rows
from tracker.api.run import ENDED, Run
from tracker.cli.output import as_size, one_line
from tracker.cli.run_list import COUNTERS, full_order, sort_runs, usual_metrics
from tracker.cli.run_overview import lines_of
from tracker.cli.run_selection import NEWEST_FIRST, Selection
from tracker.cli.top.braille import Curve
from tracker.cli.top.canvas import Place
from tracker.cli.top.media_items import MediaItem, media_by_key
from tracker.cli.top.pictures import MOST_BYTES, half_blocks
from tracker.cli.top.pictures import Row as PictureRow
from tracker.errors import ArtifactError, NotFoundError, StoreError, UsageError
from tracker.ground.read_models import AlertInfo, OutputLine

if TYPE_CHECKING:
    from tracker.api.runs import Runs
    from tracker.ground.curves import RunLine
    from tracker.ground.read_models import RunDetail, SystemMetrics
    from tracker.reading.reader import Reader

T = TypeVar("T")
_GPU = re.compile(r"gpu\.(\d+)\.(.+)")
# Entity, project and id of a run.
Path = tuple[str, str, str]
Fields = dict[str, Any]

# The largest number of runs whose curves are drawn over each other.
MOST_SHOWN = 40
# The number of runs, those that changed last, whose alerts are read.
WITH_ALERTS = 30
# The longest time in seconds that the end waits for a read.
_LAST_READ = 2.0
# The number of lines of output that a search returns.
FOUND_LINES = 1000
# The number of images that are kept as they were drawn.
KEPT_PICTURES = 64
# The smallest size of an image on the panel.
TILE_WIDTH, TILE_HEIGHT = 30, 9
# The fields of the list of runs.
_FIELDS = ("entity", "project", "id", "name", "state", "reason", "last_step", "created_at")


class ReadThread:
    """Calls functions one after the other in a thread. The process ends even if one of them hangs."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = Thread(target=self._answer, name="tracker-top-reads", daemon=True)
        self._thread.start()

    async def ask(self, function: Callable[[], T]) -> T:
        """Return the result of a function, or raise its error."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._asked.put((function, loop, future))
        return await future

    def end(self) -> None:
        """Wait a short time for the last read: Python can crash if it ends while a thread is in Arrow."""
        self._asked.put(None)
        self._thread.join(_LAST_READ)

    def _answer(self) -> None:
        while (asked := self._asked.get()) is not None:
            function, loop, future = asked
            result, error = None, None
            try:
                result = function()
            except Exception as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(_finish, future, result, error)
            except RuntimeError:  # the loop is closed: the screen has ended
                continue


def _finish(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Column(NamedTuple):
    """A column of the list of runs: its title, and fields. The first field with a value is shown."""

    title: str
    fields: tuple[str, ...]


class ListAsked(NamedTuple):
    """A part of the list of runs.

    Attributes:
        query: A query, as for ``tracker ls``.
        order: An order, as for ``tracker ls``.
        columns: The keys of the last columns; None for the metrics that people compare runs by.
        first: The number of the first run.
        limit: The number of runs.
    """

    query: str
    order: str
    columns: tuple[str, ...] | None
    first: int
    limit: int


class RunList(NamedTuple):
    """The runs of a ``ListAsked``.

    Attributes:
        asked: What was asked.
        total: The number of all matching runs.
        runs: The runs.
        columns: The last columns.
        sorted_by: The keys of config and summary that the order compares.
    """

    asked: ListAsked
    total: int
    runs: list[Fields]
    columns: list[Column]
    sorted_by: list[str]


class Shown(NamedTuple):
    """A run whose curves are drawn: its path, its name, and the sign of its curves (empty for one run)."""

    path: Path
    name: str
    sign: str


class ChartsAsked(NamedTuple):
    """A page of charts.

    Attributes:
        runs: The runs.
        pattern: Only metrics that match: see ``matches``.
        first: The number of the first chart.
        limit: The number of charts.
        points: The maximum number of points of a curve.
        x: The x axis; None for the axis that ``define_metric`` names, or the step.
        key: In place of a page: only this metric.
        low: The smallest x.
        high: The largest x.
    """

    runs: tuple[Shown, ...]
    pattern: str
    first: int
    limit: int
    points: int
    x: str | None = None
    key: str | None = None
    low: float | None = None
    high: float | None = None


class Chart(NamedTuple):
    """A chart: its metric, its x axis, its curves."""

    key: str
    x: str
    curves: list[Curve]


class Charts(NamedTuple):
    """The charts of a ``ChartsAsked``. ``total`` is the number of all matching metrics."""

    asked: ChartsAsked
    total: int
    charts: list[Chart]


class LogAsked(NamedTuple):
    """Lines of output.

    Attributes:
        run: The run.
        rank: A rank; None for the output that the page of the run shows.
        search: Only lines that contain this text.
        first: The number of the first line; None for the last lines.
        limit: The number of lines.
    """

    run: Path
    rank: int | None
    search: str
    first: int | None
    limit: int


class Log(NamedTuple):
    """The lines of a ``LogAsked``. ``total`` counts all lines, and ``ranks`` are those of the run."""

    asked: LogAsked
    total: int
    lines: list[OutputLine]
    ranks: list[int]


class MediaAsked(NamedTuple):
    """The media of a run at a step.

    Attributes:
        run: The run.
        pattern: Only keys that match: see ``matches``.
        step: The step: of each key, the newest media until then are shown. None for the newest of all.
        chosen: The number of the chosen image. Its page is shown.
        enlarged: Whether only the chosen image is shown.
        width: The number of columns of the panel.
        height: The number of rows of the panel.
        dark: Whether the background is dark.
        true_color: Whether the terminal has 24-bit colours.
    """

    run: Path
    pattern: str
    step: int | None
    chosen: int
    enlarged: bool
    width: int
    height: int
    dark: bool
    true_color: bool


class Tile(NamedTuple):
    """An image: its place, its key, its step and caption, and its rows or why it cannot be drawn."""

    place: Place
    title: str
    caption: str
    picture: list[PictureRow] | str


class Media(NamedTuple):
    """The media of a ``MediaAsked``.

    Attributes:
        asked: What was asked.
        steps: The steps with media.
        total: The number of images at this step.
        first: The number of the first tile.
        tiles: The images of the page.
        others: The other media, a line for each.
    """

    asked: MediaAsked
    steps: list[int]
    total: int
    first: int
    tiles: list[Tile]
    others: list[str]


class Alert(NamedTuple):
    """An alert of a run."""

    run: Path
    name: str
    info: AlertInfo


def matches(pattern: str, key: str) -> bool:
    """Return whether a key matches a pattern such as ``val/*``, or contains any other text."""
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(key, pattern)
    return pattern.casefold() in key.casefold()


class Source:
    """Reads what the panels show. Only the thread of ``ReadThread`` calls the methods.

    Args:
        selection: The store or server, and the projects.
        names: The names of the only runs to list; empty for all.
        job: The id of a Slurm job whose runs are listed.
    """

    def __init__(self, selection: Selection, names: Sequence[str], job: str | None) -> None:
        self._first = selection
        self._names = names
        self._named: list[Path] = []
        self._job = job
        self._places: list[tuple[str, str]] = []
        self._lists: dict[tuple[str, str], list[Runs]] = {}
        self._columns: dict[tuple[str, tuple[str, ...] | None], list[Column]] = {}
        self._alerts: dict[Path, tuple[tuple[float, str], list[Alert]]] = {}
        self._media: dict[str, dict[int, list[MediaItem]]] = {}
        # The run and its keys whose media are in `_media`, the number of their values, and the last step.
        self._media_seen: tuple[Any, int, int] = (None, 0, 0)
        self._pictures: dict[Any, list[PictureRow]] = {}
        self._started_at = time.time()

    @cached_property
    def _reader(self) -> Reader:
        return self._first.api._reader

    def state(self) -> tuple[Any, ...]:
        """Return a value that differs after each change of the store.

        Raises:
            NoRunError: A named run does not exist.
            AmbiguousRunError: Several runs match a name.
        """
        if self._names and not self._named:
            self._named = [_path(run) for run in map(self._first.find, self._names)]
        if self._named:
            places = list(dict.fromkeys(path[:2] for path in self._named))
        else:
            places = self._first.again().projects
        if places != self._places:
            self._places = places
            self._lists.clear()
        if not places:
            return ()
        page = self._reader.run_values(*places[0], ["id"], limit=0, offset=0, order=NEWEST_FIRST)
        return page.revision, tuple(places)

    def list_runs(self, asked: ListAsked) -> RunList:
        """Return a part of the list of runs.

        Raises:
            UsageError: The query, the order or a column is invalid.
        """
        lists = self._search(asked.query, asked.order)
        columns = self._find_columns(asked, lists)
        order = lists[0].order if lists else NEWEST_FIRST
        sorted_by = [key for key in (each.lstrip("-") for each in order.split(",")) if "." in key]
        shown = {field for each in columns for field in each.fields}
        columns = columns + [Column(key.partition(".")[2], (key,)) for key in sorted_by if key not in shown]
        fields = list(
            dict.fromkeys(
                [
                    *_FIELDS,
                    *(field for each in columns for field in each.fields),
                    *(key.lstrip("-") for key in order.split(",")),
                ]
            )
        )
        if len(lists) == 1:
            total, runs = self._page(lists[0], fields, asked.first, asked.limit)
        else:
            # The order of several projects is known only from their first runs.
            pages = [self._page(each, fields, 0, asked.first + asked.limit) for each in lists]
            total = sum(page[0] for page in pages)
            merged = sort_runs((run for page in pages for run in page[1]), order, dict.get)
            runs = merged[asked.first : asked.first + asked.limit]
        return RunList(asked, total, runs, columns, sorted_by)

    def _page(self, runs: Runs, fields: list[str], first: int, count: int) -> tuple[int, list[Fields]]:
        found: list[Fields] = []
        while True:
            page = self._reader.run_values(
                *(runs.entity, runs.project, fields),
                limit=min(count - len(found), 1000),
                offset=first + len(found),
                order=runs.order,
                filters=runs.filters,
            )
            found += page.runs
            if not page.runs or len(found) >= min(count, page.total - first):
                return page.total, found

    def _search(self, query: str, order: str) -> list[Runs]:
        known = self._lists.get((query, order))
        if known is None:
            selection = self._first.again()
            selection.projects = self._places
            order_asked = full_order(selection, order)
            known = selection.search(query, self._job, order_asked)
            if self._named:
                known = [self._only_named(runs) for runs in known]
            self._lists[query, order] = known
        return known

    def _only_named(self, runs: Runs) -> Runs:
        ids = [path[2] for path in self._named if path[:2] == (runs.entity, runs.project)]
        chosen = [{"name": {"$in": ids}}, {"archived": {"$in": [True, False]}}]
        filters = {"$and": [*chosen, *([runs.filters] if runs.filters else [])]}
        return self._first.api.runs(f"{runs.entity}/{runs.project}", filters, runs.order)

    def _find_columns(self, asked: ListAsked, lists: Sequence[Runs]) -> list[Column]:
        known = self._columns.get((asked.query, asked.columns))
        if not known:
            if asked.columns is None:
                first = [run._info for runs in lists[:5] for run in runs[:20]]
                known = [Column(key, (f"summary.{key}",)) for key in usual_metrics(first)]
            else:
                known = [Column(key, self._fields_of(key)) for key in asked.columns]
            self._columns[asked.query, asked.columns] = known
        return known

    def _fields_of(self, key: str) -> tuple[str, ...]:
        from tracker.store.queries.run_order import ORDERS

        if key in ORDERS or key.startswith(("config.", "summary.")):
            return (key,)
        return tuple(self._first.fields_of(key))

    def existing(self, paths: Iterable[Path]) -> set[Path]:
        """Return those of some runs that exist."""
        places: dict[tuple[str, str], list[str]] = {}
        for entity, project, run_id in paths:
            places.setdefault((entity, project), []).append(run_id)
        found: set[Path] = set()
        for place, ids in places.items():
            chosen = {"name": {"$in": ids}, "archived": {"$in": [True, False]}}
            page = self._reader.run_values(*place, ["id"], limit=len(ids), filters=chosen)
            found |= {(*place, run["id"]) for run in page.runs}
        return found

    def charts(self, asked: ChartsAsked) -> Charts:
        """Return the charts of metrics of some runs."""
        places: dict[tuple[str, str], list[Path]] = {}
        for shown in asked.runs:
            places.setdefault(shown.path[:2], []).append(shown.path)
        known: dict[str, None] = {}
        for place, paths in places.items():
            found = self._reader.metrics(*place, [path[2] for path in paths])
            known.update((each.key, None) for each in found.metrics if each.numbers and not each.hidden)
        # Counters of steps are straight lines: they are last.
        found_keys = (key for key in known if matches(asked.pattern, key))
        keys = sorted(found_keys, key=lambda key: (key in COUNTERS, key))
        chosen = [asked.key] if asked.key else keys[asked.first : asked.first + asked.limit]
        if not chosen:
            return Charts(asked, len(keys), [])
        lines: dict[str, dict[Path, RunLine]] = {key: {} for key in chosen}
        for place, paths in places.items():
            for line in self._reader.run_lines(
                *place,
                [path[2] for path in paths],
                chosen,
                x=asked.x,
                points=asked.points,
                low=asked.low,
                high=asked.high,
            ):
                lines[line.key][(*place, line.run)] = line
        charts = []
        for key, of_runs in lines.items():
            # Curves with different x axes cannot be drawn over each other.
            axes = {line.x for line in of_runs.values()}
            x = axes.pop() if len(axes) == 1 else asked.x or "_step"
            curves = [
                _curve(shown, of_runs[shown.path])
                for shown in asked.runs
                if shown.path in of_runs and of_runs[shown.path].x == x
            ]
            charts.append(Chart(key, x, [curve for curve in curves if len(curve.x)]))
        return Charts(asked, len(keys), charts)

    def system(self, asked: ChartsAsked) -> Charts:
        """Return the charts of system metrics of some runs, with a curve for each rank and each GPU."""
        found: dict[str, dict[Shown, list[tuple[float, Any]]]] = {}
        for path, label, sign in asked.runs:
            samples = [each for each in self._reader.system(*path, points=asked.points) if each.rows]
            start = min((each.rows[0]["_timestamp"] for each in samples), default=0.0)
            several = len({(each.rank, each.child) for each in samples}) > 1
            for each in samples:
                whole = Shown(path, label, sign)
                if several:
                    whole = Shown(path, f"{label} {_rank_name(each)}", f"{sign}{each.rank}")
                for row in each.rows:
                    for name, value in row.items():
                        if name.startswith(("_", "gpu.process.")) or not isinstance(value, (int, float)):
                            continue  # gpu.process.N has the values of gpu.N again
                        key, curve = name, whole
                        if gpu := _GPU.fullmatch(name):
                            key = f"gpu.{gpu[2]}"
                            own = whole.sign if several else f"{sign}{gpu[1]}"
                            curve = Shown(path, f"{whole.name} GPU {gpu[1]}", own)
                        points = found.setdefault(key, {}).setdefault(curve, [])
                        points.append((row["_timestamp"] - start, value))
        keys = sorted(key for key in found if matches(asked.pattern, key))
        chosen = [asked.key] if asked.key else keys[asked.first : asked.first + asked.limit]
        charts = []
        for key in chosen:
            curves = []
            for (path, label, sign), points in found.get(key, {}).items():
                x, y = np.array(sorted(points, key=lambda point: point[0]), float).T
                inside = (x >= (asked.low if asked.low is not None else -np.inf)) & (
                    x <= (asked.high if asked.high is not None else np.inf)
                )
                curves.append(Curve.of_values(label, sign, path, x[inside], y[inside]))
            charts.append(Chart(key, "_runtime", [curve for curve in curves if len(curve.x)]))
        return Charts(asked, len(keys), charts)

    def log(self, asked: LogAsked) -> Log:
        """Return lines of the output of a run."""
        run = self._run(asked.run)
        ranks = sorted({each.rank for each in run.segments if not each.child})
        rank = asked.rank if asked.rank in ranks else None
        if asked.search:
            page = self._reader.console(*asked.run, rank=rank, search=asked.search, tail=FOUND_LINES)
        elif asked.first is None:
            page = self._reader.console(*asked.run, rank=rank, tail=asked.limit)
        else:
            page = self._reader.console(*asked.run, rank=rank, offset=asked.first, limit=asked.limit)
        return Log(asked, page.total, page.lines, ranks)

    def overview(self, path: Path) -> list[str]:
        """Return the lines of ``tracker show``."""
        return list(lines_of(self._run(path), None))

    def _run(self, path: Path) -> Run:
        return Run(self._reader, self._reader.run(*path))

    def media(self, asked: MediaAsked) -> Media:
        """Return the media of a run at a step."""
        logged = self._logged_media(asked.run, asked.pattern)
        images: list[tuple[str, int, MediaItem]] = []
        others: list[str] = []
        for key, by_step in logged.items():
            steps = list(by_step)
            step = steps[-1 if asked.step is None else max(bisect(steps, asked.step) - 1, 0)]
            pictures = [each for each in by_step[step] if each.is_image]
            names = [f"{key}[{at}]" if len(pictures) > 1 else key for at in range(len(pictures))]
            images += [(name, step, each) for name, each in zip(names, pictures, strict=True)]
            rest = (each for each in by_step[step] if not each.is_image)
            others += [f"{one_line(key)}  step {step}  {each.line()}" for each in rest]
        every_step = sorted({step for by_step in logged.values() for step in by_step})
        chosen = min(asked.chosen, max(len(images) - 1, 0))
        below = min(len(others), asked.height - 1 if not images else asked.height // 3)
        height = asked.height - 1 - below
        page = tiles_of(1 if asked.enlarged else len(images), asked.width, height)
        first = chosen // max(len(page), 1) * len(page)
        tiles = []
        for place, (name, step, item) in zip(page, images[first : first + len(page)], strict=False):
            caption = one_line("  ".join(part for part in (f"step {step}", item.caption) if part))
            inner = place.inner
            tiles.append(Tile(place, one_line(name), caption, self._picture(asked, item, inner)))
        return Media(asked, every_step, len(images), first, tiles, others)

    def _logged_media(self, path: Path, pattern: str) -> dict[str, dict[int, list[MediaItem]]]:
        """Return the media of each key by step. Of the run before, only new rows are read."""
        run = self._reader.run(*path)
        # Keys with values of several kinds, and with nested dicts, are "other".
        infos = [each for each in run.keys if each.kind in ("image", "media", "other")]
        keys = [each.key for each in infos]
        seen = (path, keys, len(run.segments))
        count = sum(each.count for each in infos)
        last = max((each.last_step or 0 for each in infos), default=0)
        before, count_before, last_before = self._media_seen
        first = last_before if seen == before and count >= count_before else None
        if first is None:
            self._media = {}
        if infos and (first is None or count > count_before):
            for row in stream_rows(self._reader, path, keys, first):
                for key in keys:
                    for name, items in media_by_key(key, row.get(key)):
                        self._media.setdefault(name, {})[row["_step"]] = items
        self._media_seen = (seen, count, last)
        return {key: self._media[key] for key in sorted(self._media) if matches(pattern, key)}

    def _picture(self, asked: MediaAsked, item: MediaItem, place: Place) -> list[PictureRow] | str:
        """Return an image for a place, or why it cannot be drawn. The last ones are kept."""
        size = (place.width, place.height)
        look = (asked.dark, asked.true_color)
        known = self._pictures.pop((asked.run, item.path, size, look), None)
        if known is None:
            try:
                known = half_blocks(self._content(asked.run, item.path), *size, *look)
            except (UsageError, NotFoundError, ArtifactError, StoreError, OSError) as error:
                return one_line(" ".join(str(error).split()))
        self._pictures[asked.run, item.path, size, look] = known
        while len(self._pictures) > KEPT_PICTURES:
            del self._pictures[next(iter(self._pictures))]
        return known

    def _content(self, run: Path, path: str) -> bytes:
        if "://" in path:
            raise UsageError(f"The image is at {path}")
        files = self._reader.file_page(*run, prefix=path, offset=0, limit=1).files
        if not files or files[0].path != path:
            raise NotFoundError(f"The run has no file {path}")
        if files[0].size > MOST_BYTES:
            raise UsageError(f"A file of {as_size(files[0].size)} is too large to be drawn")
        return b"".join(self._reader.file_chunks(*run, files[0]))

    def alerts(self) -> tuple[list[Alert], list[Alert]]:
        """Return the alerts of the listed runs that changed last, newest first; and those that are new."""
        recent: list[tuple[float, str, Path]] = []
        for runs in self._search("", NEWEST_FIRST):
            place = (runs.entity, runs.project)
            page = self._reader.run_values(
                *(*place, ["id", "state", "updated_at"]),
                limit=WITH_ALERTS,
                offset=0,
                order="-updated_at",
                filters=runs.filters,
            )
            recent += [(run["updated_at"], run["state"], (*place, run["id"])) for run in page.runs]
        recent.sort(reverse=True)
        new: list[Alert] = []
        for updated_at, state, path in recent[:WITH_ALERTS]:
            known = self._alerts.get(path)
            # An alert does not change the time of the last row.
            if known is not None and known[0] == (updated_at, state) and state in ENDED:
                continue
            try:
                run = self._reader.run(*path)
            except NotFoundError:  # deleted between the two reads
                continue
            found = _alerts_of(run, path)
            new += [
                alert
                for alert in found
                if (alert not in known[1] if known is not None else alert.info.time >= self._started_at)
            ]
            self._alerts[path] = ((updated_at, state), found)
        every = [alert for _, alerts in self._alerts.values() for alert in alerts]
        return sorted(every, key=lambda alert: -alert.info.time), new


def tiles_of(count: int, width: int, height: int) -> list[Place]:
    """Return the places of images on a panel below its heading: as many as fit, and as large as possible.

    Args:
        count: The number of images.
        width: The number of columns.
        height: The number of rows below the heading.
    """
    most_columns, most_rows = max(1, width // TILE_WIDTH), max(1, height // TILE_HEIGHT)
    if count == 0 or height < 3:
        return []
    grids = [(-(-count // columns), columns) for columns in range(1, most_columns + 1)]
    grids = [grid for grid in grids if grid[0] <= most_rows] or [(most_rows, most_columns)]
    # A row is as high as two columns are wide.
    rows, columns = max(grids, key=lambda grid: min(2 * (height // grid[0]), width // grid[1]))
    high, wide = height // rows, width // columns
    shown = range(min(count, rows * columns))
    return [Place(1 + at // columns * high, at % columns * wide, high, wide) for at in shown]


def _alerts_of(run: RunDetail, path: Path) -> list[Alert]:
    return [Alert(path, run.name, each) for each in run.alerts]


def _rank_name(samples: SystemMetrics) -> str:
    child = " child" if samples.child else ""
    return f"rank {samples.rank}{child}{f' {samples.host}' if samples.host else ''}"


def _curve(shown: Shown, line: RunLine) -> Curve:
    columns = {name: np.asarray(values, float) for name, values in line.columns.items()}
    x = columns["x"]
    if line.kind == "points":
        return Curve.of_values(shown.name, shown.sign, shown.path, x, columns["y"])
    extremes = columns["min"], columns["max"]
    return Curve(shown.name, shown.sign, shown.path, x, *extremes, columns["mean"], columns["nonfinite"] > 0)


def _path(run: Run) -> Path:
    entity, project, run_id = run.path
    return entity, project, run_id


def paths_of(runs: Iterable[Fields]) -> list[Path]:
    """Return the paths of runs of a ``RunList``."""
    return [(run["entity"], run["project"], run["id"]) for run in runs]
