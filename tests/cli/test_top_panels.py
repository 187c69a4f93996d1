"""The panels of ``tracker top`` in this process: odd data, many runs, several projects, several ranks."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from textual.widgets import Input
from top_screens import LONGEST_SECONDS, Screen, begin, drive

import tracker
from tracker.cli.top import reads
from tracker.ground.records import SystemSample
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run

# The number at the end of a name, and the value of the order.
PLACES = (("0", "1"), ("1", "0"), ("2", "-1"))
KEYS = ("below", "constant", "large", "nan", "one", "spike")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "tracker-store"


def test_an_empty_store_waits_for_its_first_run(store: Path) -> None:
    begin(store, "digits", "first").finish()
    tracker.Api({"store": store}).run("digits/first").delete()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "No runs yet.")
        await screen.wait_for("charts", "No run is chosen.")
        for key, panel in (("2", "system"), ("3", "logs"), ("4", "overview"), ("6", "media")):
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


def test_the_help_scrolls(store: Path) -> None:
    begin(store, "digits", "one").finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "one")
        await screen.press("?")
        help = screen.app.screen.query_one("#help")
        await screen.until(lambda: help.max_scroll_y > 0)
        await screen.press(*["pagedown"] * 9)
        await screen.until(lambda: help.scroll_y == help.max_scroll_y)
        await screen.press("escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)

    drive(store, scenario, size=(80, 24))


def test_a_second_enter_does_no_harm(store: Path) -> None:
    begin(store, "digits", "one").finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "one")
        await screen.press("s")
        for _ in range(2):
            screen.app._input.post_message(Input.Submitted(screen.app._input, "name"))
        await screen.wait_for("heading", "sort name")
        await screen.press("4")
        await screen.wait_for("overview", "finished")

    drive(store, scenario)


def test_the_layout_is_restored(store: Path) -> None:
    for name in ("one", "two", "gone"):
        run = begin(store, "digits", name)
        run.log({"loss": 1.0, "val/loss": 2.0})
        run.finish()
    found: dict[str, Any] = {}

    async def change(screen: Screen) -> None:
        await screen.wait_for("runs", "gone")
        await screen.press("p", "down", "space", "down", "space")
        await screen.type("s", "name")
        await screen.type("/", "loss>0")
        await screen.type("c", "val/loss")
        await screen.type("f", "val")
        await screen.press("enter", "y", "m", "x", "2", "h", "3", "w", "4", "b", "d")
        await screen.type("f", "loss")
        found.update(screen.app.kept())

    drive(store, change, "-p", "digits")
    assert json.loads(json.dumps(found)) == found
    tracker.Api({"store": store}).run("digits/gone").delete()

    async def look(screen: Screen) -> None:
        await screen.wait_for("heading", "2 runs  loss>0  sort name")
        assert (screen.app.tab, screen.app.current_theme.dark) == ("overview", False)
        await screen.until(lambda: [each.path[2] for each in screen.app.shown()] == ["two", "one"])
        assert screen.app.query_one("#runs").size.width == 100
        await screen.press("1", "enter")
        await screen.wait_for("charts", "filter val  log scale  smoothing 0.6  over time", "a two", "b one")

    drive(store, look, "-p", "digits", kept=found)


def test_a_damaged_layout_is_ignored(store: Path) -> None:
    begin(store, "digits", "one").finish()
    damaged: dict[str, Any] = {
        **{key: ["x"] for key in ("tab", "list", "dark", "runs.query_text", "runs.order", "charts.log")},
        **{key: {"a": 1} for key in ("charts.smoothing", "charts.x", "system.heat", "logs.wrap")},
        "charts.pattern": 3,
        "runs.columns": [1, 2],
        "runs.selected": [["one"], 4, [1, 2, 3, 4], None],
        "runs.pinned": "x",
        "nosuch.panel": 1,
    }
    found: list[dict[str, Any]] = []

    async def note(screen: Screen) -> None:
        await screen.wait_for("runs", "one")
        found.append(screen.app.kept())

    drive(store, note)
    drive(store, note, kept=damaged)
    assert found[0] == found[1]


def test_a_kept_query_that_is_no_longer_valid_is_left_out(store: Path) -> None:
    begin(store, "digits", "one").finish()

    async def scenario(screen: Screen) -> None:
        await screen.wait_for("runs", "one")
        assert "Unknown field 'lr'" in str(screen.app._error_line.render())
        assert screen.app.kept()["runs.query_text"] == ""

    drive(store, scenario, kept={"runs.query_text": "lr>0.1"})


def test_the_end_waits_for_a_read_but_not_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, released = threading.Event(), threading.Event()
    done: list[bool] = []

    def read() -> None:
        begun.set()
        done.append(released.wait(LONGEST_SECONDS))

    async def run() -> None:
        reading = asyncio.ensure_future(thread.ask(read))
        await asyncio.to_thread(begun.wait)
        monkeypatch.setattr(reads, "_LAST_READ", 0.01)
        thread.end()
        assert not done
        monkeypatch.setattr(reads, "_LAST_READ", LONGEST_SECONDS)
        released.set()
        thread.end()
        assert done == [True]
        await reading

    thread = reads.ReadThread()
    asyncio.run(run())
