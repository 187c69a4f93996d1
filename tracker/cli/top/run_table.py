"""The list of runs on the left side of the screen."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from textual import events
from textual.binding import Binding

from tracker.cli.output import as_age, as_value, one_line, width_of, without_common_start
from tracker.cli.run_selection import NEWEST_FIRST
from tracker.cli.top.canvas import Canvas
from tracker.cli.top.colors import color_of
from tracker.cli.top.panel import Panel
from tracker.cli.top.reads import MOST_SHOWN, Fields, ListAsked, Path, RunList, Shown, Source, paths_of

# The sign and the colour of each state.
STATES = {
    "running": ("▶", "green"),
    "preempting": ("▷", "yellow"),
    "finished": ("✓", "bright_black"),
    "failed": ("✗", "red"),
    "crashed": ("!", "red"),
    "killed": ("■", "yellow"),
    "preempted": ("‖", "yellow"),
}
# The mark of the run whose curves are drawn over all others.
PINNED = "▴"
SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The smallest and the largest width of the column of names.
_NARROWEST, _WIDEST = 16, 48
# The panel shows the words of states if it has at least this width.
_WITH_WORDS = 60


class _Cells(NamedTuple):
    title: str
    cells: list[str]
    right: bool = True


class RunTable(Panel[RunList]):
    """The list of runs. The runs that it shows are read, and some before and after them.

    Args:
        query: The first query.
        order: The first order.
        columns: The keys of the last columns; None for the usual metrics.
    """

    KEPT = {"query_text": str, "order": str}
    BINDINGS = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("space", "mark", "Select"),
        Binding("enter", "app.focus_panel", "Panel"),
        Binding("u", "unmark", "Unselect all", show=False),
        Binding("p", "pin", "Pin", show=False),
    ]

    def __init__(self, query: str, order: str = NEWEST_FIRST, columns: tuple[str, ...] | None = None) -> None:
        super().__init__("runs")
        self.query_text, self.order, self.columns = self._given = query, order, columns
        self.selected: dict[Path, str] = {}
        self._pinned: Path | None = None
        self._cursor = self._first = 0
        # The run of the cursor. The cursor stays at it when other runs appear.
        self._at: Path | None = None

    def kept(self) -> dict[str, Any]:
        """See ``Panel.kept``."""
        chosen = [[*path, name] for path, name in self.selected.items()]
        pinned = list(self._pinned) if self._pinned else None
        return {**super().kept(), "columns": list(self.columns or ()), "selected": chosen, "pinned": pinned}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """See ``Panel.restore``."""
        super().restore(kept)
        if columns := _texts(kept.get("columns")):
            self.columns = columns
        chosen = kept.get("selected")
        for each in chosen[:MOST_SHOWN] if isinstance(chosen, list) else []:
            if len(texts := _texts(each)) == 4:
                self.selected[texts[0], texts[1], texts[2]] = one_line(texts[3])
        pinned = _texts(kept.get("pinned"))
        self._pinned = next((path for path in self.selected if path == pinned), None)

    def forget(self) -> bool:
        """Return to the query, the order and the columns before ``restore``; return whether others were used.

        The keys of a kept query may no longer exist.
        """
        used = self.query_text, self.order, self.columns
        self.query_text, self.order, self.columns = self._given
        return used != self._given

    def unselect_others(self, existing: Collection[Path]) -> None:
        """Unselect the runs that do not exist."""
        self.selected = {path: name for path, name in self.selected.items() if path in existing}
        self._pinned = self._pinned if self._pinned in self.selected else None

    def wish(self) -> ListAsked:
        """See ``Panel.wish``."""
        rows = max(self.size.height - 1, 1)
        first = max(self._first - rows, 0)
        return ListAsked(self.query_text, self.order, self.columns, first, self._first + 2 * rows - first)

    def read(self, source: Source, wish: ListAsked) -> RunList:
        """See ``Panel.read``."""
        return source.list_runs(wish)

    def show(self, answer: RunList) -> None:
        """Show runs. The cursor stays at its run, if that is among them."""
        paths = paths_of(answer.runs)
        if self._at in paths:
            at = answer.asked.first + paths.index(self._at)
            if self._first:
                self._first += at - self._cursor
            self._cursor = at
        for path, run in zip(paths, answer.runs, strict=True):
            if path in self.selected:
                self.selected[path] = one_line(run["name"])
        super().show(answer)
        self._go(self._cursor)

    def run_at(self, index: int) -> Fields | None:
        """Return a run of the list, or None if it has not been read."""
        if self.answer is None:
            return None
        at = index - self.answer.asked.first
        return self.answer.runs[at] if 0 <= at < len(self.answer.runs) else None

    @property
    def current(self) -> Path | None:
        """The run of the cursor."""
        return self._at

    @property
    def current_run(self) -> Fields | None:
        """The fields of the run of the cursor, or None if they have not been read."""
        run = self.run_at(self._cursor)
        return run if run is not None and paths_of([run]) == [self._at] else None

    def shown(self) -> tuple[Shown, ...]:
        """Return the runs whose curves are drawn: the selected ones with the pinned last, or the current."""
        if self.selected:
            several = len(self.selected) > 1
            found = [
                Shown(path, name, SIGNS[at] if several else "")
                for at, (path, name) in enumerate(self.selected.items())
            ]
            return tuple(sorted(found, key=lambda each: each.path == self._pinned))
        run = self.current_run
        return () if self._at is None else (Shown(self._at, one_line(run["name"]) if run else "", ""),)

    def search(self, query: str) -> None:
        """List the runs of another query, from the first one."""
        self.query_text, self._first, self._cursor, self._at = query, 0, 0, None
        self.ask()

    def sort(self, order: str) -> None:
        """List the runs in another order."""
        self.order, self._first, self._cursor, self._at = order or NEWEST_FIRST, 0, 0, None
        self.ask()

    def choose(self, columns: str) -> None:
        """Show other columns; the usual ones for an empty text."""
        self.columns = tuple(key.strip() for key in columns.split(",") if key.strip()) or None
        self.ask()

    def go_back(self) -> None:
        """Return to the query, the order and the columns of the shown list: the new ones are invalid."""
        if self.answer is not None:
            self.query_text, self.order, self.columns = self.answer.asked[:3]

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by the height of the panel."""
        self._go(self._cursor + pages * max(self.size.height - 2, 1))

    def action_go(self, index: int) -> None:
        """Move the cursor to the first or the last run."""
        self._go(index if index >= 0 else (self.answer.total if self.answer else 0) - 1)

    def action_mark(self) -> None:
        """Select the run of the cursor, or unselect it; move to the next one."""
        run = self.current_run
        if run is None or self._at is None:
            return
        if self._at == self._pinned:
            self._pinned = None
        if self.selected.pop(self._at, None) is None:
            if len(self.selected) >= MOST_SHOWN:
                self.app.notify(f"At most {MOST_SHOWN} runs can be selected.", severity="warning")
                return
            self.selected[self._at] = one_line(run["name"])
        self._go(self._cursor + 1)
        self.ask()

    def action_unmark(self) -> None:
        """Unselect all runs."""
        self.selected.clear()
        self._pinned = None
        self.ask()

    def action_pin(self) -> None:
        """Draw the curves of the run of the cursor over all others, or no longer."""
        if self._at == self._pinned:
            self._pinned = None
        elif self._at is not None:
            if self._at not in self.selected:
                self.action_mark()
                self._go(self._cursor - 1)
            if self._at in self.selected:
                self._pinned = self._at
        self.ask()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked run."""
        if event.y >= 1:
            self._go(self._first + event.y - 1)

    def on_mouse_scroll_down(self) -> None:
        """Move the cursor down."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """Move the cursor up."""
        self.action_move(-3)

    def _go(self, index: int) -> None:
        total = self.answer.total if self.answer else 0
        rows = max(self.size.height - 1, 1)
        self._cursor = max(0, min(index, total - 1))
        self._first = max(0, min(self._first, self._cursor, total - 1))
        if self._cursor >= self._first + rows:
            self._first = self._cursor - rows + 1
        run = self.run_at(self._cursor)
        if run is not None:
            self._at = paths_of([run])[0]
        elif not total:
            self._at = None
        self.ask()

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        answer = self.answer
        if answer is None:
            canvas.put(0, 1, "Reading runs...", "dim")
            return
        if not answer.total:
            canvas.put(1, 1, "No run matches." if self.query_text else "No runs yet.", "bold")
            canvas.put(
                2, 1, "A run appears here when it starts." if not self.query_text else "/ changes the query."
            )
            return
        indices = range(self._first, min(self._first + canvas.height - 1, answer.total))
        runs = [self.run_at(index) for index in indices]
        columns = self._columns(runs, canvas.width)
        names = [one_line(run["name"]) if run else "…" for run in runs]
        several = len({run["project"] for run in answer.runs}) > 1
        if several:
            names = [
                f"{one_line(run['project'])}/{name}" if run else name
                for run, name in zip(runs, names, strict=True)
            ]
        widths = [max(map(width_of, [each.title, *each.cells])) for each in columns]
        space = canvas.width - 4
        if max(map(width_of, names)) > space - sum(widths) - len(widths):
            names = without_common_start(names)
        wanted = min(max(map(width_of, [*names, "NAME"])), _WIDEST)
        ordered = any(set(each.fields) & set(answer.sorted_by) for each in answer.columns)
        while len(columns) > ordered and space - sum(widths) - len(widths) < min(
            wanted, max(_NARROWEST, space // 3)
        ):
            columns.pop()
            widths.pop()
        name_width = max(min(wanted, space - sum(widths) - len(widths)), 1)
        starts = []
        at = 4 + name_width + 1
        for width in widths:
            starts.append(at)
            at += width + 1
        canvas.put(0, 4, "NAME", "bold", name_width)
        for each, start, width in zip(columns, starts, widths, strict=True):
            canvas.put(0, start + (width - width_of(each.title)) * each.right, each.title, "bold")
        shown = {each.path: each.sign for each in self.shown()}
        for row, (index, run, name) in enumerate(zip(indices, runs, names, strict=True)):
            if run is None:
                canvas.put(row + 1, 4, name, "dim")
                continue
            (path,) = paths_of([run])
            color = color_of(path[2], dark=self.dark)
            sign, style = STATES.get(run["state"], ("?", ""))
            if path in shown:
                canvas.put(row + 1, 0, shown[path] or "●", f"bold {color}")
            if path == self._pinned:
                canvas.put(row + 1, 1, PINNED, f"bold {color}")
            canvas.put(row + 1, 2, sign, f"bold {style}")
            canvas.put(row + 1, 4, name, color if path in shown else "", name_width)
            for each, start, width in zip(columns, starts, widths, strict=True):
                cell = each.cells[row]
                canvas.put(row + 1, start + (width - width_of(cell)) * each.right, cell)
            if index == self._cursor:
                canvas.mark(row + 1, "bold reverse" if self.has_focus else "bold underline", first=4)

    def _columns(self, runs: list[Fields | None], width: int) -> list[_Cells]:
        assert self.answer is not None
        now = time.time()

        def cells(title: str, text: Any) -> _Cells:
            return _Cells(title, [text(run) if run else "" for run in runs])

        found = []
        if width >= _WITH_WORDS:
            found.append(cells("STATE", lambda run: run["state"])._replace(right=False))
        found.append(cells("STEP", lambda run: as_value(run["last_step"])))
        found.append(cells("AGE", lambda run: as_age(now - run["created_at"])))
        for column in self.answer.columns:
            values = cells(
                one_line(column.title)[-16:],
                lambda run, fields=column.fields: next(
                    (as_value(run[field]) for field in fields if run.get(field) is not None), ""
                ),
            )
            # The last columns are left out first: the values that the order compares stay.
            found.insert(0 if set(column.fields) & set(self.answer.sorted_by) else len(found), values)
        return found


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts; nothing for another value."""
    is_texts = isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
    return tuple(value) if is_texts else ()
