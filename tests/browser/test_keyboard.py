"""The way from many runs to the best checkpoint, with the keyboard only."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

import tracker

from .conftest import expect_value

BEST = "local/checkpoints/model-low:best"
LOSSES = {"low": 0.25, "high": 0.75, "other": 0.9}


def log_runs() -> None:
    """Log three runs, each with two versions of a checkpoint; the first version is the best."""
    for name, loss in LOSSES.items():
        run = tracker.init(
            project="checkpoints", id=name, name=f"rate {name}", tags=["sweep"] if name != "other" else []
        )
        run.log({"val/loss": loss})
        for version in range(2):
            checkpoint = tracker.Artifact(f"model-{name}", "model", metadata={"epoch": version})
            with checkpoint.new_file("model.ckpt", "wb") as file:
                file.write(bytes([version]) * 100)
            run.log_artifact(checkpoint, aliases=["best"] if version == 0 else ["latest"])
        run.finish()
    tracker.init(project="another").finish()


def idle(page: Page) -> None:
    page.evaluate("window.trackerIdle()")


def press(page: Page, keys: str) -> None:
    """Press keys one after another."""
    for key in keys.split():
        page.keyboard.press(key)
    idle(page)


def tab_to(page: Page, wanted: Locator, most: int = 40) -> None:
    """Press the tab key until an element has the focus."""
    for _ in range(most):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{most} times the tab key does not reach the element")


@pytest.mark.slow
def test_the_alias_of_the_best_checkpoint_is_found_without_a_pointer(
    serve: Callable, page: Page, visit: Callable
) -> None:
    log_runs()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.add_init_script("addEventListener('pointerdown', () => { window.pointed = true }, true)")
    visit(serve().url)

    # From the list of projects to the runs of one of them, and to two runs by a query.
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("palette").get_by_role("combobox")).to_be_focused()
    page.keyboard.type("checkpo")
    expect(page.get_by_test_id("palette").get_by_role("option", selected=True)).to_contain_text("checkpoints")
    press(page, "Enter")
    expect(page).to_have_url(re.compile("/local/checkpoints$"))
    press(page, "g r")
    press(page, "/")
    expect(page.get_by_test_id("query")).to_be_focused()
    page.keyboard.type("tag:sweep")
    press(page, "Enter Escape")
    expect(page.get_by_test_id("run-row")).to_have_count(2)
    press(page, "j x j x")
    expect(page.get_by_test_id("bulk")).to_contain_text("2 runs selected")
    press(page, "c")
    expect(page).to_have_url(re.compile("tab=compare.*runs=high%2Clow"))

    # The comparison shows which one is better, and opens it.
    losses = page.get_by_role("region", name="Summary").or_(page.locator("[data-title=Summary]"))
    expect(losses).to_contain_text(re.compile(r"val/loss\s*0.75\s*0.25"))
    tab_to(page, page.get_by_test_id("compared-run").get_by_role("link", name="rate low"))
    press(page, "Enter")
    expect(page.get_by_role("heading", name="rate low")).to_be_visible()
    press(page, "t a")
    expect(page).to_have_url(re.compile("run=low.*tab=artifacts|tab=artifacts.*run=low"))

    # Its best version, opened and copied.
    best = page.locator('[data-testid=artifact][data-name="model-low:v0"]')
    expect(best).to_contain_text("best")
    for _ in range(page.get_by_test_id("artifact").count()):
        press(page, "j")
        if best.get_by_role("link").first.evaluate("link => link === document.activeElement"):
            break
    press(page, "c")
    expect_value(page, lambda: page.evaluate("navigator.clipboard.readText()"), BEST)
    page.evaluate("navigator.clipboard.writeText('')")
    press(page, "Enter")
    expect(page).to_have_url(re.compile("artifact=model-low%3Av0"))
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "model-low:v0")
    press(page, "c")
    expect_value(page, lambda: page.evaluate("navigator.clipboard.readText()"), BEST)
    expect(page.get_by_test_id("toast").last).to_contain_text(f"Copied {BEST}")
    assert page.evaluate("window.pointed") is None
