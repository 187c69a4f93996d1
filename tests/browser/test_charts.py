"""Tests of the line charts: requests, axes, smoothing, readings, colours, full screen, exports."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import scripts
from builders import Writer, apply_all, end_segments, seal_all
from playwright.sync_api import Locator, Page, expect

from tracker.ground.records import MetricDefined
from tracker.recorder.open_store import open_store

from .conftest import expect_beside, expect_value, forget_requests, requests

RUNS = 20
STEPS = 500
SPARSE = 10  # the first run logs every tenth step only


def value_at(run: int, step: int) -> float:
    """Return the loss of a run: a better run has a smaller number."""
    return 1 + run / 10 + (5 if step < STEPS // 2 else 0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a store with 20 runs of one sweep. Their names differ at the end only."""
    store = open_store(tmp_path_factory.mktemp("charts") / "tracker-store")
    for number in range(RUNS):
        writer = Writer(
            store.layout,
            f"{number + 1:032x}",
            run_id=f"run{number}",
            name=f"a-rather-long-name-of-a-sweep-lr-0.001-seed-{number}",
            config={"lr": 10.0 ** -(number % 4), "kind": f"kind {number % 2}"},
            group=f"group {number % 2}",
        )
        writer.put(MetricDefined(name="val/*", step_metric="epoch"))
        for step in range(0, STEPS, SPARSE if number == 0 else 1):
            row = {"loss": value_at(number, step)}
            if step % 50 == 0:
                row |= {"epoch": step // 50, "val/acc": step / 1000, "far": float(step + 1)}
            writer.log(row, step=step)
        for at in range(30):
            writer.log({f"other/{at:02}": 1.0})
        writer.finish()
    apply_all(store, final=True)
    end_segments(store)
    seal_all(store)
    store.close()
    return str(store.layout.root)


def chart(page: Page, key: str):
    """Return the panel of a metric."""
    return page.locator(f'[data-testid="chart"][data-key="{key}"]')


def chart_bodies(page: Page) -> list[dict]:
    """Return the bodies of the requests for lines."""
    assert requests(page, r"/chart\?") == [], "lines of one run are asked for alone"
    return requests(page, "/chart$")


def hover(page: Page, key: str, x: float, y: float) -> dict[str, float]:
    """Move the pointer to a part of a chart's plot area; return its place in the window."""
    chart(page, key).scroll_into_view_if_needed()
    over = chart(page, key).locator(".u-over")
    page.evaluate("window.trackerIdle()")  # a chart that is drawn again forgets the place of the pointer
    box = over.bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}
    page.mouse.move(at["x"], at["y"])
    return at


def smoothed_at(xs: list[float], ys: list[float], strength: float, width: float) -> float:
    """Return the last value of the time-weighted average of W&B."""
    weight = min(math.sqrt(strength), 0.999)
    weights = [weight ** ((xs[-1] - x) / width * 1000) for x in xs]
    return sum(w * y for w, y in zip(weights, ys, strict=True)) / sum(weights)


@pytest.mark.slow
def test_lines_are_loaded_together_and_read_at_the_crosshair(
    serve: Callable, page: Page, visit: Callable, many: str
) -> None:
    url = f"{serve('--store', many).url}/team/demo"
    visit(f"{url}?show=*")
    bodies = chart_bodies(page)
    assert {len(body["runs"]) for body in bodies} == {RUNS}
    asked = [key for body in bodies for key in body["keys"]]
    assert "loss" in asked
    assert len(set(asked)) > len(bodies), "each panel has a request of its own"
    assert "other/29" not in asked, "a panel that is not on screen was loaded"
    forget_requests(page)
    chart(page, "other/29").scroll_into_view_if_needed()
    expect_value(page, lambda: any("other/29" in body["keys"] for body in chart_bodies(page)), True)
    assert not any("loss" in body["keys"] for body in chart_bodies(page))
    # define_metric gave this metric another axis.
    chart(page, "val/acc").scroll_into_view_if_needed()
    page.evaluate("window.trackerIdle()")
    expect(chart(page, "val/acc")).to_have_attribute("data-axis", "epoch")
    expect(chart(page, "loss")).to_have_attribute("data-axis", "_step")

    at = hover(page, "loss", 0.9, 0.97)
    readings = page.get_by_test_id("reading")
    expect(readings).to_have_count(12)
    expect(readings.locator(".name")).to_have_text([f"…{number}" for number in range(12)])
    expect(page.get_by_test_id("readout")).to_contain_text("and 8 more")
    for row, weight in enumerate(("600", "400")):
        expect(readings.nth(row)).to_have_css("font-weight", weight)
    expect_beside(page, at["x"])
    hover(page, "loss", 0.9, 0.02)
    expect(readings.first.locator(".name")).to_have_text("…19")

    # Sparse and dense lines are smoothed equally: the weights are those of distances, not of points.
    visit(f"{url}?show=run0,run1&smooth=ema:0.99&logx=0")
    expect(page.get_by_test_id("smoothing")).to_have_value("ema")
    hover(page, "loss", 0.6, 0.5)
    expect(readings).to_have_count(2)
    parts = "row => ['name', 'value', 'raw'].map(part => row.querySelector(`.${part}`)?.innerText ?? '0')"
    shown: dict[str, tuple[float, float]] = {}

    def are_smoothed() -> bool:
        for name, smooth, raw in readings.evaluate_all(f"all => all.map({parts})"):
            shown[name] = (float(smooth), float(raw.strip("()")))
        return all(abs(smooth - raw) > 1 for smooth, raw in shown.values())

    expect_value(page, are_smoothed, True)  # a worker smooths the lines
    for number in (0, 1):
        xs = [float(step) for step in range(0, STEPS * 6 // 10 + 1, SPARSE if number == 0 else 1)]
        wanted = smoothed_at(xs, [value_at(number, int(x)) for x in xs], 0.99, STEPS - 1)
        found, raw = shown[f"…{number}"]
        assert raw == value_at(number, STEPS * 6 // 10)
        assert found == pytest.approx(wanted, abs=0.25)
    page.get_by_test_id("smoothing").select_option("gauss")
    page.wait_for_url("**smooth=gauss*")


def line_of(page: Page, key: str, run: str) -> Locator:
    """Return the line of a run in the legend of a chart."""
    legend = chart(page, key).get_by_test_id("legend")
    return legend.get_by_role("button", name=f"Colour of {run}", exact=True).locator("line")


def color_of(page: Page, key: str, run: str) -> str:
    """Return the colour of a run in the legend of a chart."""
    return line_of(page, key, run).get_attribute("stroke") or ""


@pytest.mark.slow
def test_a_colour_belongs_to_a_run_and_the_legend_chooses_runs(
    serve: Callable, page: Page, visit: Callable, many: str
) -> None:
    url = f"{serve('--store', many).url}/team/demo"
    name = "a-rather-long-name-of-a-sweep-lr-0.001-seed-{}".format
    visit(f"{url}?show=run3,run4,run5")
    color = color_of(page, "loss", name(5))
    legend = chart(page, "loss").get_by_test_id("legend")
    legend.get_by_role("button", name=f"Hide {name(3)}", exact=True).click()
    page.wait_for_url("**hide=run3")
    expect(legend.get_by_role("button", name="Show 1 hidden")).to_be_visible()
    expect(line_of(page, "loss", name(5))).to_have_attribute("stroke", color)
    legend.get_by_role("button", name="Show 1 hidden").click()
    page.evaluate("window.trackerIdle()")
    # A chosen colour is that of the run everywhere, also after a reload.
    legend.get_by_role("button", name=f"Colour of {name(5)}", exact=True).click()
    page.get_by_role("button", name="#3690f3", exact=True).click()
    for key in ("loss", "far"):
        expect(line_of(page, key, name(5))).to_have_attribute("stroke", "#3690f3")
    visit(f"{url}?show=run5,run6")
    expect(line_of(page, "loss", name(5))).to_have_attribute("stroke", "#3690f3")
    legend.get_by_role("button", name=f"Hide {name(6)}", exact=True).click(modifiers=["Alt"])
    page.wait_for_url("**show=run6")
    # Colours of a config value: numbers on a scale, equal values with equal colours.
    visit(f"{url}?show=run0,run1,run4&color=config.lr")
    expect(page.get_by_test_id("color-legend")).to_contain_text("0.1")

    def shared() -> list[bool]:
        first, other, same = (color_of(page, "loss", name(number)) for number in (0, 1, 4))
        return [first == same, first == other]

    expect_value(page, shared, [True, False])
    page.get_by_test_id("color-by").select_option("config.kind")
    page.wait_for_url("**color=config.kind*")
    expect(page.get_by_test_id("color-legend")).to_contain_text("kind 1")


@pytest.mark.slow
def test_a_panel_fills_the_page_by_its_address_and_is_exported(
    serve: Callable, page: Page, visit: Callable, many: str, tmp_path: Path
) -> None:
    url = f"{serve('--store', many).url}/team/demo"
    visit(f"{url}?panel=other/29&logy=1&logx=1&clip=1")
    panel = chart(page, "other/29")
    expect_value(page, panel.bounding_box, {"x": 0, "y": 0, "width": 1400, "height": 900})
    expect(panel.locator("canvas")).to_have_count(1)
    page.keyboard.press("Escape")
    page.wait_for_url(lambda address: "panel" not in address)
    for label in ("Log x", "Log y", "Cut outliers"):
        expect(page.get_by_label(label)).to_be_checked()
    saved = {}
    for kind in ("CSV", "SVG", "PNG"):
        chart(page, "far").hover()
        page.get_by_role("button", name="Actions of far").click()
        with page.expect_download() as downloading:
            page.get_by_role("menuitem", name=f"Save as {kind}").click()
        target = tmp_path / downloading.value.suggested_filename
        downloading.value.save_as(target)
        saved[kind] = target.read_bytes()
    assert saved["PNG"].startswith(b"\x89PNG")
    assert saved["SVG"].startswith(b"<svg ")
    head, *rows = saved["CSV"].decode().split("\r\n")
    assert head == "run,_step,value"
    assert f"a-rather-long-name-of-a-sweep-lr-0.001-seed-{RUNS - 1},450,451" in rows

    # A box zooms all charts with this axis, and shift moves them.
    start = hover(page, "loss", 0.2, 0.5)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"], steps=4)
    page.mouse.up()
    page.wait_for_url("**zoom=*")
    page.evaluate("window.trackerIdle()")
    end = hover(page, "loss", 0.5, 0.5)
    page.keyboard.down("Shift")
    before = page.url
    page.mouse.down()
    page.mouse.move(end["x"] - 30, end["y"], steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_url(lambda address: address != before and "zoom=" in address)


LIVE = """
import sys, tracker
run = tracker.init(project="live", id="live")
for step in range(300):
    run.log({"loss": step / 10})
print("ready", flush=True)
for line in sys.stdin:
    run.log({"loss": float(line)})
run.finish()
"""


@pytest.mark.slow
def test_a_live_run_sends_only_its_new_values(
    serve: Callable, page: Page, visit: Callable, tmp_path: Path
) -> None:
    writer = scripts.start(LIVE, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    url = serve().url
    known = '[data-key=loss][data-last*="29.9"]'
    scripts.wait_for(lambda: page.request.get(f"{url}/api/v1/projects").json()["projects"], "the project")
    visit(f"{url}/local/live")
    page.wait_for_selector(known)
    page.evaluate("window.trackerIdle()")
    forget_requests(page)
    for value in (7.5, 8.5):
        writer.stdin.write(f"{value}\n")
        writer.stdin.flush()
        page.wait_for_selector(f'[data-key=loss][data-last*="{value}"]')
    assert all(body["min"] > 280 for body in chart_bodies(page))
    hover(page, "loss", 0.999, 0.5)
    expect(chart(page, "loss").locator("figcaption b")).to_have_text("8.5")
    hover(page, "loss", 0.0, 0.5)
    expect(chart(page, "loss").locator("figcaption b")).to_have_text("0")
    writer.communicate(timeout=90)


NOTE_DRAWS = """
    window.drawn = [];
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    CanvasRenderingContext2D.prototype.clearRect = function (...given) {
        window.drawn.push(this.canvas.closest("[data-key]")?.dataset.key);
        return clear.apply(this, given);
    };
"""


@pytest.mark.slow
def test_a_zoom_asks_for_nothing_and_redraws_the_panels_on_the_screen(
    serve: Callable, page: Page, visit: Callable, many: str
) -> None:
    """uPlot clears a canvas each time it draws."""
    page.add_init_script(NOTE_DRAWS)
    visit(f"{serve('--store', many).url}/team/demo?show=*")
    chart(page, "loss").scroll_into_view_if_needed()
    page.evaluate("window.trackerIdle()")
    forget_requests(page)
    page.evaluate("window.drawn = []")
    box = chart(page, "loss").locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**zoom=*")
    page.evaluate("window.trackerIdle()")
    assert requests(page, "/api/v1/(?!live)") == []
    on_screen = page.get_by_test_id("chart").evaluate_all(
        """(charts) => charts.filter((each) => {
            const { top, bottom } = each.getBoundingClientRect();
            const area = each.closest("[data-scroll]").getBoundingClientRect();
            return bottom > area.top && top < area.bottom;
        }).map((each) => each.dataset.key)"""
    )
    drawn = page.evaluate("window.drawn")
    assert sorted(drawn) == sorted(on_screen), "each panel on the screen is drawn once"
    assert len(drawn) < page.get_by_test_id("chart").count(), "all panels are on the screen"
    # A panel out of view is drawn when it comes back.
    chart(page, "other/29").scroll_into_view_if_needed()
    page.get_by_test_id("reset-zoom").click()
    page.evaluate("window.trackerIdle()")
    page.evaluate("window.drawn = []")
    chart(page, "loss").scroll_into_view_if_needed()
    page.wait_for_function("() => window.drawn.includes('loss')")


def test_runs_and_their_metrics_are_asked_for_at_once(
    serve: Callable, page: Page, visit: Callable, many: str
) -> None:
    url = f"{serve('--store', many).url}/team/demo"
    visit(url)
    assert requests(page, "/metrics$") == [{"order": "-created_at", "query": "", "limit": 10}]
    visit(f"{url}?hide=run{RUNS - 1}")
    assert [len(body["runs"]) for body in requests(page, "/metrics$")] == [9], "a hidden run is not drawn"


def test_the_lines_of_the_first_charts_are_asked_for_before_everything_else(
    serve: Callable, page: Page, visit: Callable, many: str
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/v1/")[2]))
    visit(f"{serve('--store', many).url}/team/demo")
    paths = [url.partition("?")[0].removeprefix("projects/team/demo/") for url in asked]
    assert paths[: paths.index("chart")].count("runs") == 1, "the table of runs can wait"
    assert paths.count("runs") > 1
    live = [url for url in asked if url.startswith("live?") or url == "live"]
    assert live
    assert all("since=" in url for url in live), "the page has the revision"
    # All panels are made in the end.
    assert page.get_by_test_id("chart").count() == page.get_by_test_id("panel").count() > 20
