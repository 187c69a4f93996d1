"""Tests of media, histograms and charts on the page of a run; logged pages stay in their sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import tracker
from tracker import plot
from tracker.ground import launch

from .conftest import expect_value, servers
from .probes import MARKDOWN, expect_safe

SPY = """<p id="result">nothing</p><script>
let found = "closed";
try { found = parent.document.title } catch (error) {}
document.getElementById("result").textContent = "ran, parent is " + found;
</script>"""


# A picture of one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


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
    expect(page.get_by_test_id("audio")).to_have_js_property("duration", 1)
    expect(page.get_by_test_id("box")).to_have_count(1)
    expect(page.get_by_test_id("mask")).to_have_count(1)
    page.get_by_label("mask prediction").uncheck()
    expect(page.get_by_test_id("mask")).to_have_count(0)
    page.get_by_label("boxes truth").uncheck()
    expect(page.get_by_test_id("box")).to_have_count(0)
    page.get_by_role("heading", name="weights").scroll_into_view_if_needed()
    expect(page.get_by_test_id("histogram")).to_have_attribute("data-steps", "3")
    page.get_by_test_id("tab-overview").click()
    expect(page.get_by_text("panelDefId")).to_have_count(0)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a run with two sets of boxes, tables with images, saved files and a used artifact.

    No test changes it.
    """
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:  # `run.save` makes a folder in the current one
        patch.chdir(folder)
        patch.setattr(launch, "_launched_in", str(folder))
        log_full(folder, {"store": folder / "tracker-store", "x_disable_meta": True})
    with servers(folder) as start:
        yield f"{start().url}/local/shown?run=full"


def log_full(folder: Path, settings: dict) -> None:
    """Log the run of the fixture ``full``."""
    source = tracker.init(project="elsewhere", id="source", settings=settings)
    data = tracker.Artifact("data", "dataset")
    (folder / "d.txt").write_text("data")
    data.add_file(str(folder / "d.txt"))
    source.log_artifact(data).wait()
    source.finish()

    run = tracker.init(project="shown", name="full", id="full", settings=settings)
    run.use_artifact("elsewhere/data:v0")
    classes = {1: "car", 2: "tree"}

    def box(left: float, class_id: int, score: float | None = None) -> dict:
        position = {"minX": left, "maxX": left + 0.2, "minY": 0.1, "maxY": 0.5}
        return {"position": position, "class_id": class_id} | (
            {} if score is None else {"scores": {"confidence": score}}
        )

    predicted = [box(0.1, 1, 0.9), box(0.4, 2, 0.3)]
    for step in range(3):
        pixels = np.full((80, 120), step * 50, dtype=np.uint8)
        run.log({f"early/{at:02}": tracker.Image(pixels) for at in range(8)}, step=step)
        seen = tracker.Image(
            pixels,
            boxes={
                "prediction": {"box_data": predicted, "class_labels": classes},
                "truth": {"box_data": [box(0.1, 1)], "class_labels": classes},
            },
        )
        run.log({"seen": seen}, step=step)
    run.log({"late": tracker.Image(np.zeros((80, 120), dtype=np.uint8))}, step=1)
    for step, shift in ((3, 0), (4, 1)):
        rows = [
            [
                f"id {at}",
                at * 1.5 + (shift if at == 7 else 0),
                "cat" if at % 3 else "dog",
                tracker.Image(pixels),
                "long text " * 30,
            ]
            for at in range(60)
        ]
        run.log(
            {"mine": tracker.Table(columns=["id", "score", "label", "picture", "note"], data=rows)}, step=step
        )
    labels = tracker.Table(columns=["l", "v"], data=[["a", 1], ["b", 2]])
    run.log({f"a chart {at}": plot.bar(labels, "l", "v") for at in range(3)}, step=5)
    for name, text in (
        ("notes.txt", "plain text"),
        ("train.py", "def train(lr=0.1):\n    return lr\n"),
        ("result.json", '{"a":[1,2],"b":"x"}'),
        ("big.py", "x = 1\n" * 40_000),
        ("evil.md", f"# Title\n\n{MARKDOWN}"),
        *((f"many/{at:03}.log", "line") for at in range(60)),
    ):
        path = folder / "saved" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "saved" / "weights.bin").write_bytes(b"\0\1" * 100)
    (folder / "saved" / "empty.txt").write_bytes(b"")
    (folder / "saved" / "picture.png").write_bytes(PIXEL)
    for path in (folder / "saved").rglob("*.*"):
        run.save(str(path), base_path=str(folder / "saved"), policy="now")
    run.finish()


@pytest.mark.slow
def test_pictures_of_tables_are_whole_and_grow(page: Page, visit: Callable, full: str) -> None:
    visit(f"{full}&tab=tables")
    tables = page.get_by_test_id("table")
    picture = page.locator('[data-key="mine"]').get_by_role("img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    cut = picture.evaluate(
        "img => img.getBoundingClientRect().height - img.parentElement.getBoundingClientRect().height"
    )
    assert cut <= 1, f"{cut} pixels of the picture are outside its cell"
    expect(tables).to_have_count(1)  # the tables of charts are folded
    expect(tables).to_have_attribute("data-key", "mine")
    picture.click()
    large = page.get_by_test_id("enlarged")
    expect(large.get_by_role("img")).to_be_visible()
    expect_value(page, lambda: large.get_by_role("img").evaluate("img => img.clientWidth") > 400, True)
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    tables.get_by_test_id("long-cell").first.click()
    expect(large).to_have_text("long text " * 30)
    page.keyboard.press("Escape")

    page.get_by_test_id("chart-tables").locator("summary").click()
    expect(tables).to_have_count(4)
    expect(tables.nth(0)).to_have_attribute("data-key", "mine")
    visit(f"{full}&tab=tables&key=a%20chart%202_table")
    expect(page.locator('[data-key="a chart 2_table"]')).to_be_in_viewport(ratio=0.5)


@pytest.mark.slow
def test_tables_are_sorted_filtered_grouped_compared_and_saved(
    page: Page, visit: Callable, full: str, tmp_path: Path
) -> None:
    visit(f"{full}&tab=tables")
    table = page.get_by_test_id("table").first
    first = table.locator("tbody tr").first
    expect(first).to_contain_text("id 0")
    table.get_by_role("button", name="score").click()
    table.get_by_role("button", name="score").click()
    expect(first).to_contain_text("id 59")
    table.get_by_role("button", name="Filter & group").click()
    table.get_by_role("button", name="Filter", exact=True).click()
    table.get_by_label("Column").select_option("label")
    value = table.get_by_label("Value for label")
    value.fill("dog")
    value.press("Enter")
    expect(table.get_by_test_id("table-total")).to_have_text("20 of 60 rows")
    expect(first).to_contain_text("id 57")
    page.reload()
    page.evaluate("window.trackerIdle()")
    expect(table.get_by_test_id("table-total")).to_have_text("20 of 60 rows")
    expect(first).to_contain_text("id 57")
    with page.expect_download() as downloading:
        table.get_by_role("button", name="CSV").click()
    downloading.value.save_as(tmp_path / "saved.csv")
    lines = (tmp_path / "saved.csv").read_text().splitlines()
    assert (len(lines), lines[0]) == (21, "id,score,label,picture,note")
    assert lines[1].startswith("id 57,85.5,dog,media/")
    table.get_by_role("button", name="Remove the filter").click()
    table.get_by_label("Group by", exact=True).select_option("label")
    groups = table.get_by_test_id("table-groups").locator("tbody tr")
    expect(groups).to_have_count(2)
    expect(groups.first).to_contain_text("cat")
    expect(groups.first.locator("td").first).to_have_text("40")
    groups.nth(1).get_by_role("button", name="dog").click()
    expect(table.get_by_test_id("table-total")).to_have_text("20 of 60 rows")
    table.get_by_label("Compare mine with another step").select_option("3")
    expect(table.get_by_test_id("difference-counts")).to_contain_text("1 changed")
    expect(table.locator("del")).to_have_text("10.5")
    expect(table.locator("ins")).to_have_text("11.5")


@pytest.mark.slow
def test_boxes_differ_by_set_and_one_slider_selects_the_step(page: Page, visit: Callable, full: str) -> None:
    visit(f"{full}&tab=images&key=seen")
    strip = page.locator('[data-key="seen"]')
    expect(strip).to_be_in_viewport(ratio=0.5)
    boxes = strip.get_by_test_id("box")
    expect(boxes).to_have_count(3)
    looks = boxes.evaluate_all(
        "all => all.map(b => [b.getAttribute('stroke'), b.getAttribute('stroke-dasharray')])"
    )
    assert looks[0] == looks[1]
    assert looks[0][0] != looks[2][0], "the two sets of boxes have one colour"
    assert [looks[0][1], looks[2][1]] == [None, "6 4"]
    strip.get_by_label("Least confidence").fill("0.5")
    expect(boxes).to_have_count(2)
    strip.get_by_label("car").uncheck()
    expect(boxes).to_have_count(0)
    strip.get_by_label("car").check()
    strip.get_by_label("boxes truth").uncheck()
    expect(boxes).to_have_count(1)

    image = strip.get_by_test_id("image")
    expect(image).to_have_attribute("data-step", "2")
    page.keyboard.press("[")
    page.wait_for_url("**step=1*")
    expect(image).to_have_attribute("data-step", "1")
    page.keyboard.press("[")
    expect(image).to_have_attribute("data-step", "0")
    late = page.locator('[data-key="late"]')
    expect(late).to_contain_text("the first after the selected one")
    page.reload()
    page.evaluate("window.trackerIdle()")
    expect(image).to_have_attribute("data-step", "0")
    page.get_by_role("slider", name="Step of all media").press("End")
    expect(image).to_have_attribute("data-step", "2")
    expect(page).not_to_have_url(re.compile("step="))
    strip.get_by_label("boxes truth").uncheck()
    strip.get_by_role("button", name=re.compile("^Enlarge")).click()
    expect(page.get_by_test_id("enlarged").get_by_test_id("box")).to_have_count(2)


@pytest.mark.slow
def test_files_and_used_artifacts_are_shown(page: Page, visit: Callable, full: str) -> None:
    visit(f"{full}&tab=files")
    files = page.get_by_test_id("run-file")
    expect(files.filter(has_text="train.py")).to_be_visible()
    expect(files.filter(has_text="media/")).to_have_count(0)
    preview = page.get_by_test_id("preview")

    def look(path: str) -> None:
        page.locator(f'[data-path="{path}"]').get_by_role("button").first.click()
        page.evaluate("window.trackerIdle()")
        expect(page.locator(f'[data-path="{path}"]').get_by_test_id("preview")).to_be_visible()

    look("train.py")
    page.wait_for_url("**path=train.py*")
    expect(preview.get_by_test_id("code").locator(".line")).to_have_count(2)
    colors = "all => new Set(all.map(span => span.style.color)).size"
    expect_value(page, lambda: preview.locator(".line span").evaluate_all(colors) > 2, True)  # highlighted
    look("big.py")
    expect(preview.locator(".line")).to_have_count(40_000)
    expect(preview.locator(".line span")).to_have_count(0)  # above 200 kB the code is plain
    look("result.json")
    expect(preview.locator(".line").nth(1)).to_contain_text('"a": [')
    look("notes.txt")
    expect(preview).to_contain_text("plain text")
    look("weights.bin")
    expect(preview).to_contain_text("no preview")
    look("empty.txt")
    expect(preview).to_contain_text("The file is empty.")
    look("picture.png")
    expect(preview.locator("img")).to_have_js_property("naturalWidth", 1)
    visit(f"{full}&tab=files&path=many/059.log")
    expect(page.locator('[data-path="many/059.log"]')).to_be_in_viewport(ratio=0.5)
    expect(preview).to_contain_text("line")

    visit(f"{full}&tab=artifacts")
    used = page.get_by_test_id("used-artifact")
    expect(used).to_contain_text("elsewhere/data:v0")
    expect(page.get_by_test_id("artifact").first).to_be_visible()
    used.get_by_role("link").click()
    page.wait_for_url("**/local/elsewhere?*artifact=data*")


def test_markdown_runs_and_loads_nothing(page: Page, visit: Callable, full: str) -> None:
    visit(f"{full}&tab=files&path=evil.md")
    text = page.get_by_test_id("markdown")
    expect(text.get_by_role("heading", level=2)).to_have_text("Title")
    expect(text.locator("table td")).to_have_text("cell")
    expect(text.get_by_role("link", name="a picture")).to_have_attribute("href", "http://evil.example/p.png")
    expect_safe(text)
    assert page.evaluate("window.ran") is None


def test_run_without_media_shows_a_note(serve: Callable, page: Page, visit: Callable) -> None:
    empty = tracker.init(project="shown")
    empty.log({"loss": 1.0})
    empty.finish()
    visit(f"{serve().url}/local/shown?run={empty.id}&tab=images")
    expect(page.get_by_text("No media logged")).to_be_visible()
