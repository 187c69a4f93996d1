"""``TopApp``: the screen of ``tracker top``."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static
from textual.worker import WorkerFailed

from tracker.cli.following import Poller
from tracker.cli.output import one_line
from tracker.cli.top.braille import NOT_FINITE
from tracker.cli.top.canvas import Canvas
from tracker.cli.top.charts import ChartPanel, SystemPanel
from tracker.cli.top.media import MediaPanel
from tracker.cli.top.panel import Panel
from tracker.cli.top.reads import Path, ReadThread, Shown, Source
from tracker.cli.top.run_table import RunTable
from tracker.cli.top.texts import AlertPanel, LogPanel, OverviewPanel
from tracker.errors import Error, UsageError

_TABS = ("charts", "system", "logs", "overview", "alerts", "media")
# Signals that end the program. The terminal gets its former modes back first.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# The time in seconds after which the screen tells that it waits for an answer.
_LONG = 2.0
# The time in seconds between two paintings of the ages of runs.
_AGES = 5.0
# The actions of keys that can also be typed.
_OF_KEYS = ("help", "query", "filter", "sort", "columns", "tab", "width", "dark", "quit")
# A terminal with fewer columns shows the list of runs or a panel, not both.
_NARROW = 64
# The widths of the list of runs as classes of styles: usual, all, hidden.
_WIDTHS = ("", "wide", "hidden")

_HELP = f"""\
Runs (left)
  up, down, page up, page down, home, end   move      space   select, to draw curves over each other
  p   pin: draw its curves over all others      u   unselect all
  enter   go to the panel on the right      b   list: narrow, wide, hidden
  /   query, such as: state:running lr>0.1 val/acc<0.5
  s   sort, such as: -val/acc,name      c   columns, such as: lr,val/loss
  Signs: ▶ running  ▷ preempting  ✓ finished  ✗ failed  ! crashed  ■ killed  ‖ preempted

Charts (1) and system metrics (2)
  arrows   choose a chart      enter   enlarge it      escape   back      n, p   next, previous page
  f   only metrics that match: val/*, or a part of the name
  y   log scale      x   step or time      m   smoothing
  In the enlarged chart: left, right, mouse   cursor      + -, wheel   zoom      0   all
  h   heat map of system metrics: a row for each rank and GPU
  {NOT_FINITE} under a curve: a value that is NaN or infinite

Logs (3)
  arrows, page up, page down, home   scroll      end   follow      w   wrap      r   rank
  f   only lines that contain a text      A red bar marks stderr.

Media (6)
  left, right, home, end   step      up, down   choose an image      n, p   next, previous page
  enter   enlarge      escape   back      f   only keys that match

Overview (4), alerts (5)
  arrows, page up, page down   scroll      f   only lines of the overview that contain a text

tab   next panel      d   dark, light      q   quit, and keep the layout (--reset forgets it)
"""


class _Prompt(NamedTuple):
    """The question of the line at the bottom."""

    label: str
    value: str
    use: Callable[[str], None]


class Help(ModalScreen[None]):
    """The keys."""

    def compose(self) -> ComposeResult:
        """Return the widgets."""
        yield VerticalScroll(Static(_HELP, markup=False), id="help", can_focus=False)

    def on_key(self, event: Key) -> None:
        """Scroll, or return to the screen."""
        rows = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}.get(event.key)
        if rows is None:
            self.dismiss()
        else:
            self.query_one("#help").scroll_relative(y=rows, animate=False)

    def on_click(self) -> None:
        """Return to the screen."""
        self.dismiss()


class Heading(Panel[None]):
    """The first line: the project, the number of runs, the query, and the panels on the right side."""

    can_focus = False

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        table = self.top.table
        total = f"{table.answer.total:,} runs" if table.answer is not None else ""
        order = "" if table.order == "-created_at" else f"sort {one_line(table.order)}"
        waiting = "" if self.top.waiting < _LONG else f"reading for {self.top.waiting:.0f} s"
        parts = [self.top.place, total, one_line(table.query_text), order, waiting]
        canvas.put(0, 1, "  ".join(part for part in parts if part), "bold")

    def on_resize(self) -> None:
        """Paint again."""
        self.repaint()


class Tabs(Panel[None]):
    """The names of the panels, with their keys."""

    can_focus = False

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        for start, text, active in self._entries():
            canvas.put(0, start, text, "reverse bold" if active else "")

    def on_click(self, event: Any) -> None:
        """Show the clicked panel."""
        for at, (start, text, _) in enumerate(self._entries()):
            if start <= event.x < start + len(text):
                self.top.action_tab(_TABS[at])

    def on_resize(self) -> None:
        """Paint again."""
        self.repaint()

    def _entries(self) -> list[tuple[int, str, bool]]:
        count = len(self.top.alerts.answer[0]) if self.top.alerts.answer else 0
        # In a narrow panel, first the spaces are left out, then the ends of the names of the hidden panels.
        longest = max(map(len, _TABS))
        for space, letters in [(" ", longest), *(("", letters) for letters in range(longest, 0, -1))]:
            found = []
            start = 0
            for at, name in enumerate(_TABS):
                active = name == self.top.tab
                title = name.capitalize() if active else name.capitalize()[:letters]
                text = f"{at + 1}{space}{title}" + (f" {count}" if name == "alerts" and count else "")
                found.append((start, text, active))
                start += len(text) + 1
            if start - 1 <= self.size.width:
                break
        return found


class TopApp(App[int]):
    """The screen of ``tracker top``.

    Attributes:
        place: The project, or the entity, of the listed runs.
        reads: Reads for the screen.
        waiting: For how many seconds the screen has waited for an answer.

    Args:
        source: Reads the store or the server.
        place: The project, or the entity, of the listed runs.
        table: The list of runs.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #heading, #tabs, #error { height: 1; }
    #error { color: $text-error; display: none; }
    #left { width: 40%; min-width: 31; max-width: 66; border-right: solid $surface-lighten-2; }
    #left.wide, #left.alone { width: 100%; max-width: 100%; border-right: none; }
    #left.hidden, #left.behind { display: none; }
    #right { width: 1fr; }
    Panel { height: 1fr; }
    #asked { height: 1; display: none; }
    #asked Static { width: auto; padding: 0 1; text-style: bold; }
    #asked Input { width: 1fr; height: 1; border: none; padding: 0; }
    Help { align: center middle; }
    #help { width: auto; height: auto; max-width: 100%; max-height: 100%; }
    #help Static { width: auto; max-width: 100%; }
    #help { padding: 0 1; border: round $primary; }
    """
    # Priority: the app gets a key before the next one is sent to the focused panel.
    BINDINGS = [
        Binding("question_mark", "help", "Help", key_display="?", priority=True),
        Binding("slash", "query", "Query", key_display="/", priority=True),
        Binding("f", "filter", "Filter", priority=True),
        Binding("s", "sort", "sort", show=False, priority=True),
        Binding("c", "columns", "columns", show=False, priority=True),
        *(
            Binding(str(at + 1), f"tab('{name}')", name, show=False, priority=True)
            for at, name in enumerate(_TABS)
        ),
        Binding("b", "width", "list", show=False, priority=True),
        Binding("d", "dark", "dark, light", show=False, priority=True),
        Binding("q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "end", "quit", show=False, priority=True),
    ]

    def __init__(self, source: Source, place: str, table: RunTable) -> None:
        super().__init__()
        self.place = place
        self.table = table
        self.waiting = 0.0
        self.tab = _TABS[0]
        self.alerts = AlertPanel()
        self._charts, self._system = ChartPanel("charts"), SystemPanel("system")
        self._logs = LogPanel()
        self._panels: dict[str, Panel[Any]] = {
            "charts": self._charts,
            "system": self._system,
            "logs": self._logs,
            "overview": OverviewPanel(),
            "alerts": self.alerts,
            "media": MediaPanel(),
        }
        # A query for widgets would search the help, while that is shown.
        self._heading, self._tabs = Heading("heading"), Tabs("tabs")
        self._error_line, self._label = Static(id="error", markup=False), Static(id="label", markup=False)
        self._input = Input(id="input")
        self._left, self._line = (
            Vertical(self.table, id="left"),
            Horizontal(self._label, self._input, id="asked"),
        )
        self._source = source
        self.reads = ReadThread()
        self._asked = asyncio.Event()
        self._prompt: _Prompt | None = None
        self._first_width = ""
        self._failed: set[str] = set()
        self._alerts_due = 0.0  # in the time of time.monotonic

    def compose(self) -> ComposeResult:
        """Return the widgets."""
        yield self._heading
        with Horizontal():
            yield self._left
            with Vertical(id="right"):
                yield self._tabs
                yield from self._panels.values()
        yield self._error_line
        yield self._line
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))
        self.action_tab(self.tab)
        self.focus_runs()
        self._use_width(self._first_width)
        self.set_interval(_AGES, self.table.repaint)
        self.run_worker(self._follow(), exit_on_error=True)

    def _fatal_error(self) -> None:
        """End after an error. The command raises it, so that it is logged and printed as usual."""
        self._close_messages_no_wait()

    def kept(self) -> dict[str, Any]:
        """Return what the user has set, for the next start."""
        found: dict[str, Any] = {"tab": self.tab, "list": self._width(), "dark": self.current_theme.dark}
        for name, panel in self._kept_panels().items():
            found |= {f"{name}.{key}": value for key, value in panel.kept().items()}
        return found

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Use what was kept at the last start. Unknown values are ignored."""
        if kept.get("tab") in _TABS:
            self.tab = kept["tab"]
        if kept.get("list") in _WIDTHS:
            self._first_width = kept["list"]
        if isinstance(kept.get("dark"), bool):
            self.theme = "textual-dark" if kept["dark"] else "textual-light"
        for name, panel in self._kept_panels().items():
            panel.restore({key[len(name) + 1 :]: kept[key] for key in kept if key.startswith(f"{name}.")})

    def _kept_panels(self) -> dict[str, Panel[Any]]:
        return {"runs": self.table, **self._panels}

    @property
    def error(self) -> Exception | None:
        """The error that ended the app."""
        failed = self._exception
        return failed.error if isinstance(failed, WorkerFailed) else failed  # type: ignore[return-value]

    # The shown runs

    @property
    def current(self) -> Path | None:
        """The run of the cursor."""
        return self.table.current

    def shown(self) -> tuple[Shown, ...]:
        """Return the runs whose curves are drawn."""
        return self.table.shown()

    def ask(self) -> None:
        """Read soon: a panel wants something else."""
        self._asked.set()

    async def _follow(self) -> None:
        """Read the answers for the panels, again and again. Pauses are short after a change."""
        poller = Poller()
        known: Any = None
        if self.table.selected:  # kept ones
            existing = await self._read("runs", partial(self._source.existing, list(self.table.selected)))
            if existing is not _FAILED:
                self.table.unselect_others(existing)
        while True:
            self._asked.clear()
            state = await self._read("store", self._source.state)
            changed = state is not _FAILED and state != known
            if state is not _FAILED:
                known = state
                await self._keep_up(self.table, state)
                if self.tab != "alerts":
                    await self._keep_up(self._panels[self.tab], state)
                await self._read_alerts(state)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._asked.wait(), poller.seconds(changed=changed))

    async def _read_alerts(self, state: Any) -> None:
        """Read the alerts, for at most a tenth of the time: running runs are read one by one."""
        begun = time.monotonic()
        if begun >= self._alerts_due:
            await self._keep_up(self.alerts, state)
            self._alerts_due = begun + 10 * (time.monotonic() - begun)

    async def _keep_up(self, panel: Panel[Any], state: Any) -> None:
        wish = panel.wish()
        if wish is None or (panel.seen == (state, wish) and panel.id not in self._failed):
            return
        answer = await self._read(panel.id or "", partial(panel.read, self._source, wish))
        if answer is _FAILED:
            return
        panel.seen = (state, wish)
        panel.show(answer)
        self._heading.repaint()
        self._tabs.repaint()
        if panel is self.table:
            self._panels[self.tab].repaint()

    async def _read(self, name: str, function: Callable[[], Any]) -> Any:
        """Return the result of a function. Show an error of the store or server, and return ``_FAILED``."""
        reading = asyncio.ensure_future(self.reads.ask(function))
        while not (await asyncio.wait([reading], timeout=1.0))[0]:
            self.waiting += 1.0
            self._heading.repaint()
        if self.waiting:
            self.waiting = 0.0
            self._heading.repaint()
        try:
            answer = await reading
        except Error as error:
            if self.table.answer is None and isinstance(error, UsageError) and self.table.forget():
                self._show_error(error.message)
                self.ask()
                return _FAILED
            if self.table.answer is None:  # a wrong argument, or no store: there is nothing to show
                self._handle_exception(error)
                return _FAILED
            self._show_error(error.message)
            if isinstance(error, UsageError) and name == self.table.id:
                self.table.go_back()  # the message stays until the user types again
            else:
                self._failed.add(name)
            return _FAILED
        if name in self._failed:
            self._failed.discard(name)
            if not self._failed:
                self._show_error("")
        return answer

    def _show_error(self, text: str) -> None:
        self._error_line.update(one_line(" ".join(text.split())))
        self._error_line.display = bool(text)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key has its effect: not while the user types, or reads the help."""
        return action not in _OF_KEYS or (self._prompt is None and not isinstance(self.screen, Help))

    def action_end(self) -> None:
        """End, also while the user types."""
        self.exit()

    def focus_runs(self) -> None:
        """Move the focus to the list of runs."""
        self._left.remove_class("hidden")
        self.screen.set_focus(self.table)
        self._fit()

    def action_focus_runs(self) -> None:
        """Move the focus to the list of runs."""
        self.focus_runs()

    def action_focus_panel(self) -> None:
        """Move the focus to the panel on the right."""
        self._left.remove_class("wide")
        self.screen.set_focus(self._panels[self.tab])
        self._fit()

    def on_resize(self) -> None:
        """Show what fits."""
        self._fit()

    def _fit(self) -> None:
        """In a narrow terminal, show only the list of runs or the panel: the one with the focus."""
        narrow, of_panel = self.size.width < _NARROW, self.screen_stack[0].focused in self._panels.values()
        self._left.set_class(narrow and not of_panel, "alone")
        self._left.set_class(narrow and of_panel, "behind")

    def action_tab(self, name: str) -> None:
        """Show a panel on the right side."""
        focused = isinstance(self.focused, Panel) and self.focused is not self.table
        self.tab = name
        for each, panel in self._panels.items():
            panel.display = each == name
        if focused or self._left.has_class("alone"):
            self.screen.set_focus(self._panels[name])
            self._fit()
        self._tabs.repaint()
        self.ask()

    def action_width(self) -> None:
        """Change the width of the list of runs."""
        self._use_width(_WIDTHS[(_WIDTHS.index(self._width()) + 1) % len(_WIDTHS)])

    def _width(self) -> str:
        return next((name for name in _WIDTHS[1:] if self._left.has_class(name)), "")

    def _use_width(self, then: str) -> None:
        self._left.remove_class("wide", "hidden")
        if then:
            self._left.add_class(then)
        if then == "hidden":
            self.screen.set_focus(self._panels[self.tab])

    def action_dark(self) -> None:
        """Change between a dark and a light screen."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"
        panels: list[Panel[Any]] = [self.table, self._heading, self._tabs, *self._panels.values()]
        for panel in panels:
            panel.repaint()
        self.ask()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_query(self) -> None:
        """Ask for a query."""
        self._ask_for(_Prompt("Query", self.table.query_text, self.table.search))

    def action_sort(self) -> None:
        """Ask for an order."""
        self._ask_for(_Prompt("Sort", self.table.order, self.table.sort))

    def action_columns(self) -> None:
        """Ask for the columns."""
        self._ask_for(_Prompt("Columns", ",".join(self.table.columns or ()), self.table.choose))

    def action_filter(self) -> None:
        """Ask for a pattern of metrics or media, or for a text in the output or the overview."""
        panel = self._panels[self.tab]
        if isinstance(panel, ChartPanel):
            self._ask_for(_Prompt("Metrics", panel.pattern, panel.filter))
        elif isinstance(panel, MediaPanel):
            self._ask_for(_Prompt("Keys", panel.pattern, panel.filter))
        elif isinstance(panel, (LogPanel, OverviewPanel)):
            self._ask_for(_Prompt("Lines with", panel.pattern, panel.filter))

    def _ask_for(self, prompt: _Prompt) -> None:
        self._prompt = prompt
        self._line.display = True
        self._label.update(prompt.label)
        self._input.value = prompt.value
        self.screen.set_focus(self._input)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Use the typed text."""
        if self._prompt is None:  # enter twice, quickly
            return
        use = self._prompt.use
        self._close_prompt()
        self._show_error("")
        use(event.value.strip())

    def on_key(self, event: Any) -> None:
        """Leave the line at the bottom with escape."""
        if event.key == "escape" and self._prompt is not None:
            event.stop()
            self._close_prompt()

    def _close_prompt(self) -> None:
        runs = self._prompt is not None and self._prompt.use.__self__ is self.table  # type: ignore[attr-defined]
        self._prompt = None
        self._line.display = False
        self.screen.set_focus(self.table if runs else self._panels[self.tab])
        self._fit()


# The result of a read that failed.
_FAILED: Any = object()
