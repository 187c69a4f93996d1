"""Tests of the runs table in a real browser: columns, search, groups, selection, edits and scrolling."""

from __future__ import annotations

import csv
import random
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

import tracker
from tracker.ground import launch
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run
from tracker.store.catalog.run_index import refresh_all_fields

from .conftest import expect_address, expect_value, servers

SEEDS = 5
STATES = ("running", "preempting", "finished", "failed", "crashed", "preempted")
MINUS = "\N{MINUS SIGN}"
NOISE = random.Random(1)
LOSSES = [NOISE.gauss(1, 0.2) for _ in range(32)]


def add_runs(session: Any, project: str, runs: list[dict[str, Any]]) -> None:
    """Put runs into the catalog of a store; the last one is the newest."""
    row = Project(entity="local", name=project, created_at=0.0)
    session.add(row)
    session.flush()
    for at, values in enumerate(runs):
        usual = {"state": "finished", "tags": [], "config": {}, "summary": {}, "revision": 0}
        times = {name: float(at) for name in ("created_at", "updated_at", "finished_at")}
        session.add(
            Run(
                project_id=row.id, **{"run_id": f"r{at:05d}", "name": f"run {at}", **usual, **times, **values}
            )
        )


def sweep() -> list[dict[str, Any]]:
    """Return 30 runs (3 learning rates x 2 optimizers x 5 seeds), and two runs of a group of their own."""
    runs: list[dict[str, Any]] = []
    for lr in (0.1, 0.01, 0.001):
        for opt in ("adam", "sgd"):
            for seed in range(SEEDS):
                at = len(runs)
                config = {"lr": lr, "opt": opt, "seed": seed, "net": {"depth": 3}, "_wandb": {"x": 1}}
                runs.append(
                    {
                        "name": f"{opt} {lr} {seed}",
                        "config": config,
                        "summary": {"loss": LOSSES[at], "_step": 1, "_runtime": 1.0},
                        "state": "crashed" if at % 10 == 9 else "finished",
                        "tags": ["best"] if at == 3 else [],
                        "group": opt,
                        "host": "node-1",
                        "job_type": "train",
                        "notes": "a note" if at == 3 else None,
                    }
                )
    odd = {"lr": 7.0, "opt": "other", "my key": "a b"}
    for seed in (0, 1):
        runs.append(
            {"name": f"odd {seed}", "config": {**odd, "seed": seed}, "summary": {"loss": LOSSES[30 + seed]}}
        )
    return runs


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server with the projects `sweep`, `wide`, `states`, `many` and `edits`."""
    folder = tmp_path_factory.mktemp("runs-table")
    store = open_store(folder / "tracker-store")
    keys = {f"c{key:03d}": key for key in range(300)}
    with store.writing() as session:
        add_runs(session, "sweep", sweep())
        add_runs(session, "wide", [{"config": {**keys, "own": at}} for at in range(30)])
        add_runs(session, "states", [{"state": state} for state in STATES])
        add_runs(session, "many", [{"config": {"at": at}} for at in range(3000)])
        refresh_all_fields(session)
    store.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(launch, "_launched_in", str(folder))
        for at in range(4):
            tags = ["old"] if at == 0 else []
            run = tracker.init(project="edits", id=f"e{at}", name=f"edited {at}", tags=tags)
            run.log({"loss": at})
            run.finish()
    with servers(folder) as start:
        yield start().url


@pytest.fixture
def table(address: str, page: Page, visit: Callable) -> Callable[..., Locator]:
    """Return a function that opens the table of a project, with more parts of the address."""

    def go(project: str, more: str = "") -> Locator:
        visit(f"{address}/local/{project}?tab=runs{more}")
        return page.get_by_test_id("runs-table")

    return go


def idle(page: Page) -> None:
    page.evaluate("window.trackerIdle()")


def names(page: Page) -> list[str]:
    """Return the names of the shown runs, from top to bottom."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=run-row]')]
            .map(row => [Number(row.dataset.index), row.querySelector('a')?.textContent ?? ''])"""
    )
    return [name for _, name in sorted(found)]


def headers(table: Locator) -> list[str]:
    return [text.strip() for text in table.locator("[data-column] .label span").all_text_contents()]


def cell(row: Locator, field: str) -> Locator:
    return row.locator(f'[data-field="{field}"]')


def test_columns_come_from_all_runs_without_internals(table: Callable, page: Page) -> None:
    shown = table("sweep")
    expect_value(page, lambda: headers(shown)[:3], ["Name", "State", "Created"])
    expect_value(page, lambda: {"loss", "lr", "opt", "Group", "Tags"} <= set(headers(shown)), True)
    page.get_by_role("button", name="Columns", exact=True).click()
    picker = page.get_by_role("dialog", name="Columns")
    expect(picker.get_by_label("Find a column")).to_be_visible()
    for name in ("Tags", "Group", "Job type", "Notes", "Id", "Host", "net.depth", "my key"):
        expect(picker.get_by_label(name, exact=True)).to_be_attached()
    offered = picker.locator("label.item").all_text_contents()
    assert not [text for text in offered if text.strip().startswith("_")]
    picker.get_by_label("Find a column").fill("notes")
    picker.get_by_label("Notes").check()
    page.keyboard.press("Escape")
    expect(cell(shown.locator('[data-run="r00003"]'), "notes")).to_have_text("a note")


@pytest.mark.slow
def test_columns_are_moved_resized_pinned_formatted_and_kept(table: Callable, page: Page) -> None:
    shown = table("sweep")
    expect_value(page, lambda: headers(shown)[:3], ["Name", "State", "Created"])
    before = headers(shown)
    head = page.locator('[data-column="summary.loss"]')
    head.drag_to(page.locator('[data-column="state"]'))
    expect_value(page, lambda: headers(shown).index("loss"), 1)
    idle(page)
    border = head.get_by_test_id("resize").bounding_box()
    width = head.bounding_box()["width"]
    page.mouse.move(border["x"] + 3, border["y"] + 9)
    page.mouse.down()
    page.mouse.move(border["x"] + 63, border["y"] + 9, steps=3)
    page.mouse.up()
    expect_value(page, lambda: head.bounding_box()["width"], width + 60)

    def choose(column: str, item: str) -> None:
        page.get_by_role("button", name=f"Column {column}").click()
        page.get_by_role("menuitem", name=item).click()

    choose("loss", "Exponent")
    expect(cell(shown.locator('[data-run="r00031"]'), "summary.loss")).to_have_text(
        re.compile(r"^\s*\d\.\d{3}e[+-]\d+\s*$")
    )
    choose("lr", "Pin to the left")
    choose("Created", "Hide")
    after = [
        "Name",
        "lr",
        "loss",
        *(name for name in before if name not in ("Name", "lr", "loss", "Created")),
    ]
    expect_value(page, lambda: headers(shown), after)
    page.reload()
    expect_value(page, lambda: headers(shown), after)
    expect_value(page, lambda: head.bounding_box()["width"], width + 60)
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("button", name="Default columns").click()
    expect_value(page, lambda: headers(shown), before)


def test_only_visible_rows_and_columns_are_rendered(table: Callable, page: Page) -> None:
    page.add_init_script(
        "localStorage.setItem('tracker:columns:local/wide', "
        "JSON.stringify(Array.from({length: 300}, (_, i) => `config.c${String(i).padStart(3, '0')}`)))"
    )
    shown = table("wide")
    row = shown.locator('[data-run="r00029"]')
    expect_value(page, lambda: 3 < row.locator('[role="cell"]').count() < 40, True)
    scroller = page.locator(".scroller")
    scroller.evaluate("each => { each.scrollLeft = each.scrollWidth }")
    expect(cell(row, "config.c299")).to_have_text("299")
    expect(cell(row, "config.c299")).to_be_in_viewport()
    expect(row.get_by_role("link")).to_be_in_viewport()
    expect_value(page, lambda: row.locator('[role="cell"]').count() < 40, True)
    scroller.evaluate("each => { each.scrollTop = each.scrollHeight }")
    expect(shown.get_by_text("run 0", exact=True)).to_be_in_viewport()


def test_query_finds_by_state_tag_group_key_and_pattern(table: Callable, page: Page) -> None:
    table("sweep")
    box = page.get_by_test_id("query")
    total = page.get_by_role("status").filter(has_text=re.compile(r"runs?$"))
    for text, count in [
        ("state:crashed", 3),
        ("tag:best", 1),
        ("group:adam config.lr>0.05", 5),
        ('"^sgd.*4$"', 3),
        ('config."my key":"a b"', 2),
    ]:
        box.fill(text)
        expect(total).to_have_text(f"{count} run{'' if count == 1 else 's'}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Hide crashed runs").click()
    idle(page)
    expect(box).to_have_value('config."my key":"a b" state!=crashed')
    box.fill("")
    page.get_by_role("button", name="Hide crashed runs").click()
    expect(total).to_have_text("29 runs")
    expect_address(page, "q=state%21%3Dcrashed")


def test_wrong_query_is_named_below_the_box(table: Callable, page: Page) -> None:
    page.allowed_errors.append("status of 400")  # type: ignore[attr-defined]
    table("sweep")
    box = page.get_by_test_id("query")
    box.fill("tag:best stat:failed")
    box.press("Escape")
    error = page.get_by_test_id("query-error")
    expect(error).to_contain_text("character 10")
    error.get_by_role("button").click()
    expect(box).to_have_js_property("selectionStart", 9)
    expect_value(page, lambda: len(names(page)) > 10, True)
    box.fill("tag:best")
    expect(error).to_have_count(0)


def test_query_is_completed(table: Callable, page: Page) -> None:
    table("sweep")
    box = page.get_by_test_id("query")
    options = page.get_by_role("option")
    box.press_sequentially("config.o")
    expect(options.first).to_contain_text("config.opt")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("config.opt")
    expect(options.first).to_contain_text(":")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("config.opt:")
    expect(options).to_have_text(["adamvalue", "othervalue", "sgdvalue"])
    box.press("ArrowDown")
    active = "each => document.getElementById(each.getAttribute('aria-activedescendant'))?.innerText ?? ''"
    expect_value(page, lambda: box.evaluate(active).strip().startswith("adam"), True)
    box.press("Enter")
    expect(box).to_have_value("config.opt:adam ")
    expect_value(page, lambda: {name.partition(" ")[0] for name in names(page)}, {"adam"})


def test_filter_builder_and_text_change_each_other(table: Callable, page: Page) -> None:
    table("sweep", "&q=state:finished (tag:best OR group:sgd)")
    box = page.get_by_test_id("query")
    page.get_by_role("button", name="Filters").click()
    rows = page.get_by_test_id("filter-row")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).get_by_label("Value")).to_have_value("finished")
    expect(rows.nth(1).get_by_label("Text of the filter")).to_have_value("(tag:best OR group:sgd)")
    page.get_by_role("button", name="Add a filter").click()
    rows.nth(2).get_by_label("Field").fill("config.lr")
    rows.nth(2).get_by_label("Operator").select_option("<=")
    rows.nth(2).get_by_label("Value").fill("0.01")
    rows.nth(2).get_by_label("Value").press("Tab")
    expect(box).to_have_value("state:finished (tag:best OR group:sgd) config.lr<=0.01")
    rows.nth(0).get_by_role("button", name="Remove the filter").click()
    expect(box).to_have_value("(tag:best OR group:sgd) config.lr<=0.01")
    page.keyboard.press("Escape")
    box.fill("tag:best")
    page.get_by_role("button", name="Filters").click()
    expect(rows).to_have_count(1)
    expect(rows.nth(0).get_by_label("Field")).to_have_value("tag")


def test_several_keys_of_the_order(table: Callable, page: Page) -> None:
    shown = table("sweep")
    page.locator('[data-column="config.opt"] .label').click()
    expect(shown.locator('[data-column="config.opt"]')).to_have_attribute("aria-sort", "descending")
    page.locator('[data-column="summary.loss"] .label').click(modifiers=["Shift"])
    expect_address(page, "order=-config.opt%2C-summary.loss")
    runs = sorted(sweep(), key=lambda run: (run["config"]["opt"], run["summary"]["loss"]), reverse=True)
    expect_value(page, lambda: names(page)[:20], [run["name"] for run in runs][:20])
    expect(shown.locator('[data-column="summary.loss"]')).to_have_attribute("aria-sort", "descending")


def number(text: str) -> float:
    return float(text.strip().replace(MINUS, "-"))


@pytest.mark.parametrize("by", ["config.lr,config.opt", "-seed"])
def test_groups_show_statistics_that_equal_scipy(table: Callable, page: Page, by: str) -> None:
    from scipy import stats  # not when all workers collect the tests: it takes a second

    shown = table("sweep", f"&group={by}")
    expect(page.get_by_test_id("statistic")).to_contain_text("not corrected")
    expect(page.get_by_test_id("statistic")).to_contain_text("95% confidence interval")
    rows = page.get_by_test_id("group-row")
    expect(rows).to_have_count(7)
    groups: dict[tuple[float, str], list[float]] = {}
    for run in sweep():
        groups.setdefault((run["config"]["lr"], run["config"]["opt"]), []).append(run["summary"]["loss"])
    for (lr, opt), losses in groups.items():
        row = rows.filter(has_text=re.compile(rf"lr: {lr:g}\D.*opt: {opt}"))
        found = cell(row, "summary.loss")
        expect(found.locator("small")).to_have_text(re.compile(r"\d"))
        count, limits = found.locator("small").inner_text().split(" · ")
        mean, *half = found.inner_text().removesuffix(f"{count} · {limits}").split("±")
        assert number(mean) == pytest.approx(statistics.fmean(losses), rel=1e-3)
        assert count == f"n {len(losses)}"
        low, high = map(number, limits.split(" to "))
        assert (low, high) == pytest.approx((min(losses), max(losses)), rel=1e-3)
        if len(losses) < 3:
            assert half == []
            continue
        interval = stats.t.interval(
            0.95, len(losses) - 1, loc=statistics.fmean(losses), scale=stats.sem(losses)
        )
        assert number(half[0]) == pytest.approx((interval[1] - interval[0]) / 2, rel=5e-3)
    row = rows.filter(has_text=re.compile(r"lr: 0.01\D.*opt: sgd"))
    opener = row.get_by_role("button", name=re.compile("^Runs of"))
    opener.click()
    expect_value(page, lambda: sorted(names(page)), [f"sgd 0.01 {seed}" for seed in range(SEEDS)])
    opener.click()
    expect(page.get_by_test_id("run-row")).to_have_count(0)
    expect(shown.get_by_role("row")).to_have_count(8)


def test_groups_are_chosen_and_sorted(table: Callable, page: Page) -> None:
    table("sweep")
    page.locator('button[aria-haspopup=dialog][aria-label="Group"]').click()
    page.get_by_role("button", name="All but seed").click()
    expect_address(page, "group=-seed")
    page.get_by_role("button", name="No groups").click()
    page.get_by_label("By these keys").check()
    page.get_by_role("checkbox", name="opt").check()
    page.keyboard.press("Escape")
    expect_address(page, "group=config.opt")
    page.locator('[data-column="summary.loss"] .label').click()
    idle(page)
    means = {
        opt: statistics.fmean(run["summary"]["loss"] for run in sweep() if run["config"]["opt"] == opt)
        for opt in ("adam", "sgd", "other")
    }
    shown = page.get_by_test_id("group-row")
    expect(shown.nth(0)).to_contain_text(max(means, key=lambda opt: means[opt]))


def test_eye_solo_pin_baseline(table: Callable, page: Page) -> None:
    shown = table("sweep")
    drawn = page.get_by_test_id("drawn")
    expect(drawn).to_contain_text("10 of 32 drawn")
    row = shown.locator('[data-testid="run-row"][data-run="r00020"]')
    row.get_by_role("button", name="Draw").click(modifiers=["Alt"])
    expect(drawn).to_contain_text("1 of 32 drawn")
    row.get_by_role("button", name="Draw").click(modifiers=["Alt"])
    expect(drawn).to_contain_text("10 of 32 drawn")
    row.click(button="right")
    page.get_by_role("menuitem", name="Pin to the top").click()
    fixed = page.get_by_test_id("fixed-row")
    expect(fixed).to_have_count(1)
    expect_address(page, "pin=r00020")
    row.click(button="right")
    page.get_by_role("menuitem", name="Use as baseline").click()
    idle(page)
    other = cell(shown.locator('[data-testid="run-row"][data-run="r00021"]'), "summary.loss").locator("small")
    difference = LOSSES[21] - LOSSES[20]
    percent = 100 * difference / LOSSES[20]
    expect(other).to_contain_text("%")
    shown_difference, shown_percent = re.findall(rf"[+{MINUS}][\d.]+", other.text_content())
    assert number(shown_difference) == pytest.approx(difference, rel=1e-2)
    assert number(shown_percent) == pytest.approx(percent, rel=1e-2)
    expect(cell(fixed, "summary.loss").locator("small")).to_have_count(0)


def test_values_of_the_baseline_are_those_of_the_newest_answer(address: str, page: Page) -> None:
    """Hold the first request for the baseline, which has fewer columns, until a later one was answered."""
    held: list[Route] = []
    page.route(
        re.compile("filters=.*r00020"), lambda route: route.continue_() if held else held.append(route)
    )
    page.goto(f"{address}/local/sweep?tab=runs&baseline=r00020")
    expect_value(page, lambda: len(held), 1)
    value = cell(page.get_by_test_id("fixed-row"), "summary.loss")
    expect(value).to_contain_text(f"{LOSSES[20]:.4f}")
    with page.expect_response(held[0].request.url):
        held[0].continue_()
    idle(page)
    expect(value).to_contain_text(f"{LOSSES[20]:.4f}")


def test_keyboard_selects_draws_searches_and_compares(table: Callable, page: Page) -> None:
    table("sweep")
    for key in ("j", "x", "j", "j", "x", "e"):
        page.keyboard.press(key)
    expect(page.get_by_test_id("bulk")).to_contain_text("2 runs selected")
    expect_address(page, "hide=r00029")
    # Other changes of the address keep the place in the table.
    expect(page.locator(".row.cursor")).to_have_attribute("data-run", "r00029")
    page.keyboard.press("k")
    expect(page.locator(".row.cursor")).to_have_attribute("data-run", "r00030")
    page.keyboard.press("/")
    expect(page.get_by_test_id("query")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect_address(page, "tab=compare")
    expect_address(page, "runs=r00031%2Cr00029")


@pytest.mark.slow
def test_bulk_changes_and_their_undo(table: Callable, page: Page) -> None:
    # A request for the charts of a run can arrive after the run was deleted.
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    shown = table("edits")
    boxes = page.get_by_role("checkbox", name=re.compile("Select edited"))
    boxes.first.check()
    boxes.last.click(modifiers=["Shift"])
    bulk = page.get_by_test_id("bulk")
    expect(bulk).to_contain_text("4 runs selected")

    def undo() -> None:
        page.get_by_test_id("toast").get_by_role("button", name="Undo").last.click()
        expect(page.get_by_test_id("toast").filter(has_text="Undone")).to_be_visible()
        page.get_by_role("button", name="Close the message").last.click()
        idle(page)

    bulk.get_by_role("button", name="Tag the selected runs").click()
    page.get_by_label("Tag", exact=True).fill("old")
    page.get_by_role("button", name="Add the tag").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Added “old” to 3 runs")
    expect(cell(shown.locator('[data-run="e3"]'), "tags")).to_contain_text("old")
    undo()
    expect(cell(shown.locator('[data-run="e3"]'), "tags")).not_to_contain_text("old")
    expect(cell(shown.locator('[data-run="e0"]'), "tags")).to_contain_text("old")

    bulk.get_by_role("button", name="Put the selected runs into a group").click()
    page.get_by_label("Group (empty for none)").fill("g1")
    page.get_by_role("button", name="Set the group").click()
    expect(page.get_by_test_id("toast")).to_contain_text("4 runs")
    undo()

    bulk.get_by_role("button", name="Delete the selected runs").click()
    expect(page.get_by_text("This changes 4 runs.")).to_be_visible()
    page.get_by_role("button", name="Delete the runs").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Deleted 4 runs")
    undo()
    expect(page.get_by_test_id("run-row")).to_have_count(4)

    page.get_by_role("checkbox", name="Select edited 1").check()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_test_id("run-row")).to_have_count(3)
    undo()
    expect(page.get_by_test_id("run-row")).to_have_count(4)

    page.get_by_role("checkbox", name="Select edited 1").check()
    page.get_by_role("button", name="Move the selected runs").click()
    page.get_by_label("Project of local").fill("elsewhere")
    page.get_by_role("button", name="Move the runs").click()
    expect(page.get_by_test_id("run-row")).to_have_count(3)
    undo()
    expect(page.get_by_test_id("run-row")).to_have_count(4)


def test_cells_are_edited_in_place_and_in_a_dialog(table: Callable, page: Page) -> None:
    shown = table("edits")
    row = shown.locator('[data-run="e2"]')
    for key in ("j", "j", "r"):
        page.keyboard.press(key)
    page.get_by_label("Name of edited 2").fill("renamed")
    page.keyboard.press("Enter")
    expect(row.get_by_role("link")).to_have_text("renamed")
    page.get_by_test_id("toast").get_by_role("button", name="Undo").click()
    expect(row.get_by_role("link")).to_have_text("edited 2")
    cell(row, "tags").dblclick()
    page.get_by_label("Tags of edited 2").fill("a, b")
    page.keyboard.press("Escape")
    expect(cell(row, "tags")).not_to_contain_text("a, b")
    row.hover()
    row.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tags").fill("one, two")
    dialog.get_by_label("Notes").fill("<script>alert(1)</script>")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(cell(row, "tags")).to_contain_text("one, two")


def test_csv_has_all_matching_rows_with_the_shown_columns(
    table: Callable, page: Page, tmp_path: Path
) -> None:
    table("many", "&q=config.at>=500&order=config.at")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export as CSV").click()
    downloading.value.save_as(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["config.at"]) for row in rows] == list(range(500, 3000))
    assert rows[0]["name"] == "run 500"
    assert {"id", "state", "created_at"} <= rows[0].keys()


def test_the_badge_of_each_state_fits_into_its_column(table: Callable, page: Page) -> None:
    rows = table("states").get_by_test_id("run-row")
    expect(rows).to_have_count(len(STATES))
    cut = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=run-row] [data-field=state]')].flatMap(cell => {
            const style = getComputedStyle(cell), badge = cell.querySelector('[data-testid=state]');
            const room = cell.getBoundingClientRect().right - parseFloat(style.paddingRight);
            const over = badge.getBoundingClientRect().right - room;
            return over > 0 ? [`${badge.textContent}: ${over} px`] : [];
        })"""
    )
    assert cut == []


def test_scrolling_reuses_the_rows(table: Callable, page: Page) -> None:
    shown = table("many")
    rows = page.get_by_test_id("run-row")
    count = rows.count()
    page.evaluate("window.kept = document.querySelector('[data-testid=run-row]')")
    scroller = page.locator(".scroller")
    for top in (3000, 30_000, 45_000):
        scroller.evaluate("(each, top) => { each.scrollTop = top }", top)
        expect(shown.get_by_text(f"run {2999 - top // 30}", exact=True)).to_be_in_viewport()
    expect(rows).to_have_count(count)
    assert page.evaluate("window.kept.isConnected")


def test_drawing_a_run_keeps_the_place(table: Callable, page: Page) -> None:
    shown = table("many")
    scroller = page.locator(".scroller")
    scroller.evaluate("each => { each.scrollTop = 30_000 }")
    row = shown.locator('[data-run="r01990"]')
    row.get_by_role("button", name="Draw").click()
    expect(row.get_by_role("button", name="Draw")).to_have_attribute("aria-pressed", "true")
    assert scroller.evaluate("each => each.scrollTop") == 30_000
