"""Tests of media, histograms and charts on the page of a run; logged pages stay in their sandbox."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import tracker
from tracker import plot

SPY = """<p id="result">nothing</p><script>
let found = "closed";
try { found = parent.document.title } catch (error) {}
document.getElementById("result").textContent = "ran, parent is " + found;
</script>"""


@pytest.fixture
def run() -> tracker.Run:
    classes = {0: "nothing", 1: "car"}
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[10:20] = 1
    box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.1, "maxY": 0.5}, "class_id": 1}
    run = tracker.init(project="shown", name="media")
    for step in range(3):
        image = tracker.Image(
            np.full((40, 40), step * 50, dtype=np.uint8),
            masks={"prediction": {"mask_data": mask, "class_labels": classes}},
            boxes={"truth": {"box_data": [box], "class_labels": classes}},
        )
        run.log({"seen": image, "weights": tracker.Histogram(np.arange(10) + step)})
    run.log(
        {
            "sound": tracker.Audio(np.zeros(8000), sample_rate=8000, caption="silence"),
            "page": tracker.Html(SPY, inject=False),
            "cloud": tracker.Object3D(np.random.default_rng(0).normal(size=(50, 3))),
            "bars": plot.bar(
                tracker.Table(columns=["l", "v"], data=[["a", 1], ["b", 2]]), "l", "v", "The bars"
            ),
            "matrix": plot.confusion_matrix(y_true=[0, 1, 1], preds=[0, 1, 0], class_names=["cat", "dog"]),
        }
    )
    run.finish()
    return run


def test_media_and_charts_are_shown(serve: Callable, page: Page, visit: Callable, run: tracker.Run) -> None:
    visit(f"{serve().url}/local/shown?run={run.id}&tab=images")
    expect(page.get_by_test_id("plot")).to_have_count(2)
    matrix = page.locator('[data-testid="plot"][data-key="matrix"]')
    expect(matrix.get_by_role("cell").nth(2)).to_have_text("1")
    expect(page.locator('[data-testid="plot"][data-key="bars"] rect')).to_have_count(2)
    for key in ("cloud", "page", "seen", "sound"):
        page.get_by_role("heading", name=key, exact=True).scroll_into_view_if_needed()
        page.evaluate("window.trackerIdle()")
    expect(page.get_by_test_id("cloud")).to_have_attribute("data-points", "50")
    expect(page.frame_locator('[data-testid="html"]').locator("#result")).to_have_text(
        "ran, parent is closed"
    )
    page.wait_for_function("document.querySelector('[data-testid=audio]').duration === 1")
    expect(page.get_by_test_id("box")).to_have_count(1)
    expect(page.get_by_test_id("mask")).to_have_count(1)
    page.get_by_label("mask prediction").uncheck()
    expect(page.get_by_test_id("mask")).to_have_count(0)
    page.get_by_label("boxes truth").uncheck()
    expect(page.get_by_test_id("box")).to_have_count(0)
    page.get_by_role("heading", name="weights").scroll_into_view_if_needed()
    expect(page.get_by_test_id("histogram")).to_have_attribute("data-steps", "3")
    page.get_by_test_id("tab-config").click()
    expect(page.get_by_text("panelDefId")).to_have_count(0)


def test_run_without_media_shows_a_note(serve: Callable, page: Page, visit: Callable) -> None:
    empty = tracker.init(project="shown")
    empty.log({"loss": 1.0})
    empty.finish()
    visit(f"{serve().url}/local/shown?run={empty.id}&tab=images")
    expect(page.get_by_text("No media logged.")).to_be_visible()
