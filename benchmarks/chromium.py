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
ALL_RUNS, SEARCH, ORDER, ZOOM = "show=*", "q", "order", "zoom"
# Notes when the page is painted, and when its first chart with lines is painted, in ms since the navigation.
NOTE_TIMES = """
    const afterPaint = (call) => requestAnimationFrame(() => requestAnimationFrame(call));
    addEventListener("load", () => afterPaint(() => (window.painted = performance.now())));
    new MutationObserver((_, observer) => {
        const last = document.querySelector('CHART[data-last*=":"]');
        if (last === null) return;
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

    def cost_of(self, action: Callable[[], object], restore: Callable[[], object] | None = None) -> Cost:
        """Return the cost of an action until the page is idle again. Then call ``restore``, if given."""
        self.page.bring_to_front()
        self.page.evaluate("window.countFrames()")
        before = self.counters()
        action()
        self.idle()
        after = self.counters()
        frames = self.page.evaluate("window.endFrames()")
        if restore is not None:
            restore()
            self.idle()
        task, script = ((after[name] - before[name]) * 1000 for name in ("TaskDuration", "ScriptDuration"))
        return Cost(task, script, frames)

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

    def drag(self, selector: str, begin: float, end: float) -> None:
        """Drag the mouse across an element, from one part of its width to another."""
        left, top, width, height = self.box(selector)
        self.page.mouse.move(left + begin * width, top + height / 2)
        self.page.mouse.down()
        self.page.mouse.move(left + end * width, top + height / 2, steps=8)
        self.page.mouse.up()
        self.page.mouse.move(1, 1)

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

    def add_cpu(self, figure: str, costs: dict[str, list[Cost]], *, most: float) -> None:
        """Add a row that compares the first CPU time with the second one."""
        (_, mine), (against, floor), *_ = (
            (name, statistics.median(each.task for each in found)) for name, found in costs.items()
        )
        scripts = {name: statistics.median(each.script for each in found) for name, found in costs.items()}
        note = "in scripts: " + ", ".join(f"{name} {script:.0f} ms" for name, script in scripts.items())
        details = {name: [each._asdict() for each in found] for name, found in costs.items()}
        target = f"<= {most}x"
        self.add(
            row(f"{figure}, CPU", "ms", mine, against, floor, most=most, target=target, note=note), details
        )
