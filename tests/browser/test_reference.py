"""Tests of the page of the API reference in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import tracker
from server.app import describe


@pytest.mark.slow
def test_reference_shows_all_operations_and_sends_requests(serve: Callable, page: Page) -> None:
    with tracker.init(project="shown", id="tried", name="before") as run:
        run.log({"loss": 1.0})
    served = serve(key=True)
    assert served.link is not None
    page.goto(served.link)
    page.get_by_role("link", name="API").click()
    page.set_viewport_size({"width": 390, "height": 800})  # a phone
    operations = [each["operationId"] for path in describe()["paths"].values() for each in path.values()]
    expect(page.locator(".opblock")).to_have_count(len(operations))
    shown = page.locator(".opblock").evaluate_all("blocks => blocks.map(block => block.id)")
    assert sorted(name.rpartition("-")[2] for name in shown) == sorted(operations)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark-mode")

    block = page.locator('[id$="-edit_run"]')
    block.locator("button.opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in (("entity", "local"), ("project", "shown"), ("run_id", "tried")):
        block.locator(f'[data-param-name="{name}"] input').fill(value)
    block.locator("textarea.body-param__text").fill(json.dumps({"name": "after"}))
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert (
        tracker.Api({"base_url": served.url, "api_key": served.key}).run("local/shown/tried").name == "after"
    )
