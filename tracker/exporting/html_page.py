"""Export of runs and charts as one HTML file, which opens without a server and without a network.

The charts are SVG with whole numbers from 0 to 10,000 as coordinates. A short script shows the values under
the pointer. The Content-Security-Policy of the page allows only this script, and no request.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.errors import UsageError
from tracker.exporting.run_colors import color_of
from tracker.ground.values import dumps, flatten
from tracker.version import __version__

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.curves import RunLine
    from tracker.ground.field_infos import MetricInfo
    from tracker.reading.reader import Reader

MOST_RUNS = 500
MOST_CHARTS = 100
# The largest number of points of a line, and of all lines. A point takes about 10 bytes, with its band 30.
LINE_POINTS = 1000
_ALL_POINTS = 300_000
# With more lines in a chart, their bands would cover each other.
_MOST_BANDS = 10
_LEAST_POINTS = 10
# The largest number of columns of the table for the config, and for the summary.
_MOST_COLUMNS = 40
_SIZE = 10_000
_TICKS = 4
# The share of the height that stays empty above and below the lines.
_MARGIN = 0.04
_LARGEST = 1e300
_AXES = {"_step": "step", "_runtime": "seconds since the start", "_timestamp": "time (UTC)"}


@dataclass
class HtmlPage:
    """A page with runs and charts.

    Args:
        runs: The runs.
        globs: Draw only metrics that match a pattern. None: all metrics with numbers that are not hidden.

    Attributes:
        notes: What the page leaves out: one line for each limit.

    Raises:
        UsageError: The runs are too many, or no metric matches.
    """

    runs: Sequence[Run]
    globs: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.runs) > MOST_RUNS:
            raise UsageError(
                f"An HTML file has at most {MOST_RUNS} runs, not {len(self.runs)}. Select fewer with --query."
            )
        self._charts = self._find_charts()

    def pieces(self) -> Iterator[bytes]:
        """Yield the content of the file in pieces."""
        return (piece.encode("utf-8", "replace") for piece in self._pieces())

    def _pieces(self) -> Iterator[str]:
        folder = Path(__file__).parent
        style = (folder / "html_page.css").read_text("utf-8") + self._colors()
        script = (folder / "html_page.js").read_text("utf-8")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        title = escape(self._title())
        yield "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
        yield (
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'\">\n"
        )
        yield '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        yield f"<title>{title}</title>\n<style>\n{style}</style>\n<h1>{title}</h1>\n"
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
        yield f"<p>Exported {now} UTC by tracker {__version__}.</p>\n"
        yield from (f"<p>{escape(note)}</p>\n" for note in self.notes)
        yield f"<h2>Runs</h2>\n<div class=wide tabindex=0>{self._table()}</div>\n"
        yield "<h2>Charts</h2>\n<div class=charts>\n"
        for key, lines in self._read(self._charts, None).items():
            yield self._chart(key, lines)
        yield "</div>\n<h2>Config and summary</h2>\n"
        for run in self.runs:
            values = {"config": run.config, "summary": run._info.summary}
            yield (
                f"<details><summary>{escape(run.name)} <code>{escape('/'.join(run.path))}</code></summary>"
                f"<pre>{escape(dumps(values, indent=2))}</pre></details>\n"
            )
        yield f"<script>{script}</script>\n"

    def _title(self) -> str:
        if len(self.runs) == 1:
            return self.runs[0].name
        projects = sorted({"/".join(run.path[:2]) for run in self.runs})
        return f"{len(self.runs)} runs of {', '.join(projects[:3])}{', …' if len(projects) > 3 else ''}"

    def _colors(self) -> str:
        """Return a rule for each run: its colour on the dashboard, for a light and a dark page."""
        rules = {
            theme: "".join(f".r{at}{{color:{color_of(run.id, theme)}}}" for at, run in enumerate(self.runs))
            for theme in ("light", "dark")
        }
        return f"{rules['light']}\n@media (prefers-color-scheme:dark){{{rules['dark']}}}\n"

    def _table(self) -> str:
        rows = [dict(_fields(run)) for run in self.runs]
        if len(self._by_project()) == 1:  # the title of the page names it
            for row in rows:
                del row["project"]
        columns = self._columns(rows)
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = []
        for at, (run, row) in enumerate(zip(self.runs, rows, strict=True)):
            name = (
                f"<label class=r{at}><input type=checkbox checked data-run={at}><i></i>"
                f'<span id=run{at} title="{escape("/".join(run.path))}">{escape(run.name)}</span></label>'
            )
            body.append(f"<tr><th>{name}</th>{''.join(_cell(row.get(name)) for name in columns)}</tr>")
        return (
            f"<table><thead><tr><th>run</th>{head}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody></table>"
        )

    def _columns(self, rows: list[dict[str, Any]]) -> list[str]:
        """Return the columns of the table. Keys with different values in the runs come first."""
        found: dict[str, dict[str, set[str]]] = {"": {}, "config.": {}, "summary.": {}}
        for row in rows:
            for name, value in row.items():
                prefix = next((each for each in ("config.", "summary.") if name.startswith(each)), "")
                found[prefix].setdefault(name, set()).add(dumps(value))
        columns = list(found[""])
        for prefix in ("config.", "summary."):
            names = sorted(
                found[prefix],
                key=lambda name: (len(found[prefix][name]) < 2, name),
            )
            columns += names[:_MOST_COLUMNS]
        return columns

    def _find_charts(self) -> list[str]:
        known: dict[str, int] = {}
        for entity, project, numbers, reader in self._by_project():
            for each in reader.metrics(entity, project, list(numbers)).metrics:
                if each.numbers and self._is_wanted(each):
                    known[each.key] = known.get(each.key, 0) + each.runs
        if self.globs and not known:
            raise UsageError(f"No metric of the runs matches {', '.join(self.globs)}.")
        chosen = sorted(known, key=lambda key: -known[key])[:MOST_CHARTS]
        if len(chosen) < len(known):
            self.notes.append(
                f"The page has the {len(chosen)} metrics that most runs have, of {len(known)}. "
                "Choose metrics with --metrics."
            )
        lines = max(1, len(chosen) * len(self.runs))
        self._points = max(_LEAST_POINTS, min(LINE_POINTS, _ALL_POINTS // lines))
        if self._points < LINE_POINTS:
            self.notes.append(f"Lines have at most {self._points} points, because there are {lines:,} lines.")
        return sorted(chosen)

    def _is_wanted(self, metric: MetricInfo) -> bool:
        if self.globs:
            return any(fnmatchcase(metric.key, glob) for glob in self.globs)
        return not metric.hidden and not metric.key.startswith("_")

    def _by_project(self) -> list[tuple[str, str, dict[str, int], Reader]]:
        """Return entity and name of each project, the number of each of its runs by id, and their reader."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for at, run in enumerate(self.runs):
            found.setdefault((run.entity, run.project), {})[run.id] = at
        return [(*place, numbers, self.runs[0]._reader) for place, numbers in found.items()]

    def _read(self, keys: list[str], x: str | None) -> dict[str, list[tuple[int, RunLine]]]:
        """Return the lines of each key, with the numbers of their runs. All keys together are read faster."""
        lines: dict[str, list[tuple[int, RunLine]]] = {key: [] for key in keys}
        for entity, project, numbers, reader in self._by_project() if keys else ():
            for line in reader.run_lines(entity, project, list(numbers), keys, x=x, points=self._points):
                if len(line.columns["x"]):
                    lines[line.key].append((numbers[line.run], line))
        return {key: sorted(found, key=lambda each: each[0]) for key, found in lines.items()}

    def _chart(self, key: str, lines: list[tuple[int, RunLine]]) -> str:
        if len({line.x for _, line in lines}) > 1:  # runs with different axes have only the step in common
            lines = self._read([key], "_step")[key]
        axis = lines[0][1].x if lines else "_step"
        xs = _range([line.columns["x"] for _, line in lines], 0)
        with_band = len(lines) <= _MOST_BANDS
        columns = ("y", "last", *(("min", "max") if with_band else ()))
        ys = _range(
            [line.columns[name] for _, line in lines for name in columns if name in line.columns], _MARGIN
        )
        drawn = "".join(_draw(at, line, xs, ys, with_band=with_band) for at, line in lines)
        marks, labels = [], []
        for value in _ticks(*ys):
            place = _SIZE - _place(value, *ys)
            marks.append(f"M0 {place}H{_SIZE}")
            labels.append(f'<span class=y style="top:{place / 100:.2f}%">{_number(value)}</span>')
        for value in _ticks(*xs):
            text = _time(value, xs[1] - xs[0]) if axis == "_timestamp" else _number(value)
            labels.append(f'<span class=x style="left:{_place(value, *xs) / 100:.2f}%">{text}</span>')
        name, shown = escape(key), escape(_AXES.get(axis, axis))
        bounds = " ".join(repr(float(value)) for value in (*xs, *ys))
        return (
            f'<figure><figcaption>{name}</figcaption><div class=plot data-range="{bounds}" '
            f'data-axis="{escape(axis)}">'
            f'<svg viewBox="0 0 {_SIZE} {_SIZE}" preserveAspectRatio=none role=img '
            f'aria-label="{name} by {shown}"><path class=grid d="{"".join(marks)}"/>{drawn}</svg>'
            f"{''.join(labels)}<div class=dot hidden></div><div class=tip hidden></div></div>"
            f"<p class=axis>{shown}</p></figure>\n"
        )


def _fields(run: Run) -> Iterator[tuple[str, Any]]:
    """Yield the cells of a run in the table."""
    info = run._info
    yield "project", f"{info.entity}/{info.project}"
    yield "id", info.id
    yield "state", info.state
    yield "created (UTC)", datetime.fromtimestamp(info.created_at, timezone.utc).strftime("%Y-%m-%d %H:%M")
    yield "seconds", round(info.duration)
    yield "last step", info.last_step
    for name in ("group", "job_type"):
        if getattr(info, name):
            yield name, getattr(info, name)
    if info.tags:
        yield "tags", ", ".join(info.tags)
    for key, value in flatten(run.config, "config."):
        yield key, value
    for key, value in flatten(info.summary, "summary."):
        if not key.startswith("summary._") and not isinstance(value, (dict, list)):
            yield key, value


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"<td class=n>{_number(value) if isinstance(value, float) else value}</td>"
    text = "" if value is None else value if isinstance(value, str) else dumps(value)
    return f'<td title="{escape(text)}">{escape(text[:200])}</td>'


def _number(value: float) -> str:
    return f"{value:.6g}"


def _time(value: float, width: float) -> str:
    form = "%Y-%m-%d" if width > 5 * 86_400 else "%m-%d %H:%M" if width > 300 else "%H:%M:%S"
    return datetime.fromtimestamp(value, timezone.utc).strftime(form)


def _range(columns: Sequence[np.ndarray], margin: float) -> tuple[float, float]:
    """Return the smallest and the largest finite value, with a margin on both sides."""
    values = np.concatenate([np.asarray(column, float) for column in columns]) if columns else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    # Differences of larger numbers are infinite.
    low, high = (float(each) for each in np.clip((values.min(), values.max()), -_LARGEST, _LARGEST))
    space = (high - low) * margin if low < high else abs(low) * 0.1 or 1.0
    return low - space, high + space


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two values."""
    step = 10 ** math.floor(math.log10((high - low) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= _TICKS + 1)
    first = math.ceil(low / step)
    return [at * step for at in range(first, math.floor(high / step) + 1)]


def _place(value: float, low: float, high: float) -> int:
    return round((value - low) / (high - low) * _SIZE)


def _draw(
    at: int, line: RunLine, xs: tuple[float, float], ys: tuple[float, float], *, with_band: bool
) -> str:
    """Return the paths of a run's line, and of the band between the extremes of its buckets."""
    columns = line.columns
    x = _places(columns["x"], *xs)
    y = _places(columns["y" if line.kind == "points" else "last"], *ys, down=True)
    band = ""
    if line.kind == "buckets" and with_band:
        low, high = (_places(columns[name], *ys, down=True) for name in ("min", "max"))
        for start, stop in _pieces(x, low):
            above = [f"{a} {b}" for a, b in zip(x[start:stop], high[start:stop], strict=True)]
            below = [f"{a} {b}" for a, b in zip(x[start:stop], low[start:stop], strict=True)]
            band += f"M{'L'.join([*above, *reversed(below)])}Z"
        band = f'<path class="band r{at}" d="{band}"/>'
    parts = []
    for start, stop in _pieces(x, y):
        found = [f"{a} {b}" for a, b in zip(x[start:stop], y[start:stop], strict=True)]
        parts.append(f"M{'L'.join(found if len(found) > 1 else found * 2)}")
    return f'{band}<path class="line r{at}" data-run={at} d="{"".join(parts)}"/>' if parts else band


def _places(values: Any, low: float, high: float, *, down: bool = False) -> list[int]:
    """Return coordinates; -1 for values that are not finite."""
    given = np.asarray(values, float)
    with np.errstate(all="ignore"):
        found = np.rint((given - low) / (high - low) * _SIZE)
    found = _SIZE - found if down else found
    usable = np.isfinite(given) & (found >= 0) & (found <= _SIZE)
    return [int(each) for each in np.where(usable, found, -1)]


def _pieces(x: list[int], y: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a line without gaps."""
    start = 0
    for at in range(len(y) + 1):
        if at == len(y) or x[at] < 0 or y[at] < 0:
            if at > start:
                yield start, at
            start = at + 1
