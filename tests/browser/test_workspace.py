"""Tests of the workspace: its layout, saved views, settings, groups of runs, and panels over runs."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import tracker

from .conftest import expect_address, expect_value, requests

RUNS = 6
STEPS = 20
# The names and the numbers of runs of the groups by optimizer, as a chart has them, with any last mean.
GROUPS = re.compile(r'^\[\["opt=adam",3,[\d.]+\],\["opt=sgd",3,[\d.]+\]\]$')


def loss(run: int, step: int) -> float:
    return (1 + run) / (step + 1)


def log_runs(media: bool = False) -> None:
    """Log six runs: two optimizers, three learning rates."""
    for at in range(RUNS):
        config = {"opt": ("adam", "sgd")[at % 2], "lr": 10.0 ** -(at // 2), "seed": at}
        run = tracker.init(project="work", id=f"run{at}", name=f"run {at}", config=config)
        for step in range(STEPS):
            row = {"train/loss": loss(at, step), "train/acc": step / STEPS, "val/loss": loss(at, step) + 1}
            run.log({**row, "alone": at})
        if media:
            run.log({"weights": tracker.Histogram(np.arange(100.0) + at)})
            run.log({"picture": tracker.Image(np.full((8, 8), at / RUNS), caption=f"of run {at}")})
        run.finish()


def expect_panels(page: Page, section: str, *keys: str) -> None:
    """Wait until a section has these panels, in this order."""
    found = page.locator(f'[data-section="{section}"] [data-panel]')
    expect_value(page, lambda: found.evaluate_all("all => all.map(each => each.dataset.panel)"), list(keys))


def panel(page: Page, key: str) -> Locator:
    return page.locator(f'[data-panel="{key}"]')


def choose(page: Page, menu: str, item: str) -> None:
    """Choose an item of a menu."""
    page.get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def drag(page: Page, handle: Locator, to: tuple[float, float]) -> None:
    page.evaluate("window.trackerIdle()")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*to, steps=6)
    page.mouse.up()


@pytest.mark.slow
def test_layout_is_changed_and_saved_as_a_view(
    serve: Callable, page: Page, visit: Callable, chromium: object
) -> None:
    log_runs()
    address = f"{serve().url}/local/work"
    visit(address)
    sections = page.get_by_test_id("section")
    titles = "all => all.map(each => each.dataset.section)"

    def expect_sections(*wanted: str) -> None:
        expect_value(page, lambda: sections.evaluate_all(titles)[: len(wanted)], list(wanted))

    expect_sections("Charts", "train", "val")
    expect_panels(page, "train", "train/acc", "train/loss")

    # The keyboard moves a panel within its section, and into the next one; Escape takes it back.
    handle = page.get_by_role("button", name="Move train/acc", exact=True)
    handle.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect_panels(page, "train", "train/loss", "train/acc")
    expect(page.get_by_text("train/acc: place 2 of 2 in train")).to_be_attached()
    page.keyboard.press("ArrowRight")
    expect_panels(page, "val", "train/acc", "val/loss")
    expect(handle).to_be_focused()
    page.keyboard.press("Escape")
    expect_panels(page, "train", "train/acc", "train/loss")

    # The pointer drags it to the end of another section.
    target = panel(page, "alone").bounding_box()
    assert target is not None
    panel(page, "train/loss").hover()
    drag(
        page,
        page.get_by_role("button", name="Move train/loss", exact=True),
        (target["x"] + target["width"] - 20, target["y"] + 60),
    )
    expect_panels(page, "Charts", "alone", "train/loss")
    page.evaluate("window.trackerIdle()")

    # Its corner resizes it: by pointer in height, by keys in columns.
    corner = page.get_by_role("button", name="Resize train/loss")
    box = panel(page, "train/loss").bounding_box()
    assert box is not None
    panel(page, "train/loss").hover()
    drag(page, corner, (box["x"] + box["width"] - 8, box["y"] + box["height"] + 92))
    corner.focus()
    page.keyboard.press("ArrowRight")

    def has_grown() -> bool:
        now = panel(page, "train/loss").bounding_box()
        assert now is not None
        return abs(now["height"] - box["height"] - 100) <= 3 and now["width"] > 1.8 * box["width"]

    expect_value(page, has_grown, True)

    # Sections are renamed, moved and hidden; panels are removed, and undone.
    choose(page, "Section val", "Rename")
    page.get_by_label("Name of the section val").fill("Validation")
    page.keyboard.press("Enter")
    choose(page, "Section Validation", "Move up")
    expect_sections("Charts", "val", "train")
    choose(page, "Panel alone", "Remove")
    expect(panel(page, "alone")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(panel(page, "alone")).to_have_count(1)
    choose(page, "Section train", "Hide")
    expect_sections("Charts", "val")
    expect(sections).to_have_count(2)

    # A panel with a pattern, a title and its own settings.
    choose(page, "Add panel", "Line chart")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title").fill("All losses")
    dialog.get_by_label("And all metrics that match").fill("(")
    expect(dialog.get_by_text("Invalid pattern")).to_be_visible()
    expect(dialog.get_by_role("button", name="Add", exact=True)).to_be_disabled()
    dialog.get_by_label("And all metrics that match").fill("loss$")
    expect(dialog.get_by_text("2 of 4 metrics match.")).to_be_visible()
    dialog.get_by_label("Log y").select_option("on")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator('[data-testid=chart][data-key="train/loss,val/loss"]')).to_contain_text("All losses")

    # The search reports a wrong pattern, and filters panels.
    search = page.get_by_label("Filter metrics")
    search.fill("acc(")
    expect(page.get_by_role("alert")).to_contain_text("Invalid pattern")
    search.fill("all losses")
    expect(page.get_by_test_id("panel")).to_have_count(1)
    search.fill("")

    # Saved as a view that opens by default, also in another browser. The address wins over it.
    page.get_by_label("Log y").first.check()
    choose(page, "Actions of the view", "Save as a new view…")
    page.get_by_label("Name", exact=True).fill("Ours")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Saved views: Ours")).to_be_visible()
    choose(page, "Actions of the view", "Default of the project")
    page.evaluate("window.trackerIdle()")
    other = chromium.new_context().new_page()  # type: ignore[attr-defined]
    other.goto(address)
    expect(other.get_by_text("All losses", exact=True)).to_be_visible()
    expect_address(other, "view=")
    expect_address(other, "logy=1")
    expect_address(page, "view=")
    saved = page.url.split("view=")[1].split("&")[0]
    other.goto(f"{address}?view={saved}&smooth=ema%3A0.5")
    expect(other.get_by_test_id("smoothing")).to_have_value("ema")
    expect(other.get_by_label("Log y").first).to_be_checked()

    # The other person changes it first: the own change is a conflict. A reload keeps it.
    choose(other, "Section Validation", "Hide")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_text("Saved the view “Ours”.")).to_be_visible()
    choose(page, "Section Validation", "Move up")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Another person has saved “Ours”")
    page.allowed_errors.append("412")  # type: ignore[attr-defined]
    page.reload()
    expect_sections("val", "Charts")
    choose(page, "Actions of the view", "Discard changes")
    expect(page.get_by_test_id("section")).to_have_count(1)
    choose(page, "Saved views: Ours", "Automatic")
    expect(page.get_by_role("button", name="Saved views: Automatic")).to_be_visible()
    expect_panels(page, "train", "train/acc", "train/loss")
    other.context.close()


def draft(page: Page, panels: dict) -> None:
    """Give the workspace panels, as a browser keeps unsaved changes."""
    own = {key: {"own": True, "section": "Study", "settings": settings} for key, settings in panels.items()}
    content = json.dumps({"layout": {"manual": True, "panels": own}, "query": ""})
    page.evaluate("text => localStorage.setItem('tracker:draft:local/work/', JSON.stringify(text))", content)


@pytest.mark.slow
def test_groups_and_panels_over_runs(serve: Callable, page: Page, visit: Callable) -> None:
    log_runs(media=True)
    address = f"{serve().url}/local/work"

    # One line for each group, over all runs that match: means are those of the logged values.
    visit(f"{address}?group=config.opt")
    chart = page.locator('[data-testid=group-chart][data-key="train/loss"]')
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("data-groups", GROUPS)
    ends = [statistics.fmean(loss(run, STEPS - 1) for run in range(first, RUNS, 2)) for first in (0, 1)]
    groups = json.loads(chart.get_attribute("data-groups") or "")
    assert [each[2] for each in groups] == pytest.approx(ends)
    chart.locator(".plot").hover()
    expect(chart.get_by_test_id("readout")).to_contain_text("N = 3")
    page.get_by_test_id("band").select_option("minmax")
    expect(chart).to_contain_text("mean, minimum to maximum")
    visit(f"{address}?group=-seed,-lr&hide=run1")
    expect(chart).to_have_attribute("data-groups", re.compile(GROUPS.pattern.replace('sgd",3', 'sgd",2')))

    scatter = {"type": "scatter", "x": "config.lr", "y": "summary.train/loss", "logX": True}
    text = "# Plan\n\n**bold** <i onclick=x>not italic</i>"
    draft(
        page,
        {
            "points": scatter | {"color": "config.opt"},
            "lines": {"type": "parallel", "fields": ["config.lr", "config.opt", "summary.train/loss"]},
            "bars": {"type": "bars", "x": "config.opt", "y": "summary.train/loss"},
            "matters": {"type": "importance", "y": "summary.train/loss"},
            "spread": {"type": "histogram", "metrics": ["weights"]},
            "pictures": {"type": "media", "metrics": ["picture"]},
            "words": {"type": "markdown", "title": "Notes", "text": text},
        },
    )
    visit(f"{address}?show=*")
    for each in page.get_by_test_id("panel").all():
        each.scroll_into_view_if_needed()
    page.evaluate("window.trackerIdle()")
    expect(page.locator("[data-points]")).to_have_attribute("data-points", str(RUNS))
    expect(page.get_by_test_id("correlation")).to_have_text(re.compile("r = .0.96, . = .0.96"))
    expect(page.get_by_test_id("group-bar")).to_have_count(2)
    expect(page.get_by_test_id("group-bar").first).to_contain_text("opt=adam: N = 3, mean 0.15")
    rows = page.get_by_test_id("importance-row")
    expect(rows.first).to_contain_text("lr")
    expect(page.locator("[data-steps]")).to_have_attribute("data-steps", "1")
    expect(page.get_by_test_id("run-media")).to_have_count(RUNS)
    # A change of a run, for example by its recorder, makes the page ask again.
    asked = requests(page, "/objects$")
    assert {(body["key"], len(body["runs"])) for body in asked} == {("picture", RUNS)}
    assert requests(page, r"/objects\?key=picture") == [], "media of one run are asked for alone"
    expect(page.get_by_text("of run 3")).to_be_visible()
    expect(page.get_by_test_id("markdown-panel").locator("h2")).to_have_text("Plan")
    expect(page.get_by_test_id("markdown-panel").locator("strong")).to_have_text("bold")
    expect(page.get_by_test_id("markdown-panel")).to_contain_text("<i onclick=x>not italic")

    # A range on an axis filters the runs of the whole page; the panel still shows the others.
    axis = page.locator('[data-axis="config.lr"]')
    axis.scroll_into_view_if_needed()
    page.evaluate("window.trackerIdle()")
    box = axis.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] * 0.75, steps=4)
    page.mouse.up()
    page.evaluate("window.trackerIdle()")
    expect(page.get_by_test_id("run-row")).to_have_count(4)
    expect(page.get_by_test_id("parallel-panel")).to_contain_text(f"4 of {RUNS} runs")
    expect(page.locator("[data-points]")).to_have_attribute("data-points", "4")
    page.get_by_role("button", name="Remove the range").click()
    expect(page.get_by_test_id("run-row")).to_have_count(RUNS)

    # One panel alone, for a frame: an added one, and one made from a metric.
    visit(f"{address}?panel=points&embed=1")
    expect(page.locator("[data-points]")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.get_by_test_id("run-row")).to_have_count(0)
    page.evaluate("localStorage.clear()")
    visit(f"{address}?panel=val/loss&embed=1")
    expect(page.get_by_test_id("chart")).to_have_attribute("data-key", "val/loss")
    visit(f"{address}?panel=absent&embed=1")
    expect(page.get_by_text("This workspace has no panel “absent”.")).to_be_visible()
