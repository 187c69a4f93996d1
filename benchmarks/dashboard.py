"""The dashboard in Chromium: figure ``dashboard``.

Each figure has a lower bound in the same browser and run, in turns with the dashboard: a page that is loaded,
a static virtual list, bare uPlot with the same lines, or an idle page. CPU is the time of all tasks on the
main thread of the page, as Chromium counts it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks.chromium import (
    ALL_RUNS,
    CHART,
    GROUP,
    ORDER,
    ROW,
    RUNS_TAB,
    SEARCH,
    SMOOTHING,
    TABLE,
    ZOOM,
    Cost,
    Scene,
    Tab,
    chromium,
    floor_server,
    has_chart,
    interleaved,
)
from benchmarks.dashboard_live import measure_delay, measure_growth
from benchmarks.large_stores import ENTITY, make_sweep, metric_name, write_runs
from benchmarks.measuring import Options, ScriptError, workplace
from benchmarks.report import Result, row
from benchmarks.serving import serving
from tracker.recorder.open_store import open_store

Size = tuple[int, int, int]
# The stores: runs, metrics and steps.
WIDE, LONG, MANY, GRID, SINGLE = "wide", "long", "many", "grid", "single"
SIZES: dict[str, Size] = {
    WIDE: (1_000, 100, 1_000),
    LONG: (20, 10, 1_000_000),
    MANY: (10_000, 5, 50),
    GRID: (100, 40, 1_000),
    SINGLE: (500, 1, 1_000),
}
# Turns of the wheel with their pixels, moves of the mouse, and panels of the floor.
TURNS, PIXELS, MOVES, PANELS = 60, 400, 60, 12
WIDTHS = "(cells) => cells.map((each) => each.getBoundingClientRect().width)"
DRAWN_BY = ("/chart", "/curves")
ON_SCREEN = """(charts) => charts
    .filter((each) => each.getBoundingClientRect().top < innerHeight).map((each) => each.dataset.key)"""


def measure(options: Options) -> Result:
    """Write the stores, and measure each figure."""
    sizes = {name: _scaled(size, options.dashboard_percent) for name, size in SIZES.items()}
    result = Result([], {"sizes": sizes})
    with workplace(options) as folder, ExitStack() as stack:
        with closing(open_store(folder / "tracker-store")) as store:
            for name, size in sizes.items():
                write_runs(store, make_sweep(*size, project=name))
        server = stack.enter_context(serving(folder / "tracker-store"))
        browser = stack.enter_context(chromium())
        floors = stack.enter_context(floor_server(_floor_data(sizes)))
        scene = Scene(browser, server, floors, folder, options, result)
        for name in (WIDE, LONG):
            _first_chart(scene, name, sizes[name])
        _runs_table(scene, sizes[MANY])
        _panels(scene, sizes[GRID])
        _single_panel(scene, sizes[SINGLE])
        measure_delay(scene)
        measure_growth(scene)
    return result


def _scaled(size: Size, percent: int) -> Size:
    runs, metrics, steps = (max(1, number * percent // 100) for number in size)
    return runs, metrics, steps


def _floor_data(sizes: dict[str, Size]) -> dict[str, bytes]:
    """Return the data of the floors: rows of the list, and lines of panels."""
    data: dict[str, Any] = {"rows": [run.started.name or "" for run in make_sweep(*sizes[MANY])]}
    for name in (GRID, SINGLE):
        _, metrics, steps = sizes[name]
        runs = [run.columns for run in make_sweep(*sizes[name])]
        keys = map(metric_name, range(min(PANELS, metrics)))
        panels = [[columns[key].tolist() for columns in runs] for key in keys]
        data[name] = {"x": list(range(steps)), "panels": panels}
    return {f"{name}.json": json.dumps(content).encode() for name, content in data.items()}


def _first_chart(scene: Scene, name: str, size: Size) -> None:
    """Measure the time from the navigation to the paint of a chart with lines, with a warm browser cache."""
    pages = {"dashboard": (f"{ENTITY}/{name}", "firstChart"), "load of /health": ("api/v1/health", "painted")}
    times: dict[str, list[float]] = {kind: [] for kind in pages}
    with scene.tab() as tab:
        for _ in range(scene.options.repeats + 1):
            for kind, (path, noted) in pages.items():
                tab.page.goto(f"{scene.server.url}/{path}")
                tab.page.wait_for_function("(name) => window[name] !== undefined", arg=noted)
                times[kind].append(tab.page.evaluate("(name) => window[name]", noted))
                tab.idle()
    (_, mine), (against, floor) = ((kind, statistics.median(found[1:])) for kind, found in times.items())
    figure = "first chart, {:,} runs x {:,} metrics x {:,} steps".format(*size)
    scene.add(row(figure, "ms", mine, against, floor, most=3, target="<= 3x"), times)


def _runs_table(scene: Scene, size: Size) -> None:
    with scene.tab() as dashboard, scene.tab() as floor:
        dashboard.page.goto(f"{scene.server.url}/{ENTITY}/{MANY}?{RUNS_TAB}")
        dashboard.page.wait_for_selector(ROW)
        dashboard.idle()
        _check_scroll(dashboard)
        _, _, width, height = dashboard.box(TABLE)
        widths = dashboard.page.locator(ROW).first.locator("[data-field]").evaluate_all(WIDTHS)
        floor.page.goto(f"{scene.floors}/list.html")
        _open_floor(floor, width=width, height=height, widths=widths)

        def bare(script: str, given: object = None) -> Cost:
            return floor.cost_of(
                lambda: floor.page.evaluate(script, given),
                partial(floor.page.evaluate, "floor.reset()"),
                frames=False,
            )

        def mine(query: str) -> Cost:
            return dashboard.cost_of(
                lambda: dashboard.go(f"{RUNS_TAB}&{query}"), lambda: dashboard.go(RUNS_TAB), frames=False
            )

        def scroll(tab: Tab, selector: str, at: int) -> Cost:
            return tab.cost_of(lambda: tab.scroll(selector, TURNS, _turn(at)), frames=False)

        actions: dict[str, tuple[Callable[[int], Cost], Callable[[int], Cost]]] = {
            "scroll": (
                lambda at: scroll(dashboard, TABLE, at),
                lambda at: scroll(floor, "#scroller", at),
            ),
            "filter": (
                lambda at: mine(f"{SEARCH}=s{at % 5}"),
                lambda at: bare("(text) => floor.filter(text)", f"s{at % 5}"),
            ),
            "group": (lambda at: mine(f"{GROUP}=group"), lambda at: bare("floor.group()")),
            "sort": (
                lambda at: mine(f"{ORDER}={'-' * (at % 2)}name"),
                lambda at: bare("(down) => floor.sort(down)", at % 2 == 1),
            ),
        }
        for name, (ours, other) in actions.items():
            costs = interleaved(scene.options.repeats, {"dashboard": ours, "static list": other})
            scene.add_cpu(f"{name} {size[0]:,} runs", costs, most=1.5)


def _check_scroll(dashboard: Tab) -> None:
    """Check that the wheel scrolls the table, and scroll back."""
    before = dashboard.page.locator(ROW).all_inner_texts()
    dashboard.scroll(TABLE, 3, PIXELS)
    dashboard.idle()
    if dashboard.page.locator(ROW).all_inner_texts() == before:
        raise ScriptError("The wheel did not scroll the table of runs.")
    dashboard.scroll(TABLE, 3, -PIXELS)
    dashboard.idle()


def _turn(at: int) -> int:
    return PIXELS if at % 2 == 0 else -PIXELS


def _panels(scene: Scene, size: Size) -> None:
    title = f"{size[1]} panels x {size[0]} lines"
    with _charts(scene, GRID, size) as (dashboard, floor, shown):
        for name, actions in {
            "zoom": _zooms(dashboard, floor),
            "pan": _pans(dashboard, floor, size[2]),
        }.items():
            costs = interleaved(scene.options.repeats, actions)
            scene.add_cpu(f"{name}, {title}", costs, most=1.3)
            (_, mine), (against, bare) = (
                (each, statistics.median(max(cost.frames) for cost in found)) for each, found in costs.items()
            )
            scene.add(row(f"{name}, {title}: longest frame", "ms", mine, against, bare))
        _redraws(scene, dashboard, title, shown)
        _hover(scene, dashboard, floor, title)
        _smoothing(scene, dashboard, floor, title)


def _redraws(scene: Scene, dashboard: Tab, title: str, shown: list[str]) -> None:
    """Measure which panels a zoom draws, and when."""
    frames, together, drawn = [], [], []
    details = []
    for _ in range(scene.options.repeats):
        tasks = dashboard.tasks_of(lambda: dashboard.drag(CHART, 0.4, 0.7))
        dashboard.go(ALL_RUNS)
        dashboard.idle()
        marks = [mark for task in tasks for mark in task.marks]
        draws = [{mark for mark in task.marks if mark.startswith("draw ")} for task in tasks]
        released = marks.index("mouseup")
        first = marks.index(f"draw {shown[0]}", released)
        frames.append(max(1, marks[released:first].count("frame")))
        together.append(max(len(each) for each in draws))
        drawn.append(len(set().union(*draws)))
        details.append(marks)
    figure = f"zoom, {title}"
    for name, found, against, other in (
        ("frames until the touched panel is drawn", frames, "the next frame", 1),
        ("panels drawn in a task, at most", together, "one", 1),
        ("panels drawn", drawn, "panels on the screen", len(shown)),
    ):
        most = statistics.median(found) if found is frames else max(found)
        scene.add(row(f"{figure}: {name}", "", most, against, other, most=1, target="<= 1x"), details)


def _hover(scene: Scene, dashboard: Tab, floor: Tab, title: str) -> None:
    actions: dict[str, Callable[[int], Cost]] = {
        "dashboard": lambda at: dashboard.cost_of(lambda: dashboard.hover(CHART, MOVES)),
        "bare uPlot": lambda at: floor.cost_of(lambda: floor.hover("canvas", MOVES)),
        "idle": lambda at: dashboard.cost_of(lambda: dashboard.page.wait_for_timeout(MOVES * 17)),
    }
    costs = interleaved(scene.options.repeats, actions)
    scene.add_cpu(f"hover, {title}", costs, most=None)
    (_, hovered), _, (against, idle) = (
        (each, statistics.median(statistics.median(cost.frames) for cost in found))
        for each, found in costs.items()
    )
    figure = f"hover, {title}: median frame"
    scene.add(row(figure, "ms", hovered, against, idle, most=1.2, target="<= 1.2x"))


def _smoothing(scene: Scene, dashboard: Tab, floor: Tab, title: str) -> None:
    """Compare the longest task while all panels are smoothed with that of one bare redraw."""
    longest: dict[str, list[float]] = {"dashboard": [], "one bare redraw": []}
    for at in range(scene.options.repeats + 1):
        asked = f"{ALL_RUNS}&{SMOOTHING}=ema:0.{at % 8 + 1}"
        for name, tasks in {
            "dashboard": dashboard.tasks_of(partial(dashboard.go, asked)),
            "one bare redraw": floor.tasks_of(lambda: floor.page.evaluate("floor.redraw()")),
        }.items():
            longest[name].append(max(task.ms for task in tasks))
        if not dashboard.page.workers:
            raise ScriptError("No worker smooths the lines.")
    dashboard.go(ALL_RUNS)
    dashboard.idle()
    (_, mine), (against, bare) = ((name, statistics.median(found[1:])) for name, found in longest.items())
    figure = f"smoothing, {title}: longest task"
    scene.add(row(figure, "ms", mine, against, bare, most=1.5, target="<= 1.5x"), longest)


def _single_panel(scene: Scene, size: Size) -> None:
    title = f"one panel of {size[0]} lines"
    asked: list[str] = []
    with _charts(scene, SINGLE, size, asked) as (dashboard, floor, _):
        at_first, drawn = len(asked), sum(path.endswith(DRAWN_BY) for path in asked)
        costs = interleaved(scene.options.repeats, _zooms(dashboard, floor))
        scene.add_cpu(f"zoom, {title}", costs, most=1.3)
    figure, note = f"requests for {title}", f"{at_first} requests to the API in all"
    scene.add(row(figure, "", drawn, "one", 1, most=1, target="1", note=note), asked[:at_first])


def _zooms(dashboard: Tab, floor: Tab) -> dict[str, Callable[[int], Cost]]:
    """Return actions that zoom with the mouse. Afterwards both pages show everything again."""

    def restore() -> None:
        if f"{ZOOM}=" not in dashboard.page.evaluate("location.search"):
            raise ScriptError("The mouse did not zoom the chart.")
        dashboard.go(ALL_RUNS)

    reset = partial(floor.page.evaluate, "floor.reset()")
    return {
        "dashboard": lambda at: dashboard.cost_of(lambda: dashboard.drag(CHART, 0.4, 0.7), restore),
        "bare uPlot": lambda at: floor.cost_of(lambda: floor.drag("canvas", 0.4, 0.7), reset),
    }


def _pans(dashboard: Tab, floor: Tab, steps: int) -> dict[str, Callable[[int], Cost]]:
    """Return actions that move the middle half of the steps with the mouse, to both sides in turns."""
    low, high = steps // 4, max(steps // 4 + 2, steps * 3 // 4)

    def ends(at: int) -> tuple[float, float]:
        return (0.3, 0.5) if at % 2 == 0 else (0.5, 0.3)

    def move(at: int) -> None:
        before = dashboard.page.url
        dashboard.pan(CHART, *ends(at))
        # The address changes when the movement rests.
        dashboard.page.wait_for_url(lambda url: url != before)

    def pan(at: int) -> Cost:
        dashboard.go(f"{ALL_RUNS}&{ZOOM}={low}~{high}")
        dashboard.idle()
        return dashboard.cost_of(lambda: move(at), lambda: dashboard.go(ALL_RUNS))

    def pan_bare(at: int) -> Cost:
        floor.page.evaluate("([low, high]) => floor.range(low, high)", [low, high])
        return floor.cost_of(
            lambda: floor.pan("canvas", *ends(at)), partial(floor.page.evaluate, "floor.reset()")
        )

    return {"dashboard": pan, "bare uPlot": pan_bare}


@contextmanager
def _charts(
    scene: Scene, name: str, size: Size, asked: list[str] | None = None
) -> Iterator[tuple[Tab, Tab, list[str]]]:
    """Open all charts of a project, and as many panels in bare uPlot as the dashboard shows on the screen.

    Yields both pages, and the keys of the panels on the screen.

    Args:
        scene: The browser and the servers.
        name: The project.
        size: Its size.
        asked: Gets the paths of the API's routes that the dashboard asks.
    """
    with scene.tab() as dashboard, scene.tab() as floor:
        if asked is not None:
            dashboard.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        dashboard.page.goto(f"{scene.server.url}/{ENTITY}/{name}?{ALL_RUNS}")
        has_chart(dashboard)
        dashboard.idle()
        if asked is not None:
            asked[:] = [path for path in asked if path.startswith("/api/")]
        shown = dashboard.page.eval_on_selector_all(CHART, ON_SCREEN)
        lines = len(json.loads(dashboard.page.locator(CHART).first.get_attribute("data-last") or "{}"))
        scene.add(row(f"lines in a panel of project {name}", "", lines, "runs that match", size[0]))
        _, _, width, height = dashboard.box(f"{CHART} canvas")
        floor.page.goto(f"{scene.floors}/plots.html")
        if len(shown) > PANELS:
            raise ScriptError(f"{len(shown)} panels are on the screen, but the floor has only {PANELS}.")
        _open_floor(floor, name=f"{name}.json", count=len(shown), width=int(width), height=int(height))
        yield dashboard, floor, shown


def _open_floor(floor: Tab, **options: Any) -> None:
    floor.page.evaluate("(options) => floor.open(options)", options)
    floor.idle()
