"""Chromium for benchmarks: tabs that count their costs, and pages that serve as lower bounds."""

from __future__ import annotations

import shutil
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measuring import Options, ScriptError
from benchmarks.report import ROOT, Result, Row, row
from benchmarks.serving import Server

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
FLOORS = ROOT / "benchmarks" / "floors"
UPLOT = ROOT / "server" / "web" / "node_modules" / "uplot" / "dist"
WIDTH, HEIGHT = 1440, 900
# Everything that benchmarks know about the pages of the dashboard: parts, and parameters of addresses.
CHART = '[data-testid="chart"]'
TABLE = '[data-testid="runs-table"]'
ROW = '[data-testid="run-row"]'
ALL_RUNS, RUNS_TAB = "show=*", "tab=runs"
SEARCH, ORDER, GROUP, ZOOM, SMOOTHING = "q", "order", "group", "zoom", "smooth"
# Notes when the page is painted, and when its first chart with lines is painted, in ms since the navigation.
# `noteDraws` marks frames, the end of a drag, and draws of panels with their keys. uPlot clears a canvas
# at each draw.
NOTE_TIMES = """
    const afterPaint = (call) => requestAnimationFrame(() => requestAnimationFrame(call));
    addEventListener("load", () => afterPaint(() => (window.painted = performance.now())));
    new MutationObserver((_, observer) => {
        const canvas = document.querySelector('CHART[data-last*=":"] canvas');
        if (canvas === null) return;
        observer.disconnect();
        afterPaint(() => (window.firstChart = performance.now()));
    }).observe(document, { subtree: true, childList: true, attributeFilter: ["data-last"] });
    window.countFrames = () => {
        const times = [];
        let open = true;
        const note = (time) => {
            times.push(time);
            if (open) requestAnimationFrame(note);
        };
        requestAnimationFrame(note);
        window.endFrames = () => {
            open = false;
            return times.slice(1).map((time, i) => time - times[i]);
        };
    };
    let noting = false;
    const nextFrame = () => {
        if (!noting) return;
        performance.mark("frame");
        requestAnimationFrame(nextFrame);
    };
    window.noteDraws = (now) => {
        noting = now;
        performance.mark(now ? "begin" : "end");
        nextFrame();
    };
    addEventListener("mouseup", () => noting && performance.mark("mouseup"), { capture: true });
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    CanvasRenderingContext2D.prototype.clearRect = function (...given) {
        if (noting) performance.mark(`draw ${this.canvas.closest("[data-key]")?.dataset.key ?? "panel"}`);
        return clear.apply(this, given);
    };
""".replace("CHART", CHART)
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


class Cost(NamedTuple):
    """The cost of an interaction.

    Attributes:
        task: CPU time of all tasks on the page's main thread, in ms.
        script: CPU time of scripts, in ms.
        frames: The intervals between frames, in ms.
    """

    task: float
    script: float
    frames: list[float]


class Task(NamedTuple):
    """A task of the page's main thread.

    Attributes:
        ms: Its CPU time.
        marks: What `noteDraws` marked in it, in order.
    """

    ms: float
    marks: list[str]


class Tab:
    """A page of the browser that counts its costs.

    Args:
        browser: The browser.
        height: The height of the page.
    """

    def __init__(self, browser: Browser, height: int = HEIGHT) -> None:
        context = browser.new_context(viewport={"width": WIDTH, "height": height})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.add_init_script(NOTE_TIMES)
        self.cdp = context.new_cdp_session(self.page)
        # CPU time of the thread, not the time of the clock: other programs use the machine too.
        self.cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def close(self) -> None:
        """Close the page."""
        self.page.context.close()

    def counters(self) -> dict[str, float]:
        """Return Chromium's counters of the page, such as ``TaskDuration`` in seconds."""
        found = self.cdp.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    def cost_of(
        self,
        action: Callable[[], object],
        restore: Callable[[], object] | None = None,
        *,
        frames: bool = True,
    ) -> Cost:
        """Return the cost of an action until the page is idle again. Then call ``restore``, if given.

        Without ``frames``, frames are not counted. To count them makes the page draw each frame, also
        while it waits for the server.
        """
        self.page.bring_to_front()
        if frames:
            self.page.evaluate("window.countFrames()")
        before = self.counters()
        action()
        self.idle()
        after = self.counters()
        intervals = self.page.evaluate("window.endFrames()") if frames else []
        if restore is not None:
            restore()
            self.idle()
        task, script = ((after[name] - before[name]) * 1000 for name in ("TaskDuration", "ScriptDuration"))
        return Cost(task, script, intervals)

    def tasks_of(self, action: Callable[[], object]) -> list[Task]:
        """Return all tasks of the main thread during an action, until the page is idle again."""
        browser = self.page.context.browser
        assert browser is not None
        session, events, ended = browser.new_browser_cdp_session(), [], []
        session.on("Tracing.dataCollected", lambda found: events.extend(found["value"]))
        session.on("Tracing.tracingComplete", lambda _: ended.append(True))
        self.page.bring_to_front()
        categories = {"includedCategories": ["toplevel", "blink.user_timing"]}
        session.send("Tracing.start", {"traceConfig": categories, "transferMode": "ReportEvents"})
        self.page.evaluate("window.noteDraws(true)")
        action()
        self.idle()
        self.page.evaluate("window.noteDraws(false)")
        session.send("Tracing.end")
        while not ended:
            self.page.wait_for_timeout(10)
        session.detach()
        return _tasks(events)

    def idle(self) -> None:
        """Wait until the dashboard has nothing left to do. A floor has drawn in the second next frame."""
        self.page.evaluate("window.trackerIdle?.()")
        for _ in range(2):
            self.page.evaluate(NEXT_FRAME)

    def go(self, query: str = "") -> None:
        """Change the query of the dashboard's address without loading the page."""
        self.page.evaluate("(query) => history.pushState(null, '', query)", f"?{query}")
        self.page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return the left and upper edge of the first such element, and the size of its visible part."""
        found = self.page.locator(selector).first.bounding_box()
        size = self.page.viewport_size
        if found is None or size is None:
            raise ScriptError(f"{selector} is not on the page.")
        left, top = max(0.0, found["x"]), max(0.0, found["y"])
        right = min(size["width"], found["x"] + found["width"])
        return left, top, right - left, min(size["height"], found["y"] + found["height"]) - top

    def drag(self, selector: str, begin: float, end: float, moves: int = 8) -> None:
        """Drag the mouse across an element from one part of its width to another, one move a frame."""
        left, top, width, height = self.box(selector)
        self.page.mouse.move(left + begin * width, top + height / 2)
        self.page.mouse.down()
        for at in range(1, moves + 1):
            self.page.mouse.move(left + (begin + (end - begin) * at / moves) * width, top + height / 2)
            self.page.evaluate(NEXT_FRAME)
        self.page.mouse.up()
        self.page.mouse.move(1, 1)

    def pan(self, selector: str, begin: float, end: float) -> None:
        """Drag with the shift key."""
        self.page.keyboard.down("Shift")
        self.drag(selector, begin, end)
        self.page.keyboard.up("Shift")

    def hover(self, selector: str, moves: int) -> None:
        """Move the mouse across an element, one move a frame."""
        left, top, width, height = self.box(selector)
        for at in range(moves):
            self.page.mouse.move(left + width * (0.2 + 0.7 * at / moves), top + height / 2)
            self.page.evaluate(NEXT_FRAME)

    def scroll(self, selector: str, steps: int, pixels: int) -> None:
        """Scroll an element, one turn of the wheel a frame."""
        left, top, width, height = self.box(selector)
        self.page.mouse.move(left + min(width, 200) / 2, top + height / 2)
        for _ in range(steps):
            self.page.mouse.wheel(0, pixels)
            self.page.evaluate(NEXT_FRAME)


def _tasks(events: list[dict[str, Any]]) -> list[Task]:
    """Return the tasks between the marks "begin" and "end", of the thread with these marks."""
    marks = [each for each in events if each["cat"] == "blink.user_timing"]
    begin, end = (next(each for each in marks if each["name"] == name) for name in ("begin", "end"))
    thread = [each for each in events if (each["pid"], each["tid"]) == (begin["pid"], begin["tid"])]
    tasks = []
    for each in sorted(thread, key=lambda event: float(event.get("ts", 0))):
        first, last = each.get("ts", 0), each.get("ts", 0) + each.get("dur", 0)
        if not each["name"].endswith("RunTask") or first < begin["ts"] or last > end["ts"]:
            continue
        inside = sorted((mark["ts"], mark["name"]) for mark in marks if first <= mark["ts"] <= last)
        tasks.append(Task(each.get("tdur", 0) / 1000, [name for _, name in inside]))
    return tasks


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield Chromium.

    Raises:
        ScriptError: Chromium is not installed.
    """
    names = ("chromium", "chromium-browser", "chromium-headless-shell")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise ScriptError("Chromium is missing. Run: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@contextmanager
def floor_server(data: dict[str, bytes]) -> Iterator[str]:
    """Serve the pages of the lower bounds on loopback; yield the address.

    Args:
        data: Contents of further files by name.

    Raises:
        ScriptError: uPlot is not installed.
    """
    if not UPLOT.is_dir():
        raise ScriptError(f"{UPLOT} is missing. Run: python3 dev.py test")
    scripts = [UPLOT / "uPlot.iife.min.js", UPLOT / "uPlot.min.css"]
    files = {path.name: path.read_bytes() for path in [*FLOORS.iterdir(), *scripts]} | data
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "json": "application/json"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            content = files.get(name)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", kinds.get(name.rpartition(".")[2], "text/plain"))
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def interleaved(repeats: int, actions: dict[str, Callable[[int], Cost]]) -> dict[str, list[Cost]]:
    """Return the costs of actions, which alternate. Each action gets the number of the round.

    The first round is not counted.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for at in range(repeats + 1):
        for name, action in actions.items():
            costs[name].append(action(at))
    return {name: found[1:] for name, found in costs.items()}


def has_chart(tab: Tab) -> None:
    """Wait until the dashboard has drawn a chart."""
    tab.page.wait_for_function("() => window.firstChart !== undefined")


class Scene(NamedTuple):
    """The browser, the servers and the result, which all figures of the dashboard use."""

    browser: Browser
    server: Server
    floors: str
    folder: Path
    options: Options
    result: Result

    @contextmanager
    def tab(self, height: int = HEIGHT) -> Iterator[Tab]:
        """Yield a new page."""
        with closing(Tab(self.browser, height)) as tab:
            yield tab

    def add(self, added: Row, details: object = None) -> None:
        """Add a row to the result."""
        self.result.rows.append(added)
        if details is not None:
            self.result.details[added.figure] = details

    def add_cpu(self, figure: str, costs: dict[str, list[Cost]], *, most: float | None) -> None:
        """Add a row that compares the first CPU time with the second one; without ``most`` no target."""
        (_, mine), (against, floor), *_ = (
            (name, statistics.median(each.task for each in found)) for name, found in costs.items()
        )
        scripts = {name: statistics.median(each.script for each in found) for name, found in costs.items()}
        note = "in scripts: " + ", ".join(f"{name} {script:.0f} ms" for name, script in scripts.items())
        details = {name: [each._asdict() for each in found] for name, found in costs.items()}
        target = "" if most is None else f"<= {most}x"
        self.add(
            row(f"{figure}, CPU", "ms", mine, against, floor, most=most, target=target, note=note), details
        )
