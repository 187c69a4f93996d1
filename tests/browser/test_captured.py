"""Tests of system metrics, output and facts on the page of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import START, Writer, apply_all, seal_all
from playwright.sync_api import Page, Route, expect

from tracker.ground.records import ConsoleLines, SystemSample
from tracker.recorder.open_store import open_store
from tracker.store.store import Store

from .conftest import expect_value, servers

LINES = 100_000
FACTS = {
    "os": "Linux-6.1",
    "executable": "/usr/bin/python3",
    "program": "/home/me/code/train.py",
    "codePathLocal": "train.py",
    "args": ["--lr", "0.1", "--name", "two words"],
    "git": {"remote": "https://example.com/me/code.git", "commit": "c0ffee" * 6},
    "host": "node1",
    "slurm": {"job_id": "77"},
}


def shot(page: Page, name: str) -> None:
    """Save a screenshot if the environment variable SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a store with a run of two ranks, with two GPUs each, long output, and facts."""
    folder = tmp_path_factory.mktemp("captured")
    store = open_store(folder / "tracker-store")
    red = "\x1b[31ma red warning\x1b[0m"
    orange = "\x1b[38;5;208morange \x1b[30;48;2;0;90;0mon green\x1b[0m"
    for rank in (0, 1):
        writer = Writer(store.layout, str(rank) * 32, rank=rank, start=START)
        for at in range(200):
            cards = {
                f"gpu.{card}.{name}": float((at * (card + 2) + 40 * rank) % 100)
                for card in (0, 1)
                for name in ("gpu", "temp", "powerWatts", "memoryAllocated")
            }
            writer.put(
                SystemSample(
                    writer.tick() + 15 * at, {"cpu": float(at % 50), "memory_percent": 40.0, **cards}
                )
            )
        writer.put(
            ConsoleLines(
                writer.tick(),
                [
                    (0, 1, f"hello of rank {rank}"),
                    (
                        1,
                        2,
                        f"{red} {orange}",
                    ),
                ],
            )
        )
        writer.put(ConsoleLines(writer.tick(), [(2, 2, "100%|##########| 20/20")]))
        if rank == 0:
            for first in range(3, LINES, 1000):
                lines = [
                    (at, 1, f"step {at}: loss {1 / at:.5f}") for at in range(first, min(first + 1000, LINES))
                ]
                writer.put(ConsoleLines(writer.tick(), lines))
            writer.file("wandb-metadata.json", json.dumps(FACTS).encode(), "application/json")
            writer.file("requirements.txt", b"msgspec==0.19.0\nnumpy==2.0.0\n")
            writer.file("diff.patch", b"--- a\n+++ b\n")
            writer.file("code/train.py", b"import tracker\n\nrun = tracker.init(project='demo')\n")
        writer.finish()
    Writer(store.layout, "e" * 32, "bare").finish()
    apply_all(store)
    seal_all(store)
    store.close()
    with servers(folder) as start:
        yield start().url


def test_system_metrics_of_each_rank_and_gpu(page: Page, visit: Callable, captured: str) -> None:
    visit(f"{captured}/team/demo?run=run1&tab=system")
    charts = page.get_by_test_id("system-chart")
    expect(charts).to_have_count(6)
    expect(charts.first).to_contain_text("GPU utilisation (%)")
    for name in ("GPU 0 · rank 0", "GPU 1 · rank 0", "GPU 0 · rank 1", "GPU 1 · rank 1"):
        expect(charts.first).to_contain_text(name)
    expect(charts.first.locator("canvas")).to_have_count(1)
    shot(page, "system-light")
    page.get_by_role("button", name="Heat map").click()
    heat = page.get_by_test_id("heat-map")
    expect(heat.first).to_have_attribute("data-rows", "4")
    pixels = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, 20).data).size"
    expect_value(page, lambda: heat.first.evaluate(pixels) > 10, True)
    page.get_by_label("Rank").select_option("1")
    page.get_by_label("GPU", exact=True).select_option("0")
    expect(heat).to_have_count(0)  # each chart has one line
    expect(charts.first.locator("li")).to_have_count(1)
    page.get_by_label("Rank").select_option("")
    page.get_by_label("GPU", exact=True).select_option("")
    page.get_by_role("button", name="Heat map").click()
    page.get_by_role("button", name=re.compile("dark", re.I)).click()
    shot(page, "system-dark")
    visit(f"{captured}/team/demo?run=bare&tab=system")
    expect(page.get_by_text("No system metrics were captured.")).to_be_visible()
    shot(page, "system-empty")


@pytest.mark.slow
def test_long_output_is_shown_searched_and_followed(page: Page, visit: Callable, captured: str) -> None:
    visit(f"{captured}/team/demo?run=run1&tab=logs")
    lines = page.get_by_test_id("log-line")
    expect(page.get_by_test_id("log-count")).to_contain_text("100,000 lines")
    # The page opens at the end of the output, and contains few lines outside the view.
    expect(lines.filter(has_text="step 99999: loss")).to_be_visible()
    assert lines.count() < 200
    shot(page, "logs-end")
    log = page.get_by_role("log")
    log.evaluate("box => box.scrollTop = 0")
    expect(lines.filter(has_text="hello of rank 0")).to_be_visible()
    red = lines.filter(has_text="a red warning")
    expect(red).to_have_text("a red warning orange on green")
    expect(red.locator(".fg1")).to_have_count(1)
    orange = red.get_by_text("orange")
    assert "oklch(0.52" in orange.evaluate("span => getComputedStyle(span).color")
    expect(red.get_by_text("on green")).to_have_css("background-color", "rgb(0, 90, 0)")
    expect(red.get_by_text("on green")).to_have_css("color", "rgb(255, 255, 255)")
    expect(page.locator(".row.err")).to_have_count(2)
    shot(page, "logs-light")
    page.get_by_label("Find in the output").fill("STEP 5000")
    expect(page.get_by_test_id("log-count")).to_contain_text("11 of 100,000 lines", timeout=60_000)
    expect(lines).to_have_count(11)
    shot(page, "logs-found")
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Find in the output").fill(r"step 5000\d: .*1$")
    expect(page.get_by_test_id("log-count")).to_contain_text("0 of 100,000 lines", timeout=60_000)
    page.get_by_label("Find in the output").fill(r"step 500\d: loss")
    expect(lines).to_have_count(10, timeout=60_000)
    page.get_by_role("button", name="Times").click()
    expect(page.get_by_test_id("log-time").first).to_contain_text("2023-11-1")
    page.reload()
    expect(lines).to_have_count(10, timeout=60_000)
    with page.expect_download() as downloading:
        page.get_by_test_id("log-download").click()
    saved = downloading.value.path().read_text().splitlines()
    assert len(saved) == 10
    assert re.match(r"2023-11-1\dT.* step 5000: loss", saved[0])
    page.allowed_errors.append("status of 400")  # type: ignore[attr-defined]
    page.get_by_label("Find in the output").fill("step (")
    expect(page.get_by_role("alert")).to_contain_text("pattern", timeout=60_000)
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Find in the output").fill("")
    page.get_by_label("Stream").select_option("stderr")
    expect(lines).to_have_count(2, timeout=60_000)
    page.get_by_label("Stream").select_option("Both streams")
    page.get_by_test_id("log-writer").select_option(label="attempt 0 · rank 1")
    expect(lines.filter(has_text="hello of rank 1")).to_be_visible()
    page.get_by_role("button", name=re.compile("dark", re.I)).click()
    shot(page, "logs-dark")
    visit(f"{captured}/team/demo?run=bare&tab=logs")
    expect(page.get_by_text("Either the run printed nothing")).to_be_visible()
    shot(page, "logs-empty")


def test_stream_is_in_the_address_and_its_lines_load_in_pages(
    page: Page, visit: Callable, captured: str
) -> None:
    visit(f"{captured}/team/demo?run=run1&tab=logs")
    page.get_by_label("Stream").select_option("stdout")
    page.wait_for_url("**stream=stdout*")
    page.reload()
    expect(page.get_by_label("Stream")).to_have_value("stdout")
    expect(page.get_by_test_id("log-count")).to_contain_text("99,998 of 100,000 lines")
    # The first page has 2,000 lines. The next one loads at its end.
    after_first = """() => {
        const box = document.querySelector("[role=log]");
        box.scrollTop = box.scrollHeight;
        return [...box.textContent.matchAll(/step (\\d+): loss/g)].some((found) => Number(found[1]) > 2002);
    }"""
    page.wait_for_function(after_first, timeout=60_000)


def test_lines_that_load_during_a_change_are_loaded_again(serve: Callable, page: Page, store: Store) -> None:
    writer = Writer(store.layout, "a" * 32, "live")
    writer.put(ConsoleLines(writer.tick(), [(at, 1, f"line {at}") for at in range(3000)]))
    apply_all(store)
    held: list[Route] = []
    page.route(
        re.compile(r"/console\?.*offset=2000"),
        lambda route: route.continue_() if held else held.append(route),
    )
    with page.expect_request(re.compile(r"/console\?.*offset=2000")):
        page.goto(f"{serve().url}/team/demo?run=live&tab=logs&stream=stdout")
    # The page reads the first lines again while it still waits for the next ones.
    with page.expect_response(re.compile(r"/console\?.*offset=0")):
        writer.put(ConsoleLines(writer.tick(), [(3000, 1, "line 3000")]))
        apply_all(store)
    expect(page.get_by_test_id("log-count")).to_contain_text("3,001 of")
    held[0].continue_()
    expect(page.get_by_test_id("log-line").filter(has_text="line 2005")).to_be_visible()


def test_new_output_appears_on_an_open_page(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    writer = Writer(store.layout, "a" * 32, "live")
    writer.put(ConsoleLines(writer.tick(), [(0, 1, "first"), (1, 2, " 10%")]))
    apply_all(store)
    visit(f"{serve().url}/team/demo?run=live&tab=logs")
    lines = page.get_by_test_id("log-line")
    expect(lines).to_have_text(["first", " 10%"])
    writer.put(
        ConsoleLines(writer.tick(), [(1, 2, "100%"), *[(at, 1, f"line {at}") for at in range(2, 300)]])
    )
    apply_all(store)
    expect(lines.filter(has_text="line 299")).to_be_visible(timeout=15_000)
    page.get_by_role("log").evaluate("box => box.scrollTop = 0")
    expect(lines.nth(1)).to_have_text("100%")


def test_facts_about_the_start_of_a_run(page: Page, visit: Callable, captured: str) -> None:
    visit(f"{captured}/team/demo?run=run1&tab=overview")
    expect(page.locator("pre")).to_have_text("/usr/bin/python3 train.py --lr 0.1 --name 'two words'")
    expect(page.get_by_test_id("attempt")).to_have_count(2)
    expect(page.get_by_test_id("attempt").first).to_contain_text("finished")
    expect(page.get_by_role("button", name=f"Copy the commit: {'c0ffee' * 6}")).to_be_visible()
    for text in ("git.commit", "c0ffee" * 6, "slurm.job_id", "msgspec", "0.19.0"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="diff.patch")).to_be_visible()
    shot(page, "overview-light")
    page.get_by_role("button", name=re.compile("dark", re.I)).click()
    shot(page, "overview-dark")
    visit(f"{captured}/team/demo?run=run1&tab=code")
    expect(page.get_by_test_id("code")).to_contain_text("+++ b")
    page.get_by_role("link", name="train.py").click()
    page.wait_for_url("**path=code*")
    expect(page.get_by_test_id("code")).to_contain_text("import tracker")
    colors = "all => new Set(all.map(span => span.style.color)).size"
    expect_value(page, lambda: page.locator(".line span").evaluate_all(colors) > 1, True)
    shot(page, "code-dark")
    visit(f"{captured}/team/demo?run=bare&tab=overview")
    expect(page.get_by_text("No facts were captured at the start of this run.")).to_be_visible()
    shot(page, "overview-empty")
