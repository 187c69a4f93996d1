"""Fixtures: a real server, a headless Chromium, and a page that fails on errors and foreign requests."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import seal_all
from forking import Forked, fork_command
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import Server, serving

from tracker.recorder.follow import catch_up
from tracker.recorder.open_store import open_store

from .filled_store import ADMIN, PASSWORD, fill

WAIT = 60  # seconds for a value to appear: on a loaded machine, the default of 5 s is not enough
expect.set_options(timeout=WAIT * 1000)

# The first script of each page. On a loaded machine, a test can take longer than the 8 s for which a message
# with "Undo" stays, and than the 1.2 s for the second key of a shortcut. The page notes its requests itself:
# an event of Playwright can arrive after the answer to a later question.
FIRST_SCRIPT = """(() => {
    const wait = window.setTimeout;
    window.setTimeout = (work, ms, ...more) => wait(work, ms === 8000 ? 100_000 : ms, ...more);
    Object.defineProperty(KeyboardEvent.prototype, "timeStamp", { get: () => 1 });
    const send = window.fetch;
    window.requests = [];
    window.fetch = (url, init) => {
        window.requests.push([String(url), init?.body ?? null]);
        return send(url, init);
    };
})()"""

# The first one that is installed. The headless shell is Chromium without a window: half of the CPU time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
FLAGS = """
    --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@dataclass
class Served:
    """A server: its address, key (None without), process, and a link that signs a browser in."""

    url: str
    key: str | None
    process: Forked
    link: str | None = None


def apply_journals(store: Path) -> None:
    """Apply what has been logged so far. Else the first page shows what its server has applied until then."""
    if store.exists():
        opened = open_store(store)
        catch_up(opened)
        opened.close()


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., Served]]:
    """Yield a function that starts `tracker server` on the store in a folder. All end with the context."""
    started: list[Served] = []

    def start(*options: str, key: bool = False) -> Served:
        if "--store" not in options:
            apply_journals(folder / "tracker-store")
        command = ["server", "--port", "0", *options, *([] if key else ["--no-key"])]
        process = fork_command(command, folder, scripts.environment())
        assert process.stdout is not None
        found = re.search(r"(http://\S+)", process.stdout.readline())
        assert found is not None, "the server ended before it listened"
        link = re.search(r"(https?://\S+)", process.stdout.readline()) if key else None
        own = (folder / "tracker-store" / "server.key").read_text() if key else None
        started.append(Served(found[1], own, process, link[1] if link else None))
        return started[-1]

    yield start
    ended = [each.process.poll() for each in started]
    for each in started:
        each.process.terminate()
        each.process.wait(timeout=90)
    assert ended == [None] * len(started), "a server ended during the test: these are the exit statuses"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Yield a function that starts `tracker server` on the test's store."""
    with servers(tmp_path) as start:
        yield start


@contextmanager
def launched(*flags: str) -> Iterator[Browser]:
    """Yield a headless Chromium with more flags."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path is not None, "Chromium is missing. Run: apt-get install chromium-headless-shell"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS.split(), *flags])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Yield Chromium, per module: while Playwright runs, no test can run an event loop."""
    with launched() as browser:
        yield browser


@contextmanager
def checked_page(chromium: Browser, origin: str = r"http://127\.0\.0\.1[:/]", **options) -> Iterator[Page]:
    """Open a page that fails its test on any console error, page error or request to another host.

    Args:
        chromium: The browser.
        origin: Pattern of the addresses that the page may request.
        **options: Options of the browser's context.
    """
    options.setdefault("viewport", {"width": 1400, "height": 900})
    context = chromium.new_context(accept_downloads=True, **options)
    context.set_default_timeout(WAIT * 1000)
    context.add_init_script(FIRST_SCRIPT)
    opened = context.new_page()
    wrong: list[str] = []
    # Chromium logs a refused answer (401, 404) as an error. A test that expects one adds it here.
    opened.allowed_errors = []  # type: ignore[attr-defined]

    def on_console(message) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def on_request(request) -> None:
        if not re.match(f"({origin}|data:|blob:)", request.url):
            wrong.append(f"request to another host: {request.url}")

    opened.on("console", on_console)
    opened.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
    opened.on("request", on_request)
    yield opened
    context.close()
    allowed = opened.allowed_errors  # type: ignore[attr-defined]
    assert [line for line in wrong if not any(re.search(each, line) for each in allowed)] == []


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Yield a page. See ``checked_page``."""
    with checked_page(chromium) as opened:
        yield opened


@pytest.fixture
def visit(page: Page) -> Callable[[str], None]:
    """Return a function that opens an address and waits until the dashboard is idle."""

    def go(url: str) -> None:
        page.goto(url)
        page.evaluate("window.trackerIdle()")

    return go


def expect_value(page: Page, read: Callable[[], object], wanted: object) -> None:
    """Wait until ``read`` returns ``wanted``. For values that ``expect`` cannot read."""
    end = time.monotonic() + WAIT
    while (found := read()) != wanted:
        assert time.monotonic() < end, f"{found!r} did not become {wanted!r}"
        page.wait_for_timeout(50)


def requests(page: Page, pattern: str) -> list[Any]:
    """Return the bodies of the page's requests with a matching address; the address of one without a body."""
    found = page.evaluate("window.requests")
    return [json.loads(body) if body else url for url, body in found if re.search(pattern, url)]


def forget_requests(page: Page) -> None:
    """Let ``requests`` return later ones only."""
    page.evaluate("window.requests = []")


def expect_address(page: Page, part: str) -> None:
    """Wait until the address of the page contains a text."""
    expect(page).to_have_url(re.compile(re.escape(part)))


def expect_width(page: Page, most: int) -> None:
    """Wait until the page has no sideways scrolling in a window with this width."""
    expect_value(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= most, True)


def expect_beside(page: Page, x: float) -> None:
    """Wait until the box with the readings of a chart does not cover the pointer."""

    def covers() -> bool:
        box = page.get_by_test_id("readout").bounding_box()
        return box is None or box["x"] <= x <= box["x"] + box["width"]

    expect_value(page, covers, False)


def expect_last(page: Page, key: str, run_id: str, value: float) -> None:
    """Wait until the newest value of a run in the chart of ``key`` is ``value``."""
    chart = page.locator(f'[data-testid="chart"][data-key="{key}"]')
    chart.scroll_into_view_if_needed()
    read = "([key, id, value]) => JSON.parse(document.querySelector(key)?.dataset.last ?? '{}')[id] === value"
    page.wait_for_function(read, arg=[f'[data-testid="chart"][data-key="{key}"]', run_id, value])


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with every kind of logged data and with users. The first worker in need writes it."""
    common = tmp_path_factory.getbasetemp()
    common = common.parent if "PYTEST_XDIST_WORKER" in os.environ else common
    folder = common / "filled"
    with open(common / "filled.lock", "w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            patch.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
            writing = tmp_path_factory.mktemp("filled")
            store = open_store(fill(writing))
            catch_up(store)
            seal_all(store)
            store.close()
            writing.rename(folder)
    return folder / "tracker-store"


@pytest.fixture(scope="module")
def filled(filled_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server of a copy of ``filled_folder``. No test changes it."""
    store = tmp_path_factory.mktemp("filled") / "tracker-store"
    shutil.copytree(filled_folder, store)
    with serving(store, key=True) as server:
        yield server


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, filled: Server) -> dict:
    """Return the state of a browser in which the administrator of ``filled`` is signed in."""
    context = chromium.new_context()
    answer = context.request.post(
        f"{filled.url}/api/v1/session",
        data={"name": ADMIN, "password": PASSWORD},
        headers={"x-tracker-dashboard": "1"},
    )
    assert answer.ok, answer.text()
    state = context.storage_state()
    context.close()
    return dict(state)
