"""Tests of the page of one run: writers, abandoned branches, problems, buckets, editing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from builders import HOST, START, Writer, apply_all, end_segments, problems, seal_all
from playwright.sync_api import Page, Route, expect

from tracker.ground.records import AlertRaised, RowsLost
from tracker.runstate.fold import Gone
from tracker.store.ingest.apply import finish_segment
from tracker.store.queries.runs import run_detail
from tracker.store.store import Store

from .conftest import expect_last

WENT, BACK, OTHER = "a" * 32, "b" * 32, "c" * 32


def settle(store: Store) -> None:
    """Apply and seal all journals, as a recorder does after the last writer has ended."""
    apply_all(store, final=True)
    end_segments(store)
    seal_all(store)


def expect_loss(page: Page, value: float) -> None:
    """Wait until the newest value in the chart of the loss is ``value``."""
    expect_last(page, "loss", "run1", value)


@pytest.mark.slow
def test_reason_of_the_end_is_shown(serve: Callable, page: Page, visit: Callable, store: Store) -> None:
    Writer(store.layout, WENT).log({"loss": 1.0})
    apply_all(store)
    finish_segment(store, WENT, "crashed", gone=Gone("process gone", START))
    visit(f"{serve().url}/team/demo?run=run1")
    expect(page.get_by_test_id("reason")).to_contain_text(
        re.compile(f"^process gone.on {HOST}, last seen .* ago")
    )
    expect(page.get_by_test_id("reason").locator("span")).to_have_attribute("title", re.compile("^2023-11-1"))


@pytest.fixture
def resumed(store: Store) -> Store:
    """Return a store with a run that logged 30 steps and resumed at step 20. Its rank 1 logged one row."""
    first = Writer(store.layout, WENT)
    for step in range(30):
        first.log({"loss": 100 + step})
    first.finish("preempted")
    other = Writer(store.layout, OTHER, rank=1)
    other.log({"loss": 7.0})
    other.finish()
    second = Writer(store.layout, BACK, start=START + 100, attempt=1, start_step=20)
    for step in range(20, 40):
        second.log({"loss": 200 + step}, step=step)
    second.finish()
    settle(store)
    return store


@pytest.mark.slow
def test_abandoned_branch_is_named_and_can_be_drawn(
    serve: Callable, page: Page, visit: Callable, resumed: Store
) -> None:
    url = serve().url
    visit(f"{url}/team/demo?run=run1")
    note = page.get_by_test_id("branch-note")
    expect(note).to_contain_text("Panels with several ranks leave them out.")
    picker = page.get_by_test_id("writer")
    picker.select_option("first")
    expect_loss(page, 239)
    expect(note).to_contain_text(
        "Steps 20 to 29 of attempt 0 are drawn pale, because attempt 1 resumed at step 20."
    )
    note.get_by_role("button", name="Show attempt 0").click()
    page.wait_for_url(f"**writer={WENT}*")
    expect_loss(page, 129)

    expect(picker.locator("option")).to_have_text(
        [
            *["Mean and spread of ranks", "One line for each rank", "First rank only"],
            f"attempt 0 · rank 0 · {HOST} · steps 0\u201329 · hidden from 20 · preempted",
            f"attempt 1 · rank 0 · {HOST} · steps 20\u201339",
            f"attempt 0 · rank 1 · {HOST} · step 0",
        ]
    )
    picker.select_option(OTHER)
    expect_loss(page, 7)
    page.reload()
    expect_loss(page, 7)
    expect(picker).to_have_value(OTHER)
    note.get_by_role("button", name="Show the newest branch").click()
    expect(page).not_to_have_url(re.compile("writer="))
    expect(page.locator('[data-testid=group-chart][data-key="loss"]')).to_contain_text("2 ranks")


def test_overview_shows_states_config_and_notes(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    config = {"model": {"depth": 3, "width": 64}, "lr": 0.1}
    gone = Writer(store.layout, WENT, config=config, notes="# Plan\n\nTry **more** `layers`.")
    gone.log({"loss": 1.0})
    apply_all(store)
    finish_segment(store, WENT, "crashed", gone=Gone("host restarted", START + 60))
    again = Writer(store.layout, BACK, start=START + 100, attempt=1, start_step=1)
    again.log({"loss": 0.5}, step=1)
    again.finish()
    settle(store)
    visit(f"{serve().url}/team/demo?run=run1&tab=overview")
    attempts = page.get_by_test_id("attempt")
    expect(attempts).to_have_count(2)
    expect(attempts.nth(0)).to_contain_text("finished")
    expect(attempts.nth(1)).to_contain_text("host restarted")
    expect(attempts.nth(1)).to_contain_text("1m 00s")
    expect(page.get_by_test_id("timeline").locator(".span")).to_have_count(2)
    expect(page.get_by_test_id("markdown").locator("strong")).to_have_text("more")
    tree = page.get_by_role("region", name="Config")
    expect(tree.get_by_text("depth")).to_be_visible()
    tree.get_by_role("button", name="model", exact=True).click()
    expect(tree.get_by_text("depth")).to_have_count(0)
    page.get_by_label("Find a key").fill("width")
    expect(tree.get_by_role("heading")).to_contain_text("1 of 3")
    expect(tree.get_by_text("width")).to_be_visible()
    expect(tree.get_by_role("button", name="Copy the path: model.width")).to_have_count(1)
    expect(tree.get_by_role("button", name="Copy the value: 64")).to_have_count(1)


def test_run_of_one_writer_has_no_writer_picker(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    writer = Writer(store.layout, WENT)
    writer.log({"loss": 1.0})
    writer.finish()
    settle(store)
    visit(f"{serve().url}/team/demo?run=run1&writer={OTHER}")
    expect_loss(page, 1)
    expect(page.get_by_test_id("writer")).to_have_count(0)
    expect(page.get_by_test_id("branch-note")).to_have_count(0)


def test_problems_are_listed_and_many_are_collapsed(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    few = Writer(store.layout, WENT)
    few.log({"loss": 1.0})
    few.put(RowsLost(12, "No space left on device", START))
    few.log({"loss": 2.0})
    end = few.path.stat().st_size
    with few.path.open("r+b") as file:
        file.truncate(end - 3)
    many = Writer(store.layout, OTHER, "run2")
    for _ in range(9):
        many.put(RowsLost(1, "Disk quota exceeded", many.tick()))
    many.finish()
    settle(store)
    assert len(problems(store, WENT)) == 2
    url = serve().url
    visit(f"{url}/team/demo?run=run1")
    expect(page.get_by_test_id("problems")).to_contain_text("2 problems in the records of this run")
    expect(page.get_by_text("12 records were lost at 2023-11-1")).to_be_visible()
    expect(page.get_by_text("ends in an unfinished record")).to_be_visible()

    visit(f"{url}/team/demo?run=run2")
    expect(page.get_by_test_id("problems")).to_contain_text("9 problems")
    lost = page.get_by_text("Disk quota exceeded").first
    expect(lost).to_be_hidden()
    page.get_by_test_id("problems").click()
    expect(lost).to_be_visible()


def test_alerts_are_shown_newest_first(serve: Callable, page: Page, visit: Callable, store: Store) -> None:
    writer = Writer(store.layout, WENT)
    writer.log({"loss": 1.0})
    writer.put(AlertRaised(START + 1, "Loss is rising", "0.5 above the best", "WARN"))
    writer.put(AlertRaised(START + 2, "Diverged", "loss is nan\nat step 7", "ERROR"))
    writer.finish()
    settle(store)
    visit(f"{serve().url}/team/demo?run=run1")
    alerts = page.get_by_test_id("alerts")
    expect(alerts.locator("summary")).to_contain_text("2 alerts")
    expect(alerts.locator("summary")).to_contain_text("Diverged")
    expect(alerts.locator("ol")).not_to_be_visible()
    alerts.locator("summary").click()
    expect(alerts.locator("li > b")).to_have_text(["ERROR", "Diverged", "WARN", "Loss is rising"])
    expect(alerts.locator("li").first).to_contain_text("loss is nan\nat step 7")
    expect(alerts.locator("li").first.locator("time")).to_contain_text("2023-11-1")


def test_bucket_shows_its_extremes_and_zoom_shows_the_points(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    writer = Writer(store.layout, WENT)
    for step in range(5000):
        writer.log({"loss": 50.0 if step == 2503 else math.nan if step == 2504 else 1.0})
    writer.finish()
    settle(store)
    url = serve().url
    visit(f"{url}/team/demo?run=run1")
    over = page.locator('[data-key="loss"] .u-over')
    box = over.bounding_box()
    assert box is not None
    bucket = page.get_by_test_id("bucket")
    over.hover(position={"x": box["width"] * 2503 / 4999, "y": 20})
    expect(bucket).to_contain_text("at step")
    with page.expect_request(lambda request: '"min":' in (request.post_data or "")) as asked:
        page.mouse.move(box["x"] + box["width"] * 0.49, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.52, box["y"] + 20, steps=4)
        page.mouse.up()
    assert '"max":' in (asked.value.post_data or "")
    page.evaluate("window.trackerIdle()")
    page.wait_for_url("**zoom=*")

    visit(f"{url}/team/demo?run=run1&zoom=2500~2507")  # eight points need no buckets
    at = page.locator('[data-key="loss"] figcaption')
    for step, shown in ((2503, "50"), (2504, "NaN"), (2505, "1")):
        over.hover(position={"x": box["width"] * (step - 2500) / 7, "y": 20})
        expect(at).to_contain_text(f"{step:,}")
        expect(at.locator("b")).to_have_text(shown)
    expect(bucket).to_have_count(0)


def test_name_tags_and_notes_can_be_edited(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    writer = Writer(store.layout, WENT, name="first name", tags=["old"])
    writer.log({"loss": 1.0})
    writer.finish()
    settle(store)
    visit(f"{serve().url}/team/demo?run=run1")
    page.get_by_role("button", name="Edit the name").click()
    field = page.get_by_role("textbox", name="name", exact=True)
    expect(field).to_be_focused()
    page.allowed_errors.append("status of 400")  # type: ignore[attr-defined]
    field.fill("  ")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("a run's name is a string of 1 to 1000 characters")
    expect(field).to_have_value("  ")
    field.fill("better name")
    field.press("Enter")
    expect(page.get_by_role("heading", name="better name")).to_be_visible()
    expect(page.get_by_test_id("run-row")).to_contain_text("better name")

    page.get_by_role("button", name="Edit the tags").click()
    tag = page.get_by_role("textbox", name="New tag")
    tag.fill("baseline, of 2023")
    tag.press("Enter")
    expect(page.get_by_text("baseline, of 2023", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove the tag old").click()
    expect(page.get_by_text("old", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Done").click()

    page.get_by_role("button", name="Edit the notes").click()
    notes = page.get_by_role("textbox", name="notes")
    notes.fill("thrown away")
    notes.press("Escape")
    expect(page.get_by_text("thrown away")).to_have_count(0)
    page.get_by_role("button", name="Edit the notes").click()
    notes.fill("one line\nand another")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("and another")).to_be_visible()
    page.evaluate("window.trackerIdle()")
    with store.reading() as session:
        run = run_detail(session, "team", "demo", "run1")
    assert (run.name, run.tags, run.notes) == ("better name", ["baseline, of 2023"], "one line\nand another")


def test_refused_edit_keeps_the_typed_text(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    writer = Writer(store.layout, WENT, notes="as it was")
    writer.log({"loss": 1.0})
    writer.finish()
    settle(store)
    served = serve(key=True)
    page.allowed_errors.append("status of 401")  # type: ignore[attr-defined]
    visit(f"{served.url}/team/demo?run=run1")
    field = page.get_by_test_id("sign-in").get_by_role("textbox")
    field.fill(served.key)
    field.press("Enter")
    page.get_by_role("button", name="Edit the notes").click()
    notes = page.get_by_role("textbox", name="notes")
    notes.fill("much typing")

    def without_header(route: Route) -> None:
        kept = {name: value for name, value in route.request.headers.items() if "dashboard" not in name}
        route.continue_(headers=kept)

    page.route("**/api/**", without_header)  # the server refuses a change without the header
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("A change from a browser needs the page of this server")
    expect(notes).to_have_value("much typing")
    expect(page.get_by_test_id("sign-in")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("as it was")).to_be_visible()
    for what in ("name", "tags", "notes"):
        expect(page.get_by_role("button", name=f"Edit the {what}")).to_have_count(0)
