"""Tests of what panels show and save: intervals, values of buckets, abandoned branches, exports."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from builders import Writer, apply_all, end_segments, seal_all
from playwright.sync_api import Locator, Page, expect

from tracker.ground.records import MetricDefined
from tracker.recorder.open_store import open_store

from .conftest import expect_beside, expect_value, forget_requests, requests

RUNS = 6
STEPS = 40
LONG = 4000  # values of the run with more values than points
PLACE = "team/panels"


def loss(run: int, step: int) -> float:
    return 1 + run + math.sin(step * 2.1) + step / 50


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a store: a sweep, a run with many values, and a run that went back to a step."""
    store = open_store(tmp_path_factory.mktemp("panels") / "tracker-store")
    place = {"entity": "team", "project": "panels"}
    for at in range(RUNS):
        config = {"opt": ("adam", "sgd")[at % 2], "lr": 10.0 ** -(at // 2)}
        writer = Writer(store.layout, f"{at:032x}", f"run{at}", name=f"run {at}", config=config, **place)
        for step in range(STEPS):
            writer.log({"train/loss": loss(at, step)})
        writer.finish()
    many = Writer(store.layout, "a" * 32, "many", name="many values", **place)
    for step in range(LONG):
        many.log({"wave": float(step % 10)})
    many.finish()
    for attempt, start in enumerate((0, 10)):
        writer = Writer(
            store.layout,
            str(attempt + 1) * 32,
            "back",
            name="went back",
            attempt=attempt,
            start_step=start,
            **place,
        )
        writer.put(MetricDefined(name="again", step_metric="epoch"))
        for step in range(start, 20):
            writer.log({"again": float(step + 50 * attempt), "epoch": step // 2}, step=step)
        writer.finish()
    apply_all(store, final=True)
    end_segments(store)
    seal_all(store)
    store.close()
    return str(store.layout.root)


def show(page: Page, panels: dict) -> None:
    """Give the workspace these panels only, as a browser keeps unsaved changes."""
    own = {key: {"own": True, "section": "Study", "settings": settings} for key, settings in panels.items()}
    content = json.dumps({"layout": {"manual": True, "panels": own}, "query": ""})
    page.evaluate(
        f"text => localStorage.setItem('tracker:draft:{PLACE}/', JSON.stringify(text))",
        content,
    )


def save(page: Page, title: str, kind: str) -> str:
    """Save a panel from its menu; return the text of the file."""
    page.locator("figure", has_text=title).first.hover()
    page.get_by_role("button", name=f"Actions of {title}", exact=True).click()
    with page.expect_download() as downloading:
        page.get_by_role("menuitem", name=f"Save as {kind}").click()
    return downloading.value.path().read_bytes().decode("utf-8", "replace")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def chart(page: Page, key: str) -> Locator:
    return page.locator(f'[data-testid=chart][data-key="{key}"]')


@pytest.mark.slow
def test_groups_have_intervals_smoothed_bands_and_exports(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    from scipy import stats  # not when all workers collect the tests: it takes a second

    url = f"{serve('--store', logged).url}/{PLACE}"
    visit(f"{url}?group=config.opt&metric=train")
    panel = page.locator('[data-testid=group-chart][data-key="train/loss"]')
    page.get_by_test_id("band").select_option("ci")
    expect(panel).to_contain_text("mean ± 95% t-interval")
    page.evaluate("window.trackerIdle()")  # a chart that is drawn again forgets the place of the pointer
    box = panel.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    last = [loss(at, STEPS - 1) for at in range(0, RUNS, 2)]
    low, high = stats.t.interval(0.95, len(last) - 1, np.mean(last), stats.sem(last))
    adam = page.get_by_test_id("reading").filter(has_text="adam")
    expect(adam).to_contain_text(f"± {(high - low) / 2:.3f}"[:6])
    expect(adam).to_contain_text("N = 3")
    expect_beside(page, box["x"] + box["width"] - 2)

    found = [row for row in rows_of(save(page, "train/loss", "CSV")) if row["group"] == "opt=adam"]
    assert len(found) == STEPS
    assert float(found[-1]["mean"]) == pytest.approx(np.mean(last))
    assert float(found[-1]["stderr"]) == pytest.approx(stats.sem(last))
    assert found[-1]["n"] == "3"

    def bands() -> list[str]:
        return re.findall(r'd="([^"]*L[^"]*L[^"]*L[^"]*Z)" fill=', save(page, "train/loss", "SVG"))

    raw = bands()
    assert len(raw) == 2
    page.get_by_test_id("smoothing").select_option("mean")
    page.wait_for_url("**smooth=mean*")
    page.evaluate("window.trackerIdle()")
    smooth = bands()
    assert len(smooth) == 2
    assert not set(smooth) & set(raw), "a band is not smoothed"

    # A panel that comes into view again asks for nothing.
    forget_requests(page)
    page.get_by_role("button", name="train 1").click()
    page.get_by_role("button", name="train 1").click()
    page.evaluate("window.trackerIdle()")
    assert requests(page, r"/curves\?format=binary$") == []


@pytest.mark.slow
def test_the_value_of_a_bucket_is_chosen_and_reset(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    url = f"{serve('--store', logged).url}/{PLACE}"
    visit(f"{url}?show=many")
    expect(chart(page, "wave")).to_be_visible()

    def values() -> set[float]:
        return {float(row["value"]) for row in rows_of(save(page, "wave", "CSV"))}

    assert len(values()) > 1
    chart(page, "wave").hover()
    page.get_by_role("button", name="Panel wave", exact=True).click()
    page.get_by_role("menuitem", name="Settings…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Reset to the section")).to_have_count(0)
    dialog.get_by_label("Points with several values").select_option("max")
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_have_count(0)
    page.evaluate("window.trackerIdle()")
    width = math.ceil(LONG / 1000)
    highest = {max(float(at % 10) for at in range(first, first + width)) for first in range(0, LONG, width)}
    assert values() == highest
    chart(page, "wave").hover()
    page.get_by_role("button", name="Panel wave", exact=True).click()
    page.get_by_role("menuitem", name="Settings…").click()
    dialog.get_by_role("button", name="Reset to the section").click()
    expect(dialog.get_by_label("Points with several values")).to_have_value("")
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_have_count(0)
    page.evaluate("window.trackerIdle()")
    assert len(values()) > len(highest)


def test_a_box_zoom_asks_for_finer_values(serve: Callable, page: Page, visit: Callable, logged: str) -> None:
    visit(f"{serve('--store', logged).url}/{PLACE}?show=many")
    box = chart(page, "wave").locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_url("**zoom=*")
    page.evaluate("window.trackerIdle()")
    rows = rows_of(save(page, "wave", "CSV"))
    steps = [float(row["_step"]) for row in rows]
    assert np.diff(steps).tolist() == [1.0] * (len(steps) - 1)
    assert all(float(row["value"]) == float(row["_step"]) % 10 for row in rows)


@pytest.mark.slow
def test_abandoned_branches_are_pale_and_legends_list_runs_with_values(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    visit(f"{serve('--store', logged).url}/{PLACE}?show=back,run0,run1")
    panel = chart(page, "again")
    panel.scroll_into_view_if_needed()
    page.evaluate("window.trackerIdle()")
    # The pale line has the axis that the metric defines.
    expect(panel).to_have_attribute("data-axis", "epoch")
    expect(panel).to_contain_text("over epoch")
    svg = save(page, "again", "SVG")
    assert svg.count('stroke-dasharray="3 3"') == 1
    expect(panel.get_by_test_id("legend")).to_contain_text("went back")
    expect(panel.get_by_test_id("legend")).not_to_contain_text("run 0")
    expect(chart(page, "train/loss").get_by_test_id("legend")).not_to_contain_text("went back")
    rows = rows_of(save(page, "again", "CSV"))
    assert {row["run"] for row in rows} == {"went back"}
    assert max(float(row["value"]) for row in rows) == 69


@pytest.mark.slow
def test_layout_changes_are_undone_and_repeated(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    visit(f"{serve('--store', logged).url}/{PLACE}")
    panels = page.get_by_test_id("panel")
    expect(panels).to_have_count(4)
    page.locator('[data-panel="wave"]').hover()
    page.get_by_role("button", name="Panel wave", exact=True).click()
    page.get_by_role("menuitem", name="Remove", exact=True).click()
    expect(panels).to_have_count(3)
    page.get_by_role("button", name="Section train", exact=True).click()
    page.get_by_role("menuitem", name="Hide", exact=True).click()
    expect(panels).to_have_count(2)
    # A field undoes what was typed, not the layout.
    search = page.get_by_label("Filter metrics")
    search.fill("wave")
    search.press("Control+z")
    search.fill("")
    expect(panels).to_have_count(2)
    page.get_by_test_id("x-axis").focus()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+z")
    expect(panels).to_have_count(3)
    page.keyboard.press("Control+z")
    expect(panels).to_have_count(4)
    page.keyboard.press("Control+y")
    expect(panels).to_have_count(3)
    page.get_by_role("button", name="Layout", exact=True).click()
    page.get_by_role("menuitem", name="Redo").click()
    expect(panels).to_have_count(2)
    # The moves of a panel with the arrow keys are one change.
    page.get_by_role("button", name="Layout", exact=True).click()
    page.get_by_role("menuitem", name="Undo").click()
    expect(panels).to_have_count(3)

    def order() -> list[str]:
        return list(panels.evaluate_all("all => all.map(each => each.dataset.panel)"))

    before = order()
    page.get_by_role("button", name="Move again", exact=True).focus()
    for key in ("Enter", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect_value(page, lambda: order() != before, True)
    page.keyboard.press("Control+z")
    expect_value(page, order, before)


@pytest.mark.slow
def test_panels_over_runs_are_saved_and_linked(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    url = f"{serve('--store', logged).url}/{PLACE}"
    visit(url)
    show(
        page,
        {
            "points": {"type": "scatter", "title": "Points", "x": "config.lr", "y": "summary.train/loss"}
            | {"color": "config.opt"},
            "bars": {"type": "bars", "title": "Bars", "x": "config.opt", "y": "summary.train/loss"},
            "words": {
                "type": "markdown",
                "title": "Words",
                "text": "**bold** <b onclick=x>",
            },
        },
    )
    visit(url)
    words = page.get_by_test_id("markdown-panel")
    expect(words.locator("strong")).to_have_text("bold")
    expect(words).to_contain_text("<b onclick=x>")
    expect(page.get_by_test_id("scatter-panel").get_by_test_id("color-legend")).to_contain_text("adam")
    rows = rows_of(save(page, "Points", "CSV"))
    assert {row["id"]: float(row["summary.train/loss"]) for row in rows} == pytest.approx(
        {f"run{at}": loss(at, STEPS - 1) for at in range(RUNS)}
    )
    svg = save(page, "Points", "SVG")
    assert svg.startswith("<svg ")
    assert "data:image/png;base64," in svg
    assert ">config.lr<" in svg
    assert save(page, "Bars", "PNG").startswith("\ufffdPNG")
    means = {row["group"]: float(row["mean"]) for row in rows_of(save(page, "Bars", "CSV"))}
    assert means["opt=adam"] == pytest.approx(np.mean([loss(at, STEPS - 1) for at in range(0, RUNS, 2)]))
    page.get_by_test_id("scatter-panel").hover()
    page.get_by_role("button", name="Actions of Points", exact=True).click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("menuitem", name="Copy link").click()
    expect(page.get_by_text("The link was copied.")).to_be_visible()
    assert "panel=points" in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.slow
def test_a_lost_connection_is_named_and_panels_load_when_it_is_back(
    serve: Callable, page: Page, visit: Callable, logged: str
) -> None:
    page.allowed_errors.append("ERR_INTERNET_DISCONNECTED")  # type: ignore[attr-defined]
    visit(f"{serve('--store', logged).url}/{PLACE}?show=run0,many")
    page.context.set_offline(True)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    page.get_by_test_id("x-axis").select_option("_runtime")
    expect(chart(page, "wave").get_by_role("button", name="Try again")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Connection lost")).to_have_count(0)
    expect(chart(page, "wave")).to_have_attribute("data-axis", "_runtime")
    expect(chart(page, "wave").locator("canvas").first).to_be_visible()
