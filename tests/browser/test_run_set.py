"""Tests of the run set in a browser: colours, groups, edits by several people, archived and deleted runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from serving import Server, serving

import tracker

from .conftest import checked_page, expect_address, expect_value, expect_width

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server. Each test logs the runs of a project of its own."""
    with serving(tmp_path_factory.mktemp("run-set") / "tracker-store") as started:
        yield started


@pytest.fixture
def project(server: Server, request: pytest.FixtureRequest) -> str:
    """Return the name of the test's project."""
    return str(request.node.originalname).removeprefix("test_").replace("_", "-")


@pytest.fixture
def log(server: Server, project: str) -> Callable[..., None]:
    """Return a function that logs a run and waits until it is listed with its end."""

    def write(run_id: str, *rows: dict[str, Any], **options: Any) -> None:
        settings: Any = {"store": server.store, "silent": True}
        place = {"entity": "team", "project": project}
        run = tracker.init(id=run_id, settings=settings, **place, **{"name": f"run {run_id}", **options})
        for row in rows or ({"loss": 1.0},):
            run.log(row)
        run.finish()
        with server.client() as api:
            while api.get(f"/projects/team/{project}/runs/{run_id}").json().get("state") != "finished":
                since = api.get("/live", params={"timeout": 0}).json()["revision"]
                api.get("/live", params={"since": since, "timeout": 1})

    return write


@pytest.fixture
def table(server: Server, project: str, page: Page, visit: Callable) -> Callable[..., Locator]:
    """Return a function that opens the table of the test's project, with more parts of the address."""

    def go(more: str = "") -> Locator:
        visit(f"{server.url}/team/{project}?tab=runs{more}")
        return page.get_by_test_id("runs-table")

    return go


def idle(page: Page) -> None:
    page.evaluate("window.trackerIdle()")


def row(page: Page, run_id: str) -> Locator:
    return page.locator(f'[data-testid="run-row"][data-run="{run_id}"]')


def undo(page: Page) -> None:
    page.get_by_test_id("toast").get_by_role("button", name="Undo").last.click()
    expect(page.get_by_test_id("toast").filter(has_text="Undone")).to_be_visible()


def line(page: Page, run_id: str) -> Locator:
    return row(page, run_id).locator("svg line").first


@pytest.mark.slow
def test_a_media_object_is_one_column(table: Callable, log: Callable, page: Page) -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    rows = tracker.Table(columns=["a", "b"], data=[[1, 2], [3, 4], [5, 6]])
    log("a", {"sample": [tracker.Image(pixels), tracker.Image(pixels)], "answers": rows, "loss": 0.5})
    log("b", {"loss": 0.7})
    shown = table()
    columns = shown.locator('[data-column^="summary."]')
    names = "all => all.map(each => each.dataset.column)"
    expect_value(page, lambda: columns.evaluate_all(names), ["summary.loss"])
    page.get_by_role("button", name="Columns", exact=True).click()
    picker = page.get_by_role("dialog", name="Columns")
    for name in ("answers", "loss", "sample"):
        expect(picker.get_by_label(name, exact=True)).to_be_attached()
    offered = [text.strip() for text in picker.locator("label.item").all_text_contents()]
    assert not [name for name in offered if name.startswith(("answers.", "sample."))]
    for name in ("answers", "sample"):
        picker.get_by_label(name, exact=True).check()
    page.keyboard.press("Escape")
    answers = row(page, "a").locator('[data-field="summary.answers"]')
    expect(answers).to_have_text("(table, 3 \N{MULTIPLICATION SIGN} 2)")
    expect(row(page, "a").locator('[data-field="summary.sample"]')).to_have_text("(2 images)")
    box = page.get_by_test_id("query")
    box.press_sequentially("summary.sam")
    expect(page.get_by_role("option")).to_have_count(1)


def test_colour_of_a_row(table: Callable, log: Callable, page: Page) -> None:
    for run_id in "ab":
        log(run_id)
    table()
    usual = line(page, "a").get_attribute("stroke") or ""
    row(page, "a").get_by_role("button", name="Colour of run a").click()
    page.get_by_role("dialog", name="Colour of run a").get_by_role("button").nth(5).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(line(page, "a")).not_to_have_attribute("stroke", usual)
    chosen = line(page, "a").get_attribute("stroke") or ""
    page.reload()
    idle(page)
    expect(line(page, "a")).to_have_attribute("stroke", chosen)
    # With the keyboard, also for a run that is not drawn.
    page.keyboard.press("j")
    page.keyboard.press("e")
    expect(row(page, "b").get_by_role("button", name="Colour of")).to_have_count(0)
    row(page, "b").get_by_role("button", name="Actions for").press("Enter")
    page.get_by_role("menuitem", name="Colour…").press("Enter")
    color = page.get_by_role("dialog", name="Colour of run b").get_by_role("button").nth(5)
    color.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("e")
    expect(row(page, "b").get_by_role("button", name="Colour of run b")).to_be_visible()
    expect(line(page, "b")).to_have_attribute("stroke", chosen)
    page.keyboard.press("s")
    expect(page.get_by_test_id("drawn")).to_contain_text("1 of 2 drawn (chosen by hand)")


@pytest.mark.slow
def test_groups_by_tag(table: Callable, log: Callable, page: Page) -> None:
    for at, tags in enumerate((["x"], ["x", "y"], ["y"], [])):
        log(f"r{at}", {"loss": float(at)}, tags=tags, config={"seed": at})
    shown = table()
    page.locator('button[aria-haspopup=dialog][aria-label="Group"]').click()
    page.get_by_role("checkbox", name="Tag", exact=True).check()
    expect(page.get_by_role("dialog", name="Group")).to_contain_text("in the group of each of its tags")
    page.keyboard.press("Escape")
    expect_address(page, "group=tag")
    groups = page.get_by_test_id("group-row")
    expect(groups).to_have_count(3)
    expect(page.get_by_test_id("statistic")).to_contain_text(
        "A run with several tags is in the group of each"
    )
    tagged = groups.filter(has_text="tag: x")
    expect(tagged).to_contain_text("2 runs")
    # No interval with two numbers.
    expect(tagged.locator('[data-field="summary.loss"]')).to_have_text("0.5 n 2 · 0 to 1")
    expect(groups.filter(has_text="tag: none")).to_contain_text("1 run")
    groups.filter(has_text="tag: y").get_by_role("button", name="Runs of tag: y", exact=True).click()
    expect(page.get_by_test_id("run-row")).to_have_count(2)
    for run_id in ("r1", "r2"):
        expect(row(page, run_id)).to_be_visible()
    expect(shown.get_by_role("row")).to_have_count(6)


@pytest.mark.slow
def test_a_group_is_drawn_hidden_and_selected(table: Callable, log: Callable, page: Page) -> None:
    for at in range(6):
        log(f"r{at}", {"loss": float(at)}, config={"opt": "adam" if at < 4 else "sgd", "seed": at})
    table("&group=config.opt")
    drawn = page.get_by_test_id("drawn")
    expect(drawn).to_contain_text("the groups of all 6 runs that match")
    adam = page.get_by_test_id("group-row").filter(has_text="opt: adam")
    eye = adam.get_by_role("button", name="Draw the runs of")
    expect(eye).to_have_attribute("aria-pressed", "true")
    eye.click()
    expect(drawn).to_contain_text("without 4 hidden")
    expect(eye).to_have_attribute("aria-pressed", "false")
    eye.click()
    expect(drawn).not_to_contain_text("hidden")
    eye.click(modifiers=["Alt"])
    expect(drawn).to_contain_text("the groups of 4 runs chosen by hand")
    drawn.get_by_role("button", name="draw all groups").click()
    expect(drawn).to_contain_text("all 6 runs that match")
    # Numbers of the config, the duration and the last step have statistics too.
    seeds = adam.locator('[data-field="config.seed"]')
    expect(seeds).to_have_text(re.compile(r"^1\.5 ± \S+ n 4 · 0 to 3$"))
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_test_id("bulk")).to_contain_text("4 runs selected")
    expect(adam.get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("e")
    expect(drawn).to_contain_text("without 4 hidden")
    page.keyboard.press("x")
    expect(page.get_by_test_id("bulk")).to_have_count(0)


@pytest.mark.slow
def test_page_of_a_run_moves_archives_and_deletes_it(
    server: Server, project: str, log: Callable, page: Page, visit: Callable
) -> None:
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    for run_id in "ab":
        log(run_id)
    visit(f"{server.url}/team/{project}?run=a&tab=overview")
    actions = page.get_by_role("group", name="Actions for the run")
    actions.get_by_role("button", name="Archive").click()
    expect(actions.get_by_role("button", name="Take from the archive")).to_be_visible()
    expect(page.locator("header .archived")).to_be_visible()
    expect(row(page, "a")).to_have_count(0)
    actions.get_by_role("button", name="Take from the archive").click()
    expect(actions.get_by_role("button", name="Archive", exact=True)).to_be_visible()
    expect(row(page, "a")).to_be_visible()
    actions.get_by_role("button", name="Delete").click()
    expect(page.get_by_test_id("toast").filter(has_text="Deleted 1 run")).to_be_visible()
    expect(row(page, "a")).to_have_count(0)
    undo(page)
    expect(row(page, "a")).to_be_visible()
    visit(f"{server.url}/team/{project}?run=a&tab=overview")
    actions.get_by_role("button", name="Move the run").click()
    page.get_by_label("Project of team").fill(f"{project}-2")
    page.get_by_role("button", name="Move the run", exact=True).click()
    expect(page.get_by_test_id("toast").filter(has_text="Moved to")).to_be_visible()
    expect(row(page, "a")).to_have_count(0)
    undo(page)
    expect(row(page, "a")).to_be_visible()


@pytest.mark.slow
def test_changes_of_other_people_reach_an_open_page(
    server: Server, project: str, log: Callable, page: Page, table: Callable, visit: Callable
) -> None:
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    for run_id in "abc":
        log(run_id)
    table()
    expect(page.get_by_test_id("run-row")).to_have_count(3)
    runs = f"/projects/team/{project}/runs"
    with server.client() as api:
        assert api.delete(f"{runs}/c").status_code == 200
        expect(page.get_by_test_id("run-row")).to_have_count(2)
        visit(f"{server.url}/team/{project}?run=b&tab=overview")
        assert api.post(f"{runs}/b/move", json={"to_project": f"{project}-2"}).status_code == 200
        gone = page.get_by_role("alert").filter(has_text="Run “b”")
        expect(gone).to_contain_text(f"was moved to team/{project}-2")
        gone.get_by_role("link", name="Open it there").click()
        expect(page.locator("h1", has_text="run b")).to_be_visible()
        expect_address(page, f"/team/{project}-2?run=b")
        visit(f"{server.url}/team/{project}?run=a&tab=overview")
        assert api.delete(f"{runs}/a").status_code == 200
        expect(page.get_by_role("alert").filter(has_text="Run “a”")).to_contain_text("was deleted")


def test_two_people_edit_the_same_run(
    server: Server, project: str, log: Callable, page: Page, table: Callable
) -> None:
    log("a", tags=["old"], notes="first")
    table()
    runs = f"/projects/team/{project}/runs/a"
    row(page, "a").click(button="right")
    page.get_by_role("menuitem", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tags").fill("old, mine")
    dialog.get_by_label("Notes").fill("my notes")
    with server.client() as api:
        theirs = {"tags_added": ["theirs"], "notes": "their notes", "group": "g"}
        assert api.patch(runs, json=theirs).status_code == 200
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("alert")).to_contain_text("“their notes”")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_have_count(0)
        found = api.get(runs).json()
        assert (sorted(found["tags"]), found["notes"], found["group"]) == (
            ["mine", "old", "theirs"], "my notes", "g",
        )  # fmt: skip
        undo(page)
        found = api.get(runs).json()
        assert (sorted(found["tags"]), found["notes"]) == (["old", "theirs"], "their notes")


def test_notes_on_the_page_of_a_run_are_not_replaced_silently(
    server: Server, project: str, log: Callable, page: Page, visit: Callable
) -> None:
    log("a", notes="first", tags=["old"])
    visit(f"{server.url}/team/{project}?run=a&tab=overview")
    page.get_by_role("button", name="Edit the tags").click()
    page.get_by_role("button", name="Edit the notes").click()
    page.get_by_label("notes", exact=True).fill("mine")
    with server.client() as api:
        run = f"/projects/team/{project}/runs/a"
        assert api.patch(run, json={"notes": "theirs", "tags_added": ["new"]}).status_code == 200
        expect(page.locator("header .chip", has_text="new")).to_be_visible()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("“theirs”")
        page.get_by_role("button", name="Remove the tag old").click()
        expect(page.locator("header .chip", has_text="old")).to_have_count(0)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("header .notes", has_text="mine")).to_be_visible()

        def saved() -> tuple[str, list[str]]:
            found = api.get(run).json()
            return found["notes"], found["tags"]

        expect_value(page, saved, ("mine", ["new"]))


def test_text_of_a_cell_stays_while_the_server_is_away(table: Callable, log: Callable, page: Page) -> None:
    page.allowed_errors.append("ERR_FAILED")  # type: ignore[attr-defined]
    log("a")
    table()
    page.keyboard.press("j")
    page.keyboard.press("r")
    field = page.get_by_label("Name of run a")
    field.fill("renamed")
    page.route("**/api/v1/projects/**", lambda route: route.abort())
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_test_id("toast").filter(has_text="cannot be reached").first).to_be_visible()
    expect(field).to_have_value("renamed")
    page.unroute("**/api/v1/projects/**")
    field.press("Enter")
    expect(row(page, "a").get_by_role("link")).to_have_text("renamed")


@pytest.mark.slow
def test_archived_and_deleted_runs_are_found_again(
    server: Server, project: str, table: Callable, log: Callable, page: Page
) -> None:
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    for run_id in "ab":
        log(run_id)
    table()

    def more(item: str) -> None:
        page.get_by_role("button", name="More", exact=True).click()
        page.get_by_role("menuitem", name=item).click()

    def act(run_id: str, item: str) -> None:
        row(page, run_id).click(button="right")
        page.get_by_role("menuitem", name=item, exact=True).click()
        expect(row(page, run_id)).to_have_count(0)

    act("a", "Archive")
    more("Only archived runs")
    expect(row(page, "a")).to_be_visible()
    expect_address(page, "q=archived%3Atrue")
    act("a", "Take from the archive")
    more("Only archived runs")
    expect(page.get_by_test_id("run-row")).to_have_count(2)
    act("b", "Delete")
    more("Deleted runs")
    page.get_by_role("button", name="Restore run b").click()
    expect(page.get_by_text("No deleted run can be restored.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("run-row")).to_have_count(2)
    # A project whose runs are all away still leads to them.
    act("b", "Archive")
    row(page, "a").click(button="right")
    page.get_by_role("menuitem", name="Delete").click()
    hidden = page.get_by_test_id("hidden-runs")
    expect(hidden).to_contain_text("1 archived run")
    expect(hidden).to_contain_text("1 deleted run")
    hidden.get_by_role("button", name="Show deleted runs").click()
    page.get_by_role("button", name="Restore run a").click()
    page.keyboard.press("Escape")
    expect(row(page, "a")).to_be_visible()


@pytest.mark.slow
def test_long_names_on_a_phone(server: Server, project: str, log: Callable, chromium: Browser) -> None:
    name = "a-very-long-name-without-spaces-" * 7
    log("a", name=name[:200], tags=["tag-" * 15])
    with checked_page(chromium, viewport=PHONE) as page:
        for path in ("?tab=runs", "?run=a&tab=overview", "?tab=runs&group=tag"):
            page.goto(f"{server.url}/team/{project}{path}")
            idle(page)
            expect_width(page, PHONE["width"])
            if "run=a" in path:
                title = page.locator("h1", has_text="a-very-long")
                expect_value(page, lambda title=title: title.bounding_box()["width"] > 100, True)
        page.goto(f"{server.url}/team/{project}?tab=runs")
        idle(page)
        page.get_by_role("checkbox", name=re.compile("^Select a-very")).check()
        expect(
            page.get_by_test_id("bulk").get_by_role("button", name="Clear the selection")
        ).to_be_in_viewport()
        expect_width(page, PHONE["width"])


def test_compared_runs_have_a_limit(
    server: Server, project: str, log: Callable, page: Page, table: Callable
) -> None:
    """A selection of thousands does not become an address that no server accepts."""
    log("a")
    runs = [{"id": f"r{at}", "name": f"run {at}", "state": "finished"} for at in range(1000)]
    many = json.dumps({"revision": 1, "total": 3000, "next": None, "runs": runs})
    table()
    only_ids = re.compile(r"/runs\?.*fields=id(&|$)")
    page.route(only_ids, lambda route: route.fulfill(body=many, content_type="application/json"))
    page.get_by_role("checkbox", name="Select all matching runs").check()
    bulk = page.get_by_test_id("bulk")
    expect(bulk).to_contain_text("1,000 runs selected")
    expect(bulk.get_by_role("button", name="Compare")).to_be_disabled()
    expect(bulk.get_by_role("button", name="Draw only these")).to_be_disabled()
