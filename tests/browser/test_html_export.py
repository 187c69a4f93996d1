"""The file of ``tracker export --format html`` in Chromium: no logged text runs, nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import tracker
from tracker.cli.main import main
from tracker.exporting.run_colors import color_of

from .conftest import checked_page, expect_width
from .probes import fill_probes, probe

# The texts of a run that the file contains.
SHOWN = ("name", "group", "job", "tag", "key", "value", "inner", "item", "metric", "summary")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``probes.html`` (a store with a probe in each field) and ``runs.html``."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as given:
        given.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
        given.chdir(folder)
        store = fill_probes(folder)
        main(["export", "-q", "last_step>=0", "-e", "team", "--store", str(store), "-o", "probes.html"])
        for at in range(3):
            settings = {"store": folder / "runs", "silent": True}
            run = tracker.init(
                project="p", id=f"run{at}", name=f"run {at}", reinit="create_new", settings=settings
            )
            for step in range(101):
                run.log({"loss": step * (at + 1), "val/acc": 1 / (step + 1)})
            run.finish()
        main(["export", "-q", "last_step>0", "--store", str(folder / "runs"), "-o", "runs.html"])
    return folder


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Yield a page that may only open files."""
    with checked_page(
        chromium, "file:///", color_scheme="dark", viewport={"width": 400, "height": 800}
    ) as page:
        yield page


def test_logged_texts_are_texts(chromium: Browser, folder: Path) -> None:
    with checked_page(chromium, "file:///", bypass_csp=True) as page:  # a probe that becomes an element runs
        page.goto(f"file://{folder}/probes.html")
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        expect(page.locator("figcaption")).to_have_count(2)
        expect(page.locator("img, iframe, a, link, form")).to_have_count(0)
        assert page.evaluate("window.ran") is None
        shown = page.locator("body").inner_text() + page.locator("pre").all_inner_texts()[0].replace(
            '\\"', '"'
        )
        assert [field for field in SHOWN if probe(field) not in shown] == []


def test_a_phone_reads_values_and_hides_runs(page: Page, folder: Path) -> None:
    page.goto(f"file://{folder}/runs.html")
    expect_width(page, 400)
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 19, 24)")
    red, green, blue = bytes.fromhex(color_of("run2", "dark")[1:])
    expect(page.locator("label", has_text="run 2")).to_have_css("color", f"rgb({red}, {green}, {blue})")
    plot = page.locator("figure", has_text="loss").first.locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] - 1, "y": box["height"] * 0.037})
    expect(plot.locator(".tip")).to_have_text("300 at 100 · run 2")
    page.get_by_label("run 2").uncheck()
    plot.hover(position={"x": box["width"] - 1, "y": box["height"] * 0.346})
    expect(plot.locator(".tip")).to_have_text("200 at 100 · run 1")
    expect(plot.locator("path.line:visible")).to_have_count(2)
