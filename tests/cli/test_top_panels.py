"""The panels of ``tracker top`` in this process: odd data, many runs, several projects, several ranks."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from textual.pilot import Pilot

import tracker
from tracker.cli.main import make_parser
from tracker.cli.run_selection import open_selection
from tracker.cli.top.app import TopApp
from tracker.cli.top.reads import Source
from tracker.cli.top.run_table import RunTable
from tracker.ground.records import SystemSample
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run

LONGEST_SECONDS = 60.0
# The number at the end of a name, and the value of the order.
PLACES = (("0", "1"), ("1", "0"), ("2", "-1"))
KEYS = ("below", "constant", "large", "nan", "one", "spike")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "tracker-store"


def begin(store: Path, project: str, run_id: str, **given: Any) -> Any:
    settings = {"silent": True, "x_disable_stats": True, "store": store}
    return tracker.init(
        project=project, id=run_id, name=run_id, reinit="create_new", settings=settings, **given
    )


class Screen:
    """The screen of an app that a test drives."""

    def __init__(self, app: TopApp, pilot: Pilot[Any]) -> None:
        self.app, self._pilot = app, pilot

    def text(self, panel: str) -> str:
        """Return the text of a panel."""
        found = self.app.query_one(f"#{panel}")
        return "\n".join(found.render_line(y).text.rstrip() for y in range(found.size.height))

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def type(self, key: str, text: str) -> None:
        """Type a text in the line at the bottom."""
        await self.press(key)
        self.app._input.value = text
        await self.press("enter")

    async def wait_for(self, panel: str, *texts: str) -> None:
        """Wait until a panel has texts."""
        await self.until(lambda: all(text in self.text(panel) for text in texts), panel)

    async def until(self, condition: Callable[[], bool], panel: str = "runs") -> None:
        """Wait until a condition is true."""
        end = time.monotonic() + LONGEST_SECONDS
        while not condition():
            assert time.monotonic() < end, f"the panel has:\n{self.text(panel)}"
            await asyncio.sleep(0.02)


def drive(
    store: Path,
    scenario: Callable[[Screen], Awaitable[None]],
    *arguments: str,
    size: tuple[int, int] = (100, 30),
) -> None:
    """Start the app in this process, and let a scenario use it."""
    options = make_parser().parse_args(["top", "--store", str(store), *arguments])
    selection = open_selection(options)

    async def run() -> None:
        source = Source(selection, options.runs, options.job)
        app = TopApp(source, "all", RunTable(options.query, options.sort, None))
        async with app.run_test(size=size) as pilot:
            await scenario(Screen(app, pilot))

    asyncio.run(run())


def test_an_empty_store_waits_for_its_first_run(store: Path) -> None:
    begin(store, "digits", "first").finish()
    tracker.Api({"store": store}).run("digits/first").delete()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "No runs yet.")
        await screen.wait_for("charts", "No run is chosen.")
        for key, panel in (("2", "system"), ("3", "logs"), ("4", "overview")):
            await screen.press(key)
            await screen.wait_for(panel, "No run is chosen.")
        await screen.press("space", "enter", "down", "enter", "left", "plus", "y", "m", "escape", "1")
        run = begin(store, "digits", "second")
        run.log({"loss": 1.0})
        await screen.wait_for("runs", "second")
        await screen.wait_for("charts", "╭─ loss")
        run.finish()

    drive(store, scenario)


@pytest.mark.slow
def test_odd_series_are_drawn(store: Path) -> None:
    run = begin(store, "digits", "odd")
    run.log({"one": 5.0, "text": "no number"})
    for step in range(3):
        run.log({"constant": 2.0, "nan": math.nan, "below": -1.0 - step, "large": (-1) ** step * 1e308})
    run.log({"spike": math.inf})
    run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for(
            "charts", "1-6 of 6", "─ below", "─ constant", "─ large", "─ nan", "─ one", "─ spike"
        )
        assert "text" not in screen.text("charts")
        assert screen.text("charts").count("\u00d7") == 4
        assert "1e308" in screen.text("charts")
        await screen.press("enter", "y")
        await screen.wait_for("charts", "no value above 0", "log scale")
        await screen.press("y", "m", "x")
        await screen.wait_for("charts", "smoothing 0.6", "over time")
        await screen.type("f", "nosuch")
        await screen.wait_for("charts", "No metric matches.")
        await screen.type("f", "one")
        await screen.wait_for("charts", "1  filter one")
        await screen.press("enter", "left", "plus", "plus")
        await screen.wait_for("charts", "zoomed")
        await screen.press("0")
        await screen.wait_for("charts", "odd  5")

    drive(store, scenario, size=(140, 40))


@pytest.mark.slow
def test_ten_thousand_runs_are_read_in_windows(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store, "many", "first").finish()
    tracker.Api({"store": store}).projects()
    opened = open_store(store, create=False)
    with opened.writing() as session:
        project = session.query(Project).one().id
        rows = [
            {
                "project_id": project,
                "run_id": f"id{at:05d}",
                "name": f"run {at:05d}",
                "state": "finished",
                "created_at": float(at),
                "updated_at": float(at),
                "finished_at": float(at),
                "tags": [],
                "config": {},
                "summary": {"loss": 1 / (at + 1)},
                "revision": 0,
            }
            for at in range(10_000)
        ]
        session.execute(insert(Run), rows)
    opened.close()
    asked: list[int] = []

    async def scenario(screen: Screen) -> None:
        read = LocalReader.run_values

        def spied(self: Any, *names: Any, **options: Any) -> Any:
            assert threading.current_thread().name == "tracker-top-reads"
            asked.append(options["limit"])
            return read(self, *names, **options)

        monkeypatch.setattr(LocalReader, "run_values", spied)
        await screen.wait_for("heading", "10,001 runs")
        await screen.press("end")
        await screen.wait_for("runs", "run 00000", "run 00020")
        await screen.press("pageup", "pageup")
        await screen.wait_for("runs", "run 00040")
        await screen.type("s", "name")
        await screen.wait_for("runs", "run 00000")
        await screen.type("/", "id:id07770")
        await screen.wait_for("heading", "1 runs", "sort name")
        await screen.wait_for("runs", "run 07770")
        assert max(asked) <= 3 * 30

    drive(store, scenario)


@pytest.mark.slow
def test_runs_of_several_projects_are_in_one_order(store: Path) -> None:
    for at, (project, run_id) in enumerate([("b", "b0"), ("a", "a0"), ("b", "b1")]):
        run = begin(store, project, run_id, config={"lr": at})
        run.log({"loss": -at})
        run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "a/a0")
        assert re.findall(r"[ab]/[ab]\d", screen.text("runs")) == ["b/b1", "a/a0", "b/b0"]
        await screen.type("s", "lr")
        await screen.wait_for("heading", "sort lr")
        ordered = ["b/b0", "a/a0", "b/b1"]
        await screen.until(lambda: re.findall(r"[ab]/[ab]\d", screen.text("runs")) == ordered)
        await screen.type("s", "nosuch")
        await screen.until(lambda: screen.app._error_line.display)
        assert "Unknown field 'nosuch'" in str(screen.app._error_line.render())
        await screen.type("/", "lr>0")
        await screen.wait_for("heading", "2 runs", "lr>0", "sort lr")
        await screen.wait_for("charts", "loss")
        await screen.press("home", "space", "space")
        await screen.wait_for("charts", "a a0", "b b1")

    drive(store, scenario)


def test_a_pinned_run_and_the_order_are_seen_in_a_narrow_list(store: Path) -> None:
    for at in range(3):
        run = begin(store, "digits", f"a-long-study-name-{at}", config={"lr": at})
        run.log({"epoch": 1, "z": at, "other": 1 - at})
        run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "…2")
        await screen.type("s", "-other")
        await screen.wait_for("heading", "sort -other")
        # The column of the order is there, and the names without what all of them have.
        await screen.until(lambda: re.findall(r"…(\d) +(-?\d) ", screen.text("runs")) == list(PLACES))
        await screen.press("p", "down", "space")
        await screen.wait_for("runs", "a▴✓ …0", "b ✓ …1")
        # The pinned curve is drawn last. Counters are the last charts.
        await screen.wait_for("charts", "a a-long-study", "1-2 of 3", "─ other", "─ z")
        assert [each.sign for each in screen.app.shown()] == ["b", "a"]
        await screen.press("home", "p")
        await screen.until(lambda: "▴" not in screen.text("runs"))
        assert [each.sign for each in screen.app.shown()] == ["a", "b"]
        await screen.press("p", "u")
        await screen.until(lambda: "▴" not in screen.text("runs"))

    drive(store, scenario, "-p", "digits", size=(80, 24))


def test_a_narrow_terminal_shows_the_list_or_a_panel(store: Path) -> None:
    run = begin(store, "digits", "narrow", config={"lr": 0.5, "depth": 7})
    run.log({"loss": 1.0})
    run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "narrow")
        assert screen.app.query_one("#runs").size.width == 40
        await screen.press("enter")
        await screen.wait_for("charts", "─ loss")
        assert screen.app.query_one("#charts").size.width == 40
        await screen.press("4")
        await screen.wait_for("overview", "depth", "lr", "loss")
        await screen.type("f", "LR")
        await screen.until(lambda: screen.text("overview").split() == ["Config", "lr", "0.5"], "overview")
        await screen.type("f", "nosuch")
        await screen.wait_for("overview", "No line matches.")
        await screen.press("escape")
        await screen.until(lambda: screen.app.query_one("#runs").size.width == 40)

    drive(store, scenario, size=(40, 20))


def test_gpus_have_curves_in_one_chart_or_rows_of_a_heat_map(store: Path) -> None:
    run = begin(store, "digits", "gpus")
    for at in range(20):
        values = {"gpu.0.gpu": 0.0, "gpu.1.gpu": 5.0 * at, "gpu.process.1.gpu": 1.0, "cpu": 1.0}
        values |= {f"gpu.{gpu}.temp": 40.0 + at for gpu in (0, 1)}
        run.record(SystemSample(float(at), values))
    run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.press("2", "enter")
        await screen.wait_for("system", "1-3 of 3", "─ gpu.gpu", "─ gpu.temp", "0 gpus GPU 0", "1 gpus GPU 1")
        await screen.press("h")
        await screen.wait_for("system", "· 0  █ 100", "· 40  █ 59")
        lines = screen.text("system").splitlines()
        at = lines[next(at for at, line in enumerate(lines) if "─ gpu.gpu" in line)].index("─ gpu.gpu")
        rows = [
            next(line[at + 2 :] for line in lines if line[at - 1 : at + 2] == f"│{gpu} ")[:26] for gpu in "01"
        ]
        assert [[sign for sign, _ in groupby(re.sub("[│ ]", "", row))] for row in rows] == [["·"], [*"·░▒▓█"]]
        await screen.press("h")
        await screen.until(lambda: "█" not in screen.text("system"), "system")

    drive(store, scenario, size=(100, 30))


def test_ranks_have_their_own_system_curves_and_output(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    runs = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        runs.append(begin(store, "ddp", "ddp0"))
        for at in range(5):
            runs[rank].record(SystemSample(float(at), {"cpu": 10.0 * rank + at}))
    for run in runs:
        run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.press("2")
        await screen.wait_for("system", "╭─ cpu", "0 ddp0 rank 0", "1 ddp0 rank 1")
        await screen.press("3", "enter", "r")
        await screen.wait_for("logs", "rank: 0 of 2")

    drive(store, scenario, size=(120, 30))


def test_a_read_that_hangs_leaves_the_screen_usable(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store, "digits", "one").finish()
    hanging = threading.Event()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "one")
        monkeypatch.setattr(screen.app._source, "overview", lambda _: hanging.wait(LONGEST_SECONDS))
        await screen.press("4")
        await screen.wait_for("heading", "reading for")
        await screen.press("5")
        await screen.wait_for("alerts", "No alerts.")

    drive(store, scenario)
    hanging.set()
