"""The panels with text: the output of a run, its overview, and the alerts."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from rich.text import Text
from textual.binding import Binding
from textual.notifications import SeverityLevel

from tracker.cli.output import as_time, for_terminal, one_line
from tracker.cli.top.canvas import CONSOLE, Canvas
from tracker.cli.top.panel import Panel
from tracker.cli.top.reads import Alert, Log, LogAsked, Path, Source

A = TypeVar("A")
# More rows than any panel has.
_ALL = 10**12
# The largest number of new alerts that are shown over the other panels at once.
_MOST_TOASTS = 3
# The number of characters of a line of output that are shown.
_LONGEST = 20_000
# The sign and the colour of each level of alerts.
LEVELS = {"INFO": ("i", "blue"), "WARN": ("!", "yellow"), "ERROR": ("✗", "red")}
_SEVERITIES: dict[str, SeverityLevel] = {"WARN": "warning", "ERROR": "error"}


class Row(NamedTuple):
    """A row of text with its style."""

    text: str
    style: str = ""


def output_text(text: str) -> Text:
    """Return a line of output with its colours. No other control character stays."""
    return Text.from_ansi(for_terminal(text[:_LONGEST]).expandtabs(8), no_wrap=True)


def wrapped(text: Text, width: int) -> list[Text]:
    """Return the rows that a line takes in a panel."""
    return list(text.wrap(CONSOLE, max(width, 1), no_wrap=False)) or [text]


class ScrolledPanel(Panel[A]):
    """A panel that scrolls over rows of text."""

    BINDINGS = [
        Binding("up,k", "scroll(-1)", "up", show=False),
        Binding("down,j", "scroll(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", f"scroll({-_ALL})", "first row", show=False),
        Binding("end,G", f"scroll({_ALL})", "last row", show=False),
        Binding("escape", "app.focus_runs", "back", show=False),
    ]

    def action_scroll(self, rows: int) -> None:
        """Scroll by a number of rows."""
        raise NotImplementedError

    def action_page(self, pages: int) -> None:
        """Scroll by the height of the panel."""
        self.action_scroll(pages * max(self.size.height - 2, 1))

    def on_mouse_scroll_down(self) -> None:
        """Scroll down."""
        self.action_scroll(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self.action_scroll(-3)


class LogPanel(ScrolledPanel[Log]):
    """The output of the run of the cursor. The panel follows the end of it, until the user scrolls back."""

    KEPT = {"_wrap": bool}
    BINDINGS = [
        Binding("home,g", "begin", "first line", show=False),
        Binding("end,G", "follow", "Follow"),
        Binding("w", "wrap", "Wrap"),
        Binding("r", "rank", "Rank"),
    ]

    def __init__(self) -> None:
        super().__init__("logs")
        self.pattern = ""
        self._first: int | None = None  # the first shown line; None: the end is followed
        self._wrap = False
        self._rank: int | None = None
        self._run: Path | None = None

    def wish(self) -> LogAsked | None:
        """See ``Panel.wish``."""
        run = self.top.current
        if run != self._run:
            self._run, self._first, self._rank = run, None, None
        if run is None:
            return None
        rows = max(self.size.height, 1)
        first = None if self._first is None or self.pattern else max(0, self._first - rows)
        return LogAsked(run, self._rank, self.pattern, first, 3 * rows)

    def read(self, source: Source, wish: LogAsked) -> Log:
        """See ``Panel.read``."""
        return source.log(wish)

    def filter(self, pattern: str) -> None:
        """Show only lines that contain a text."""
        self.pattern, self._first = pattern, None
        self.ask()

    def _numbers(self) -> range:
        """Return the numbers of the lines of the answer: in all lines, or in those that were found."""
        assert self.answer is not None
        asked, lines = self.answer.asked, self.answer.lines
        first = lines[0].line if lines and not asked.search else 0
        return range(first, first + len(lines))

    def _total(self) -> int:
        assert self.answer is not None
        return len(self.answer.lines) if self.answer.asked.search else self.answer.total

    def action_scroll(self, rows: int) -> None:
        """Scroll by a number of lines."""
        if self.answer is None:
            return
        height = max(self.size.height - 1, 1)
        end = max(self._total() - height, 0)
        first = max((end if self._first is None else self._first) + rows, 0)
        self._first = first if first < end else None
        self.ask()

    def action_begin(self) -> None:
        """Show the first lines."""
        self.action_scroll(-_ALL)

    def action_follow(self) -> None:
        """Show the end, and what follows."""
        self._first = None
        self.ask()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self._wrap = not self._wrap
        self.repaint()

    def action_rank(self) -> None:
        """Show the output of the next rank."""
        ranks = [None, *(self.answer.ranks if self.answer is not None else [])]
        if len(ranks) > 2:
            self._rank = ranks[(ranks.index(self._rank) + 1) % len(ranks)]
            self._first = None
            self.ask()

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        answer = self.answer
        if answer is None or answer.asked.run != self.top.current:
            canvas.put(1, 1, "Reading..." if self.top.current else "No run is chosen.", "dim")
            return
        height = canvas.height - 1
        rows: list[tuple[Text, str]] = []
        shown = answer.lines
        if self._first is not None:
            numbers = self._numbers()
            shown = shown[max(self._first - numbers.start, 0) :]
        for line in shown[-height:] if self._first is None else shown[:height]:
            text = output_text(line.text)
            for each in wrapped(text, canvas.width - 2) if self._wrap else [text]:
                rows.append((each, line.stream))
        rows = rows[-height:] if self._first is None else rows[:height]
        canvas.put(0, 1, self._heading(answer), "dim")
        if not rows:
            canvas.put(2, 1, "No line matches." if answer.asked.search else "No output yet.")
        for at, (text, stream) in enumerate(rows):
            if stream == "stderr":
                canvas.put(at + 1, 0, "▎", "red")
            canvas.put_text(at + 1, 1, text)

    def _heading(self, answer: Log) -> str:
        total = f"{answer.total} lines"
        if answer.asked.search:
            total = f"{len(answer.lines)} lines contain {one_line(answer.asked.search)}"
        at = "following" if self._first is None else f"from line {self._first + 1}  (G: follow)"
        rank = ""
        if len(answer.ranks) > 1:
            chosen = "page of the run" if self._rank is None else str(self._rank)
            rank = f"rank: {chosen} of {len(answer.ranks)} (r)"
        return "  ".join(part for part in (total, at, rank) if part)


class TextPanel(ScrolledPanel[A]):
    """A panel with all its rows in memory."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._offset = self._rows = 0

    def rows(self, width: int) -> list[Row]:
        """Return all rows."""
        raise NotImplementedError

    def action_scroll(self, rows: int) -> None:
        """See ``ScrolledPanel.action_scroll``."""
        self._offset += rows  # ``paint`` limits it
        self.repaint()

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        rows = self.rows(canvas.width - 2)
        self._offset = max(0, min(self._offset, len(rows) - canvas.height))
        for at, row in enumerate(rows[self._offset : self._offset + canvas.height]):
            canvas.put(at, 1, *row)


class OverviewPanel(TextPanel[list[str]]):
    """The overview of the run of the cursor: the page of ``tracker show``."""

    def __init__(self) -> None:
        super().__init__("overview")
        self.pattern = ""
        self._run: Path | None = None

    def wish(self) -> Path | None:
        """See ``Panel.wish``."""
        if self.top.current != self._run:
            self._run, self._offset, self.answer = self.top.current, 0, None
            self.repaint()
        return self._run

    def read(self, source: Source, wish: Path) -> list[str]:
        """See ``Panel.read``."""
        return source.overview(wish)

    def rows(self, width: int) -> list[Row]:
        """See ``TextPanel.rows``."""
        if self.answer is None:
            return [Row("Reading..." if self._run else "No run is chosen.", "dim")]
        found: list[Row] = []
        head: list[Row] = []
        for at, line in enumerate(self.answer):
            # The first line is the name. A title follows an empty line, and its section is indented.
            below = self.answer[at + 1] if at + 1 < len(self.answer) else ""
            title = at == 0 or (line and not line.startswith(" ") and below.startswith(" "))
            rows = _wrap(line, "bold" if title else "", width)
            if not self.pattern:
                found += rows
            elif title:
                head = rows
            elif self.pattern.casefold() in line.casefold():
                found += head + rows
                head = []
        return found or [Row("No line matches.")]

    def filter(self, pattern: str) -> None:
        """Show only lines that contain a text, with the titles of their sections."""
        self.pattern, self._offset = pattern, 0
        self.repaint()


class AlertPanel(TextPanel[tuple[list[Alert], list[Alert]]]):
    """The alerts of the runs that changed last. A new one is also shown over the other panels."""

    def __init__(self) -> None:
        super().__init__("alerts")

    def wish(self) -> bool:
        """See ``Panel.wish``."""
        return True

    def read(self, source: Source, wish: bool) -> tuple[list[Alert], list[Alert]]:
        """See ``Panel.read``."""
        return source.alerts()

    def show(self, answer: tuple[list[Alert], list[Alert]]) -> None:
        """Show the alerts."""
        super().show(answer)
        for alert in answer[1][:_MOST_TOASTS]:
            severity = _SEVERITIES.get(alert.info.level, "information")
            text = one_line(" ".join(alert.info.text.split()))[:200]
            title = one_line(f"{alert.name}: {alert.info.title}")
            self.app.notify(text, title=title, severity=severity, timeout=10, markup=False)

    def rows(self, width: int) -> list[Row]:
        """See ``TextPanel.rows``."""
        alerts = self.answer[0] if self.answer is not None else []
        if not alerts:
            return [Row("" if self.answer is None else "No alerts.", "dim")]
        found = []
        for alert in alerts:
            sign, style = LEVELS.get(alert.info.level, ("i", ""))
            head = f"{sign} {as_time(alert.info.time)}  {alert.info.level}  {alert.name}: {alert.info.title}"
            found += _wrap(one_line(head), f"bold {style}", width)
            for line in alert.info.text.splitlines():
                found += _wrap(f"  {one_line(line)}", "", width)
        return found


def _wrap(text: str, style: str, width: int) -> list[Row]:
    """Return the rows of a line. The rows after the first are indented."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    first, *rest = wrapped(Text(text), width)
    rows = [Row(first.plain, style)]
    if rest:
        tail = Text(text[len(first.plain) :].lstrip())
        rows += [Row(f"{indent}{each.plain}", style) for each in wrapped(tail, width - len(indent))]
    return rows
