"""Tests of the dashboard in a real browser: it shows the values that a run logged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scripts
from playwright.sync_api import Page, expect

import tracker
from tracker.store.catalog.models import Project, Run
from tracker.store.store import Store

from .conftest import expect_address, expect_last, servers


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a store with the run of ``log_run``, with the id ``shown``. No test changes it."""
    folder = tmp_path_factory.mktemp("shown")
    settings = {"store": folder / "tracker-store", "x_disable_meta": True}
    log_run(id="shown", name="the run", settings=settings).finish()
    with servers(folder) as start:
        yield start().url


def log_run(**options: object) -> tracker.Run:
    run = tracker.init(project="shown", config={"lr": 0.125, "net": {"depth": 3}}, **options)
    for at in range(50):
        run.log({"train/loss": 1 / (at + 1), "acc": at / 50, "odd": math.nan if at == 7 else float(at)})
    images = [tracker.Image(np.full((8, 8), value), caption=f"shade {value}") for value in (0.0, 0.5, 1.0)]
    run.log({"samples": images})
    table = tracker.Table(columns=["picture", "word", "score"])
    for at in range(120):
        table.add_data(images[at % 3], f"word {at}", at / 4)
    run.log({"predictions": table})
    artifact = tracker.Artifact(f"model-{run.id}", "model")
    with artifact.new_file("model.ckpt", "wb") as file:
        file.write(b"weights" * 100)
    run.log_artifact(artifact, aliases=["best"])
    return run


def test_dashboard_shows_the_logged_values(shown: str, page: Page, visit: Callable, tmp_path: Path) -> None:
    visit(shown)
    page.get_by_test_id("projects").get_by_role("link", name="shown").click()
    row = page.get_by_test_id("run-row")
    expect(row).to_have_count(1)
    row.get_by_text("the run").click()
    page.evaluate("window.trackerIdle()")
    expect(page.get_by_test_id("state").first).to_have_text("finished")
    expect_address(page, "run=shown")
    expect_last(page, "train/loss", "shown", 1 / 50)
    expect_last(page, "acc", "shown", 49 / 50)
    expect_last(page, "odd", "shown", 49)

    page.get_by_test_id("tab-images").click()
    page.evaluate("window.trackerIdle()")
    images = page.get_by_test_id("image")
    expect(images).to_have_count(3)
    expect(page.get_by_text("shade 0.5")).to_be_visible()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=image]')]"
        ".every(image => image.complete && image.naturalWidth === 8)"
    )

    page.get_by_test_id("tab-tables").click()
    page.evaluate("window.trackerIdle()")
    expect(page.get_by_text("word 0", exact=True)).to_be_visible()
    expect(page.get_by_text("120 rows")).to_be_visible()

    page.get_by_test_id("tab-artifacts").click()
    page.evaluate("window.trackerIdle()")
    expect(page.get_by_test_id("artifact")).to_have_count(2)  # the logged table is an artifact too
    entry = page.get_by_test_id("artifact").filter(has_text="best")
    expect(entry).to_have_count(1)
    entry.get_by_role("link").first.click()
    with page.expect_download() as downloading:
        page.get_by_test_id("download").click()
    target = tmp_path / "downloaded"
    downloading.value.save_as(target)
    assert target.read_bytes() == b"weights" * 100

    page.get_by_test_id("tab-overview").click()
    page.evaluate("window.trackerIdle()")
    expect(page.get_by_text("0.125").first).to_be_visible()


LIVE = """
import sys, tracker
run = tracker.init(project="live", id="live")
run.log({"loss": 5.0})
print("ready", flush=True)
for line in sys.stdin:
    run.log({"loss": float(line)})
run.finish()
"""


def test_live_run_updates_without_a_reload(
    serve: Callable, page: Page, visit: Callable, tmp_path: Path
) -> None:
    writer = scripts.start(LIVE, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    url = serve().url
    scripts.wait_for(lambda: page.request.get(f"{url}/api/v1/projects").json()["projects"], "the project")
    visit(f"{url}/local/live?run=live")
    expect(page.get_by_test_id("state").first).to_have_text("running")
    expect_last(page, "loss", "live", 5.0)
    for value in (4.0, 3.0):
        writer.stdin.write(f"{value}\n")
        writer.stdin.flush()
        expect_last(page, "loss", "live", value)
    writer.communicate(timeout=90)
    expect(page.get_by_test_id("state").first).to_have_text("finished")


def test_nothing_is_shown_before_signing_in(serve: Callable, page: Page, visit: Callable) -> None:
    log_run(name="secret name").finish()
    served = serve(key=True)
    page.allowed_errors.append("status of 401")  # type: ignore[attr-defined]
    visit(f"{served.url}/local/shown")
    expect(page.get_by_test_id("sign-in")).to_be_visible()
    expect(page.get_by_text("secret name")).to_have_count(0)
    field = page.get_by_test_id("sign-in").get_by_role("textbox")
    field.fill("local-wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Invalid API key")
    field.fill(served.key)
    field.press("Enter")
    expect(page.get_by_text("secret name").first).to_be_visible()
    page.reload()
    expect(page.get_by_text("secret name").first).to_be_visible()
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()


def test_link_signs_a_browser_in_once_and_permits_edits(serve: Callable, page: Page, visit: Callable) -> None:
    log_run(name="mine", id="mine", notes="as it was").finish()
    served = serve(key=True)
    visit(served.link)
    expect(page).to_have_url(f"{served.url}/")
    visit(f"{served.url}/local/shown?run=mine")
    page.get_by_role("button", name="Edit the notes").click()
    page.get_by_role("textbox", name="notes").fill("changed here")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("changed here")).to_be_visible()
    page.context.clear_cookies()
    page.allowed_errors.append("status of 401")  # type: ignore[attr-defined]
    page.goto(served.link)
    expect(page.get_by_text("This link was already used")).to_be_visible()
    visit(served.url)
    expect(page.get_by_test_id("sign-in")).to_contain_text("tracker server --link")


def test_empty_store_shows_an_example(serve: Callable, page: Page, visit: Callable) -> None:
    visit(serve().url)
    expect(page.get_by_text("tracker.init").or_(page.get_by_text("import tracker")).first).to_be_visible()


def test_unknown_run_is_named(shown: str, page: Page, visit: Callable) -> None:
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    visit(f"{shown}/local/shown?run=absent")
    expect(page.get_by_text("absent").first).to_be_visible()


@pytest.mark.slow
def test_table_of_ten_thousand_runs_renders_few_rows(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    with store.writing() as session:
        project = Project(entity="local", name="many", created_at=0.0)
        session.add(project)
        session.flush()
        session.add_all(
            Run(
                project_id=project.id,
                run_id=f"id{at:05d}",
                name=f"run number {at:05d} " + "with a long name " * (at % 3),
                state="finished",
                created_at=float(at),
                updated_at=float(at),
                finished_at=float(at),
                tags=[],
                config={"lr": at / 7},
                summary={"loss": 1 / (at + 1)},
                revision=0,
            )
            for at in range(10_000)
        )
    visit(f"{serve().url}/local/many")
    table = page.get_by_test_id("runs-table")
    expect(table.get_by_text("run number 09999").first).to_be_visible()
    assert page.get_by_test_id("run-row").count() < 200
    page.evaluate(
        """() => {
            const table = document.querySelector('[data-testid=runs-table]');
            const parts = [table, table.parentElement, table.parentElement.parentElement];
            const scroller = parts.find(each => each.scrollHeight > each.clientHeight + 1000);
            scroller.scrollTop = scroller.scrollHeight;
        }"""
    )
    expect(table.get_by_text("run number 00000").first).to_be_visible()
    assert page.get_by_test_id("run-row").count() < 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_have_readable_text(shown: str, page: Page, visit: Callable, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    visit(f"{shown}/local/shown")
    colours = page.evaluate(
        "() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    text, background = (sum(int(part) for part in colour[4:-1].split(",")[:3]) for colour in colours)
    assert (text < background) == (scheme == "light")
    assert abs(text - background) > 400
