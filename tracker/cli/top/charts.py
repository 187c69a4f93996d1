"""The charts of metrics, and those of system metrics."""

from __future__ import annotations

import re

import numpy as np
from textual import events
from textual.binding import Binding

from tracker.cli.output import one_line, width_of
from tracker.cli.top.braille import Curve, Range, draw, range_of
from tracker.cli.top.canvas import Canvas, Place
from tracker.cli.top.colors import color_of
from tracker.cli.top.labels import RUNTIME, position_label, value_labels
from tracker.cli.top.panel import Panel
from tracker.cli.top.reads import Chart, Charts, ChartsAsked, Source

# The smallest size of a chart in the grid.
_WIDTH, _HEIGHT = 30, 9
# Metrics in percent, and the signs of a heat map.
_PERCENT = re.compile(r".*([Pp]ercent|\.gpu|\.memory|\.memoryAllocated)")
_SHADES = "·░▒▓█"
_SMOOTHING = (0.0, 0.6, 0.9, 0.98)
# The largest number of rows of the legend of a grid.
_LEGEND = 3


class ChartPanel(Panel[Charts]):
    """A grid of charts. One of them can be enlarged.

    Attributes:
        pattern: Only metrics that match are shown.
    """

    KEPT = {"pattern": str, "_log": bool, "_smoothing": _SMOOTHING, "_x": (None, RUNTIME)}
    BINDINGS = [
        Binding("left", "move(-1, 0)", "left", show=False),
        Binding("right", "move(1, 0)", "right", show=False),
        Binding("up", "move(0, -1)", "up", show=False),
        Binding("down", "move(0, 1)", "down", show=False),
        Binding("n,pagedown", "page(1)", "Page"),
        Binding("pageup,p", "page(-1)", "previous page", show=False),
        Binding("enter", "enlarge", "Enlarge"),
        Binding("escape", "shrink", "back", show=False),
        Binding("y", "log", "Log"),
        Binding("x", "axis", "x axis", show=False),
        Binding("m", "smooth", "Smooth"),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom in", show=False),
        Binding("minus", "zoom(2)", "zoom out", show=False),
        Binding("0", "zoom(0)", "whole range", show=False),
    ]

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.pattern = ""
        self._log = False
        self._smoothing = 0.0
        self._x: str | None = None
        self._first = 0
        # The chosen chart of the page; the key of the enlarged one, with its range and its cursor.
        self._chosen = 0
        self._enlarged: str | None = None
        self._zoom: tuple[float, float] | None = None
        self._cursor: float | None = None

    def wish(self) -> ChartsAsked | None:
        """See ``Panel.wish``."""
        runs = self.top.shown()
        if not runs or not self.size.width:
            return None
        rows, columns = self._grid()
        if self._enlarged is not None:
            low, high = self._zoom or (None, None)
            points = 2 * self.size.width
            return ChartsAsked(runs, self.pattern, 0, 1, points, self._x, self._enlarged, low, high)
        points = 2 * (self.size.width // columns)
        return ChartsAsked(runs, self.pattern, self._first, rows * columns, points, self._x)

    def read(self, source: Source, wish: ChartsAsked) -> Charts:
        """See ``Panel.read``."""
        return source.charts(wish)

    def show(self, answer: Charts) -> None:
        """Show charts. If the page is behind the last one, show the last one."""
        super().show(answer)
        count = answer.asked.limit
        if self._first and self._first >= answer.total:
            self._first = max(0, (answer.total - 1) // count * count)
            self.ask()

    def filter(self, pattern: str) -> None:
        """Show only the metrics that match."""
        self.pattern, self._first, self._chosen = pattern, 0, 0
        self._enlarged = self._zoom = self._cursor = None
        self.ask()

    def _grid(self) -> tuple[int, int]:
        """Return the number of rows and columns of the grid."""
        return max(1, (self.size.height - 2) // _HEIGHT), max(1, self.size.width // _WIDTH)

    def action_move(self, columns: int, rows: int) -> None:
        """Choose another chart; in the enlarged chart, move the cursor."""
        if self.answer is None:
            return
        if self._enlarged is not None:
            self._move_cursor(columns)
            return
        wide = self._grid()[1]
        to = self._chosen + columns + rows * wide
        count = len(self.answer.charts)
        if to >= count and (self._first + count < self.answer.total):
            self.action_page(1)
        elif to < 0 and self._first:
            self.action_page(-1)
        elif 0 <= to < count:
            self._chosen = to
            self.repaint()

    def action_page(self, pages: int) -> None:
        """Show another page of metrics."""
        rows, columns = self._grid()
        to = self._first + pages * rows * columns
        if self.answer is None or self._enlarged is not None or not 0 <= to < self.answer.total:
            return
        self._first, self._chosen = to, 0
        self.ask()

    def action_enlarge(self) -> None:
        """Enlarge the chosen chart."""
        if self.answer is not None and self._enlarged is None and self._chosen < len(self.answer.charts):
            self._enlarged = self.answer.charts[self._chosen].key
            self.ask()

    def action_shrink(self) -> None:
        """Show the grid again; without an enlarged chart, return to the list of runs."""
        if self._enlarged is None:
            self.top.focus_runs()
            return
        self._enlarged = self._zoom = self._cursor = None
        self.ask()

    def action_log(self) -> None:
        """Draw the logarithms, or the values again."""
        self._log = not self._log
        self.repaint()

    def action_smooth(self) -> None:
        """Smooth the curves more, or not at all."""
        self._smoothing = _SMOOTHING[(_SMOOTHING.index(self._smoothing) + 1) % len(_SMOOTHING)]
        self.repaint()

    def action_axis(self) -> None:
        """Draw the curves over the time since the start of their runs, or over the step."""
        self._x = RUNTIME if self._x is None else None
        self._zoom = self._cursor = None
        self.ask()

    def action_zoom(self, factor: float) -> None:
        """Show a part of the x axis of the enlarged chart around the cursor; all of it for a factor of 0."""
        chart = self._large()
        x = _x_range(chart, self._zoom) if chart is not None else None
        if x is None:
            return
        half = (x.high - x.low) * factor / 2
        at = self._cursor if self._cursor is not None else (x.low + x.high) / 2
        self._zoom = (at - half, at + half) if half > 0 else None
        self.ask()

    def on_click(self, event: events.Click) -> None:
        """Enlarge the clicked chart; in the enlarged chart, move the cursor."""
        if self.answer is None:
            return
        if self._enlarged is not None:
            self._move_cursor(0, event.x)
            return
        for at, place in enumerate(self._places(len(self.answer.charts), self._legend_rows())):
            if 0 <= event.y - place.row < place.height and 0 <= event.x - place.column < place.width:
                self._chosen = at
                self.action_enlarge()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the cursor of the enlarged chart while a button is pressed."""
        if event.button and self._enlarged is not None:
            self._move_cursor(0, event.x)

    def on_mouse_scroll_down(self) -> None:
        """Show the next page; zoom out of the enlarged chart."""
        self.action_page(1) if self._enlarged is None else self.action_zoom(2)

    def on_mouse_scroll_up(self) -> None:
        """Show the previous page; zoom into the enlarged chart."""
        self.action_page(-1) if self._enlarged is None else self.action_zoom(0.5)

    def _large(self) -> Chart | None:
        """Return the enlarged chart, if it has been read."""
        charts = self.answer.charts if self.answer is not None else []
        return next((each for each in charts if each.key == self._enlarged), None)

    def _move_cursor(self, cells: int, column: int | None = None) -> None:
        chart = self._large()
        x = _x_range(chart, self._zoom) if chart is not None else None
        if x is None:
            return
        left, width = self._plot
        if column is None:
            share = 1.0 if self._cursor is None else float(x.share(np.array([self._cursor]))[0])
            column = round(share * (width - 1)) + cells + left
        share = min(max((column - left) / max(width - 1, 1), 0), 1)
        self._cursor = x.low + share * (x.high - x.low)
        self.repaint()

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        self._plot = (0, canvas.width)
        if self.answer is None or not self.top.shown():
            canvas.put(1, 1, "Reading..." if self.top.shown() else "No run is chosen.", "dim")
            return
        canvas.put(0, 1, self._heading(), "dim")
        if self._enlarged is not None:
            self._paint_large(canvas)
            return
        charts = self.answer.charts
        if not charts:
            canvas.put(2, 1, self._nothing())
            return
        rows = self._legend_rows()
        self._paint_legend(canvas, rows)
        for at, (chart, place) in enumerate(zip(charts, self._places(len(charts), rows), strict=False)):
            style = "bold" if at == self._chosen and self.has_focus else "dim"
            canvas.box(place, one_line(chart.key), style)
            self._paint_chart(canvas, place.inner, chart, None)

    def _heading(self) -> str:
        assert self.answer is not None
        asked, shown = self.answer.asked, len(self.answer.charts)
        last = asked.first + shown
        parts = [f"{asked.first + 1}-{last} of {self.answer.total}" if shown > 1 else f"{self.answer.total}"]
        if self._enlarged is not None:
            parts = [one_line(self._enlarged)]
        if self.pattern:
            parts.append(f"filter {one_line(self.pattern)}")
        if self._log:
            parts.append("log scale")
        if self._smoothing:
            parts.append(f"smoothing {self._smoothing}")
        if self._x is not None:
            parts.append("over time")
        if self._zoom is not None:
            parts.append("zoomed (0: all)")
        return "  ".join(parts)

    def _nothing(self) -> str:
        return "No metric matches." if self.pattern else "No metrics yet."

    def _curve_style(self, curve: Curve, chart: Chart) -> str:
        """Return the colour of a curve: that of its run, or its own if a run has several."""
        same = sum(each.run == curve.run for each in chart.curves)
        return color_of(curve.run[2] if same == 1 else curve.label, dark=self.dark)

    def _entries(self) -> list[tuple[str, str]]:
        """Return the entries of the legend with their styles."""
        assert self.answer is not None
        found: dict[str, str] = {}
        for chart in self.answer.charts:
            for curve in chart.curves:
                if curve.sign:
                    found.setdefault(f"{curve.sign} {curve.label}", self._curve_style(curve, chart))
        return sorted(found.items(), key=lambda entry: entry[0].swapcase())

    def _legend_rows(self) -> int:
        entries = self._entries()
        per_row = max(1, (self.size.width - 1) // 26)
        return min(-(-len(entries) // per_row), _LEGEND)

    def _paint_legend(self, canvas: Canvas, rows: int) -> None:
        entries = self._entries()
        per_row = max(1, (canvas.width - 1) // 26)
        most = rows * per_row
        if len(entries) > most:
            entries = [*entries[: most - 1], (f"and {len(entries) - most + 1} more", "dim")]
        for at, (text, style) in enumerate(entries):
            canvas.put(1 + at // per_row, 1 + at % per_row * 26, text, style, 25)

    def _places(self, count: int, legend: int) -> list[Place]:
        rows, columns = self._grid()
        rows = min(rows, max(1, -(-count // columns)))
        columns = min(columns, count) or 1
        height = (self.size.height - 1 - legend) // rows
        width = self.size.width // columns
        return [
            Place(1 + legend + at // columns * height, at % columns * width, height, width)
            for at in range(min(count, rows * columns))
        ]

    def _paint_large(self, canvas: Canvas) -> None:
        chart = self._large()
        if chart is None:
            canvas.put(2, 1, "Reading...", "dim")
            return
        legend = min(len(chart.curves) + 1, max(2, canvas.height // 3))
        self._paint_chart(canvas, Place(1, 0, canvas.height - 1 - legend, canvas.width), chart, self._zoom)
        x = _x_range(chart, self._zoom)
        row = canvas.height - legend
        if x is None or not chart.curves:
            return
        at = x.high if self._cursor is None else self._cursor
        positions = np.concatenate([curve.x for curve in chart.curves])
        at = float(positions[np.abs(positions - at).argmin()])
        name = {"_step": "step", RUNTIME: "time"}.get(chart.x, one_line(chart.x))
        canvas.put(row, 1, f"{name} {position_label(at, chart.x)}  (left, right: move; +, -: zoom)", "dim")
        labels = [f"{curve.sign} {curve.label}".strip() for curve in chart.curves[: legend - 1]]
        width = min(max(map(width_of, labels)), canvas.width // 2)
        for line, (label, curve) in enumerate(zip(labels, chart.curves, strict=False)):
            canvas.put(row + 1 + line, 1, label, self._curve_style(curve, chart), width)
            canvas.put(row + 1 + line, 3 + width, _value_at(curve.smoothed(self._smoothing), at))

    def _paint_chart(
        self, canvas: Canvas, place: Place, chart: Chart, zoom: tuple[float, float] | None
    ) -> None:
        curves = [each.smoothed(self._smoothing) for each in chart.curves]
        if self._log:
            curves = [each.in_log() for each in curves]
        x = _x_range(chart, zoom)
        if x is None or not curves:
            canvas.put(place.row, place.column, "no values yet" if zoom is None else "no values here", "dim")
            return
        y = range_of([column for each in curves for column in (each.low, each.high)])
        labels = self._value_labels(y)
        left = max(map(width_of, labels), default=0) + 1
        width, height = place.width - left, place.height - 1
        if width < 2 or height < 1:
            return
        picture = draw(curves, width, height, x, y)
        column = place.column + left
        for row, text in enumerate(picture.text):
            for at in np.flatnonzero(picture.owners[row] >= 0).tolist():
                style = self._curve_style(chart.curves[picture.owners[row, at]], chart)
                canvas.put(place.row + row, column + at, text[at], style)
        for row, label in zip((0, height // 2, height - 1), labels, strict=False):
            canvas.put(place.row + row, column - 1 - width_of(label), label, "dim")
        if y is None and not any(each.bad.any() for each in curves):
            canvas.put(place.row + height // 2, column + 1, "no value above 0", "dim", width - 1)
        if len(curves) > 1 and y is not None:
            self._paint_signs(canvas, place, column, width, height, chart, curves, x, y)
        left_label, right_label = (position_label(at, chart.x) for at in x)
        if zoom is None and len({float(at) for curve in curves for at in curve.x}) == 1:
            only = position_label(float(curves[0].x[0]), chart.x)
            left_label, right_label = only.center(width), ""
        canvas.put(place.row + height, column, left_label, "dim")
        space = width - width_of(left_label) - width_of(right_label)
        if space > 0:
            canvas.put(place.row + height, column + width - width_of(right_label), right_label, "dim")
        if self._enlarged is not None:
            self._plot = (column, width)
            if self._cursor is not None:
                at = round(float(x.share(np.array([self._cursor]))[0]) * (width - 1))
                for row in range(height if 0 <= at < width else 0):
                    canvas.mark(place.row + row, "reverse", column + at, column + at + 1)

    def _value_labels(self, y: Range | None) -> list[str]:
        if y is None:
            return []
        values = [y.high, y.low / 2 + y.high / 2, y.low]
        return value_labels(
            [10**value if abs(value) < 308 else value for value in values] if self._log else values
        )

    def _paint_signs(
        self,
        canvas: Canvas,
        place: Place,
        column: int,
        width: int,
        height: int,
        chart: Chart,
        curves: list[Curve],
        x: Range,
        y: Range,
    ) -> None:
        """Write the sign of each curve at its last value, or next to it if another sign is there."""
        taken: set[tuple[int, int]] = set()
        for original, curve in zip(chart.curves, curves, strict=True):
            known = np.flatnonzero(np.isfinite(curve.mean))
            if not len(known) or not curve.sign:
                continue
            last = known[-1:]
            at = int(np.clip(x.share(curve.x[last])[0], 0, 1) * (width - 1))
            row = int(np.clip(1 - y.share(curve.mean[last])[0], 0, 1) * (height - 1))
            at = min(at, width - len(curve.sign))
            while any((row, at + more) in taken for more in range(len(curve.sign))) and at > 0:
                at -= 1
            taken |= {(row, at + more) for more in range(len(curve.sign))}
            style = f"bold {self._curve_style(original, chart)}"
            canvas.put(place.row + row, column + at, curve.sign, style)


class SystemPanel(ChartPanel):
    """The charts of system metrics: each rank and each GPU has its own curve, or its row in a heat map."""

    KEPT = {**ChartPanel.KEPT, "_heat": bool}
    BINDINGS = [Binding("h", "heat", "Heat map")]

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._heat = False

    def action_heat(self) -> None:
        """Draw heat maps, or curves again."""
        self._heat = not self._heat
        self.repaint()

    def _paint_chart(
        self, canvas: Canvas, place: Place, chart: Chart, zoom: tuple[float, float] | None
    ) -> None:
        x = _x_range(chart, zoom)
        values = range_of([curve.mean for curve in chart.curves])
        if not self._heat or len(chart.curves) < 2 or x is None or values is None:
            super()._paint_chart(canvas, place, chart, zoom)
            return
        if _PERCENT.fullmatch(chart.key) and values.low >= 0 and values.high <= 100:
            values = Range(0.0, 100.0)
        row, column, height, width = place
        curves = chart.curves[: height - 1]
        labels = [each.sign or str(at) for at, each in enumerate(curves)]
        left = max(map(width_of, labels)) + 1
        thickness = max(1, (height - 1) // len(curves))
        for at, (label, curve) in enumerate(zip(labels, curves, strict=True)):
            style = self._curve_style(curve, chart)
            cells = heat_row(curve, x, values, width - left)
            canvas.put(row + at * thickness, column, label, style)
            for line in range(thickness):
                canvas.put(row + at * thickness + line, column + left, cells, style)
        low, high = value_labels(values)
        ends = [position_label(at, chart.x) for at in x]
        scale = f"{_SHADES[0]} {low}  {_SHADES[-1]} {high}"
        more = f"  and {len(chart.curves) - len(curves)} more" if len(curves) < len(chart.curves) else ""
        canvas.put(row + height - 1, column, f"{ends[0]} to {ends[1]}   {scale}{more}", "dim", width)
        self._plot = (column + left, width - left)

    def read(self, source: Source, wish: ChartsAsked) -> Charts:
        """See ``Panel.read``."""
        return source.system(wish)

    def action_axis(self) -> None:
        """Do nothing: samples have no step."""

    def _nothing(self) -> str:
        return "No system metric matches." if self.pattern else "No system metrics yet."


def heat_row(curve: Curve, x: Range, values: Range, width: int) -> str:
    """Return a row of a heat map: a sign for the mean of the values in each of its columns.

    Args:
        curve: The curve.
        x: The range of the columns.
        values: The range of the signs.
        width: The number of columns.
    """
    known = np.isfinite(curve.mean)
    at = np.floor(x.share(curve.x[known]) * width).clip(-1, width).astype(int)
    at[x.share(curve.x[known]) == 1] = width - 1
    inside = (at >= 0) & (at < width)
    counts = np.bincount(at[inside], minlength=width)
    sums = np.bincount(at[inside], curve.mean[known][inside], minlength=width)
    shares = values.share(sums / np.maximum(counts, 1)).clip(0, 1)
    levels = np.rint(shares * (len(_SHADES) - 1)).astype(int)
    return "".join(_SHADES[level] if count else " " for level, count in zip(levels, counts, strict=True))


def _x_range(chart: Chart, zoom: tuple[float, float] | None) -> Range | None:
    return Range(*zoom) if zoom is not None else range_of([curve.x for curve in chart.curves])


def _value_at(curve: Curve, x: float) -> str:
    """Return the value of a curve at the position that is closest to ``x``."""
    known = np.flatnonzero(np.isfinite(curve.x))
    if not len(known):
        return ""
    at = known[np.abs(curve.x[known] - x).argmin()]
    if curve.bad[at] and not np.isfinite(curve.mean[at]):
        return "NaN or infinite"
    low, high, mean = (float(column[at]) for column in (curve.low, curve.high, curve.mean))
    value = f"{mean:.6g}" if low == high else f"{mean:.6g}  ({low:.6g} to {high:.6g})"
    return value if mean == mean else ""
