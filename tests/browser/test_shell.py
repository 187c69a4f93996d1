"""The frame of the dashboard: command palette, shortcuts, list of projects, and the layout on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from serving import Server

import tracker

from .conftest import Served, checked_page, expect_address, expect_value, expect_width, requests, servers
from .filled_store import PLACE

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page(chromium: Browser, signed_in: dict) -> Iterator[Page]:
    with checked_page(chromium, storage_state=signed_in) as opened:
        yield opened


@pytest.fixture
def at(filled: Server, visit: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that opens a path of the dashboard."""
    return lambda path: visit(f"{filled.url}/{path}")


def idle(page: Page) -> None:
    page.evaluate("window.trackerIdle()")


def expect_inside(found: Locator, width: int) -> None:
    """Wait until some elements, read at one moment, are inside a window with this width."""
    outside = """(all, width) => all.map(each => [each.outerHTML.slice(0, 100), each.getBoundingClientRect()])
        .filter(([_, {left, right}]) => left < 0 || right > width).map(([html]) => html)"""
    expect(found.first).to_be_visible()
    expect_value(found.page, lambda: found.evaluate_all(outside, width), [])


def choose(page: Page, text: str, option: str) -> None:
    """Open the palette with the keyboard, type a text, and press Enter when the option is the current one."""
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("palette").get_by_role("combobox")).to_be_focused()
    page.keyboard.type(text)
    expect(page.get_by_test_id("palette").get_by_role("option", selected=True)).to_contain_text(option)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("palette")).to_have_count(0)
    idle(page)


@pytest.mark.slow
def test_palette_finds_runs_metrics_artifacts_projects_and_pages(
    page: Page, at: Callable[[str], None]
) -> None:
    at(PLACE)
    choose(page, "all data types", "all data types")
    expect(page).to_have_url(re.compile(r"run=media\b"))
    choose(page, "val/acc", "val/accuracy")
    expect_address(page, "metric=")
    choose(page, "digits", "digits")
    expect(page).to_have_url(re.compile(r"tab=artifacts&artifact=digits%3Av0"))
    choose(page, "account", "Account")
    expect(page).to_have_url(re.compile(":account$"))
    choose(page, "a-project with", "team/a-project-with-a-long-name")
    expect(page).to_have_url(re.compile("/team/a-project-with"))
    before = page.evaluate("document.documentElement.dataset.theme")
    choose(page, "light and dark", "Switch between light and dark")
    expect(page.locator("html")).not_to_have_attribute("data-theme", before)


def test_palette_is_controlled_by_the_keyboard(page: Page, at: Callable[[str], None]) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    at(PLACE)
    assert not [url for url in loaded if "CommandPalette" in url]
    page.keyboard.press("Control+k")
    field = page.get_by_test_id("palette").get_by_role("combobox")
    expect(field).to_be_focused()
    selected = page.get_by_test_id("palette").get_by_role("option", selected=True)
    idle(page)
    first = selected.inner_text()
    page.keyboard.press("ArrowDown")
    expect(selected).not_to_have_text(first, use_inner_text=True)
    page.keyboard.press("ArrowUp")
    expect(selected).to_have_text(first, use_inner_text=True)
    expect(field).to_have_attribute("aria-activedescendant", selected.get_attribute("id") or "none")
    page.keyboard.type("no such thing anywhere")
    expect(page.get_by_role("status").filter(has_text="Nothing matches.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("palette")).to_have_count(0)
    page.keyboard.press("Control+k")
    expect(field).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("palette")).to_have_count(0)


def test_shortcuts_work_outside_fields_and_dialogs(page: Page, at: Callable[[str], None]) -> None:
    at(PLACE)
    for key, tab in (("r", "runs"), ("c", "compare"), ("a", "artifacts"), ("w", "charts")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_test_id(f"tab-{tab}")).to_have_attribute("aria-current", "page")
    page.keyboard.press("?")
    shown = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(shown).to_contain_text("Go to Artifacts")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_test_id("tab-charts")).to_have_attribute("aria-current", "page")
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    field = page.get_by_role("searchbox").first
    field.focus()
    page.keyboard.type("gr?")
    expect(field).to_have_value("gr?")
    expect(shown).to_have_count(0)
    page.keyboard.press("Escape")  # empties the field
    expect(field).to_have_value("")
    page.keyboard.press("Escape")  # leaves it
    expect(field).not_to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.get_by_test_id("projects")).to_be_visible()


def test_projects_show_activity_states_and_storage(page: Page, at: Callable[[str], None]) -> None:
    at("")
    row = page.get_by_test_id("project").filter(has_text="vision")
    expect(row).to_contain_text("private")
    days = re.compile(r"15 runs on [12] of the last 30 days")
    expect(row.get_by_test_id("days")).to_have_attribute("aria-label", days)
    expect(row.locator(".state.failed")).to_contain_text("1")
    expect(row.locator(".state.crashed")).to_contain_text("1")
    expect(row.locator(".size")).to_have_text(re.compile(r"^\d.* kB"))
    other = page.get_by_test_id("project").filter(has_text="a-project")
    expect(other.get_by_text("private")).to_have_count(0)
    expect(other.locator(".size")).to_have_text("\u2013")
    page.get_by_role("searchbox").fill("visio")
    expect(page.get_by_test_id("project")).to_have_count(1)
    page.get_by_role("searchbox").fill("absent")
    expect(page.get_by_text("No project matches.")).to_be_visible()


def test_phone_has_no_sideways_scrolling(page: Page, at: Callable[[str], None]) -> None:
    page.set_viewport_size(PHONE)
    for path in (
        "",
        "team",
        PLACE,
        f"{PLACE}?tab=runs",
        f"{PLACE}?run=train0",
        f"{PLACE}/:members",
        ":account",
    ):
        at(path)
        expect_width(page, PHONE["width"])
        expect_inside(page.locator("header").first.locator("a:visible, button:visible"), PHONE["width"])
    page.get_by_role("button", name=re.compile("^Find")).click()
    expect(page.get_by_test_id("palette").get_by_role("combobox")).to_be_focused()
    expect_inside(page.get_by_test_id("palette"), PHONE["width"])


def test_the_role_is_asked_for_once_in_a_project(page: Page, at: Callable[[str], None]) -> None:
    at(PLACE)
    page.get_by_label("Log y").check()
    expect(page).to_have_url(re.compile("logy=1"))
    page.get_by_test_id("tab-runs").click()
    idle(page)
    assert len(requests(page, "/access$")) == 1


PAUSES = """
    const own = window.setTimeout;
    window.pauses = [];
    window.setTimeout = (work, ms, ...more) => {
        window.pauses.push(ms ?? 0);
        return own(work, ms, ...more);
    };
"""


@pytest.mark.slow
def test_a_lost_connection_is_shown_and_tried_again_soon(page: Page, at: Callable[[str], None]) -> None:
    page.allowed_errors.append("ERR_FAILED")  # type: ignore[attr-defined]
    page.add_init_script(PAUSES)
    page.route(re.compile("/api/v1/live"), lambda route: route.abort())
    at(PLACE)
    lost = page.get_by_text("Connection lost")
    expect(lost).to_be_visible()
    page.wait_for_function("() => pauses.filter(ms => ms >= 1000).length > 5", timeout=100_000)
    assert page.evaluate("Math.max(...pauses)") <= 2000
    page.unroute_all()
    expect(lost).to_have_count(0)


def test_the_page_of_shortcuts_lists_keys_that_need_a_run(page: Page, at: Callable[[str], None]) -> None:
    at(f"{PLACE}?tab=runs")
    page.keyboard.press("?")
    shown = page.get_by_role("dialog", name="Keyboard shortcuts")
    for title in ("Next run", "Draw the run or the group, or hide it", "Select the run or the group"):
        expect(shown).to_contain_text(title)


@pytest.mark.slow
def test_empty_views_show_lines_to_paste(page: Page, at: Callable[[str], None], filled: Server) -> None:
    lines = {
        "team/absent": 'import tracker; run = tracker.init(project="absent")\nrun.log({"loss": 0.5})',
        f"{PLACE}?run=train0&tab=images": 'run.log({"samples": image})',
        f"{PLACE}?run=train0&tab=tables": 'run.log({"predictions": table})',
        f"{PLACE}?run=train0&tab=code": 'run.log_code(".")',
        "team/a-project-with-a-long-name-a-project-with-a-long-name-": 'run.log({"loss":',
        "team/a-project-with-a-long-name-a-project-with-a-long-name-?tab=artifacts": "run.log_artifact(",
    }
    for path, text in lines.items():
        at(path)
        expect(page.get_by_test_id("empty").locator("pre")).to_contain_text(text)
        expect(page.get_by_test_id("empty").get_by_role("button", name="Copy the example")).to_be_visible()
    at("team/absent")
    expect(page.get_by_test_id("empty")).to_contain_text(f"tracker login --host {filled.url} ")
    at(f"{PLACE}?q=name:zzz")
    expect(page.get_by_text("No run matches the query.")).to_be_visible()


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve runs whose names, groups, keys and artifacts have no space to break at. No test changes them."""
    folder = tmp_path_factory.mktemp("long")
    name = "x" * 200
    for at in range(2):
        run = tracker.init(
            project="long",
            id=f"long{at}",
            name=f"{name}{at}",
            group=f"{name}{at}",
            tags=["t" * 64],
            notes=name,
            config={"k" * 120: name, "lr": at},
            settings={"store": folder / "tracker-store", "x_disable_meta": True, "silent": True},
        )
        run.log({"m" * 60 + "/" + "n" * 100: 1.0 + at})
        run.alert("A" * 150, name)
        artifact = tracker.Artifact("a" * 120, "dataset" * 8, description=name)
        with artifact.new_file("p" * 100 + ".txt") as file:
            file.write("text")
        run.log_artifact(artifact, aliases=["alias" * 10])
        run.finish()
    with servers(folder) as start:
        yield start()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_long_names_do_not_widen_a_page(chromium: Browser, long_names: Served, width: int) -> None:
    artifact = "a" * 120
    with checked_page(chromium, viewport={"width": width, "height": 844}) as page:

        def go(path: str) -> None:
            page.goto(f"{long_names.url}/local/long{path}")
            idle(page)
            expect_width(page, width)

        for tab in ("charts", "overview", "artifacts", "files"):
            go(f"?run=long0&tab={tab}")
        summary = page.get_by_test_id("alerts").locator("summary")
        expect_value(page, lambda: summary.evaluate("element => element.clientHeight") < 30, True)  # one line
        for part in ("", f"&artifact={artifact}", f"&artifact={artifact}:v0"):
            go(f"?tab=artifacts{part}")
            expect_inside(page.locator("h1:visible, h2:visible, .crumbs:visible"), width)
        expect(page.get_by_role("navigation", name="Path")).not_to_have_text(re.compile("/\\s*$"))
        go("?tab=compare&runs=long0,long1")
        if width > 390:  # on a phone, the columns of runs scroll
            expect_inside(page.get_by_test_id("compared-run"), width)
