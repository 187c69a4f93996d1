"""The charts of a run of three ranks: the mean with its band, a line for each rank, or the first rank."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import log_ranks
from playwright.sync_api import Page, expect

from .conftest import expect_address, expect_last
from .test_panels import rows_of, save


@pytest.fixture
def job(tmp_path: Path, serve: Callable) -> str:
    """Return the address of the project with the run of three ranks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda *_: False)
        log_ranks(tmp_path / "tracker-store")
    return f"{serve().url}/local/ddp"


def drawn(page: Page) -> list[str]:
    """Return the bands of the chart of the loss, and then its lines, as they are drawn: paths of SVG."""
    picture = save(page, "loss", "SVG")
    bands = re.findall(r'd="([^"]*L[^"]*L[^"]*Z)" fill=', picture)
    return bands + re.findall(r'd="(M[^"Z]*L[^"Z]*L[^"Z]*)" fill="none"', picture)


@pytest.mark.slow
def test_ranks_are_drawn_as_mean_and_band_or_as_lines(job: str, page: Page, visit: Callable) -> None:
    visit(f"{job}?run=job")
    panel = page.locator('[data-testid=group-chart][data-key="loss"]')
    name = page.get_by_role("heading", level=1).inner_text()

    def groups() -> list[object]:
        page.evaluate("window.trackerIdle()")
        return json.loads(panel.get_attribute("data-groups") or "")

    expect(panel).to_contain_text("3 ranks: mean, minimum to maximum")
    assert groups() == [[name, 3, pytest.approx((3 + 14 + 23) / 3)]]
    assert len(drawn(page)) == 2, "a band, and the line of the mean"
    last = rows_of(save(page, "loss", "CSV"))[-1]
    assert (last["n"], last["min"], last["max"]) == ("3", "3", "23")
    expect_last(page, "lr", "job", 0.1)  # one rank logged it: nothing changes
    alone = page.locator('[data-key="last stage"]')
    expect(alone).to_contain_text("1 rank")

    panel.hover()
    page.get_by_role("button", name="Actions of loss", exact=True).click()
    page.get_by_role("menuitem", name="One line for each rank").click()
    expect_address(page, "writer=each")
    expect(panel.locator("li")).to_have_text(["rank 0", "rank 1", "rank 2"])
    assert groups() == [["rank 0", 1, 3], ["rank 1", 1, 14], ["rank 2", 1, 23]]
    assert len({path for path in drawn(page) if "Z" not in path}) == 3, "three lines"
    page.reload()
    expect(panel.locator("li")).to_have_count(3)
    expect(page.get_by_test_id("writer")).to_have_value("each")

    page.get_by_test_id("writer").select_option("first")
    expect_last(page, "loss", "job", 3)
    expect(panel).to_have_count(0)
    chart = page.locator('[data-testid=chart][data-key="loss"]')
    chart.hover()
    chart.get_by_role("button", name="Actions of loss").click()
    page.get_by_role("menuitem", name="Mean and spread of ranks").click()
    expect(panel).to_contain_text("3 ranks")
    expect(page).not_to_have_url(re.compile("writer="))


@pytest.mark.slow
def test_a_workspace_with_one_run_draws_its_ranks(job: str, page: Page, visit: Callable) -> None:
    visit(f"{job}?show=job")
    panel = page.locator('[data-testid=group-chart][data-key="loss"]')
    expect(panel).to_contain_text("3 ranks: mean, minimum to maximum")
    visit(f"{job}?show=*")
    expect_last(page, "loss", "job", 3)
    expect(panel).to_have_count(0)
