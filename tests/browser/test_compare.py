"""Tests of the page that compares runs: what changed, where curves part, media, tables and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import Writer, apply_all
from playwright.sync_api import Page, expect

import tracker
from tracker.store.store import Store

from .conftest import expect_address, expect_value

PARTED = 1_234


def log_pair() -> list[str]:
    """Log two runs that are equal up to a step, and return their ids."""
    ids = []
    for at, seed in enumerate((1, 2)):
        run = tracker.init(project="pair", name=f"run {at}", config={"lr": 0.1, "seed": seed})
        for step in range(3_000):
            run.log({"loss": 1 / (step + 1) + (0.5 if at == 1 and step >= PARTED else 0.0), "same": step})
        run.log({"shown": tracker.Image(np.full((8, 8), at * 1.0), caption=f"of run {at}")})
        table = tracker.Table(columns=["word", "score"], data=[["kept", 1], ["other", at]])
        run.log({"words": table})
        ids.append(run.id)
        run.finish()
    return ids


def test_two_runs_are_compared(serve: Callable, page: Page, visit: Callable) -> None:
    first, second = log_pair()
    visit(f"{serve().url}/local/pair?tab=compare&runs={first},{second}")
    expect(page.get_by_test_id("compared-run")).to_have_count(2)
    config = page.locator('[data-testid=compared][data-title="Config"]')
    expect(config).to_contain_text("1 difference")
    expect(config.get_by_text("seed")).to_be_visible()
    expect(config.get_by_text("lr", exact=True)).to_have_count(0)
    page.get_by_label("Only differences").uncheck()
    expect(config.get_by_text("lr", exact=True)).to_be_visible()
    expect(page.get_by_test_id("parting")).to_contain_text("parts from “run 0” first at step 1,234, in loss")
    expect(page.get_by_text("of run 0")).to_be_attached()
    expect(page.get_by_text("of run 1")).to_be_attached()
    tables = page.get_by_test_id("compared-tables")
    expect(tables).to_contain_text("1 changed")
    expect(tables.get_by_role("row").filter(has_text="other")).to_contain_text("0 1")

    page.get_by_role("button", name="Remove run 1").click()
    expect(page.get_by_test_id("compared-run")).to_have_count(1)
    page.get_by_label("Add a run").fill("run 1")
    page.evaluate("window.trackerIdle()")
    page.get_by_label("Add a run").press("Enter")
    expect(page.get_by_test_id("compared-run")).to_have_count(2)
    expect_address(page, f"runs={first}")
    expect_address(page, second)


def test_facts_and_files_of_two_runs_are_compared(
    serve: Callable, page: Page, visit: Callable, store: Store
) -> None:
    for at, args in enumerate((["--lr", "0.1"], ["--lr", "0.2"])):
        writer = Writer(store.layout, str(at) * 32, f"run{at}")
        metadata = {"program": "train.py", "args": args, "gpu": "H200", "startedAt": f"2026-01-0{at + 1}"}
        writer.file("wandb-metadata.json", json.dumps(metadata).encode())
        writer.file("requirements.txt", b"numpy==2.0.0\n")
        writer.file("diff.patch", f"+ kept\n+ seed = {at}\n".encode())
        writer.finish()
    apply_all(store)
    visit(f"{serve().url}/team/demo?tab=compare&runs=run0,run1")
    code = page.locator('[data-testid=compared][data-title="Command and code"]')
    expect(code).to_contain_text("2 differences")
    expect(code).to_contain_text("0.2")
    expect(code).to_contain_text("diff.patch")
    expect(page.locator('[data-testid=compared][data-title="Packages"]')).to_contain_text(
        "no difference in 1 key"
    )
    expect(page.get_by_text("startedAt")).to_have_count(0)
    expect(page.get_by_test_id("compared-files")).to_contain_text("1 file of 2 differ")
    expect(page.get_by_role("button", name="requirements.txt")).to_have_count(0)
    page.get_by_role("button", name="diff.patch").click()
    difference = page.get_by_test_id("difference")
    expect(difference).to_contain_text("seed = 0")
    expect(difference).to_contain_text("seed = 1")


def log_several(folder: Path, count: int) -> list[str]:
    """Log runs whose code, media and tables differ at each of two steps. Return their ids."""
    script = folder / "code" / "model.py"
    script.parent.mkdir()
    ids = []
    for at in range(count):
        run = tracker.init(
            project="several", name=f"run {at} " + "long" * 50 * (at == 1), config={"lr": 0.5 * at}
        )
        script.write_text(f"layers = {at}\n")
        run.log_code(str(script.parent))
        for step in (0, 10):
            picture = tracker.Image(np.full((8, 8), at * 1.0), caption=f"run {at} at {step}")
            table = tracker.Table(
                columns=["word", "picture"], data=[["kept", picture], [f"{at}-{step}", picture]]
            )
            run.log({"loss": at * step, "shown": picture, "words": table}, step=step)
        ids.append(run.id)
        run.finish()
    return ids


@pytest.mark.slow
def test_several_runs_are_compared_with_a_baseline(
    serve: Callable, page: Page, visit: Callable, tmp_path: Path
) -> None:
    first, second, third = log_several(tmp_path, 3)
    url = serve().url
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    visit(f"{url}/local/several?tab=compare&runs={first},{second},{third},gone")
    expect(page.get_by_text("Run “gone” does not exist")).to_be_visible()
    names = page.get_by_test_id("compared-run")
    expect(names).to_have_count(3)
    # A long name does not push the other columns out of the page.
    expect_value(page, lambda: names.nth(2).bounding_box()["x"] < 1400, True)  # type: ignore[index]
    changed = page.get_by_test_id("what-changed")
    expect(changed).to_contain_text("Changed: Config (1), Command and code (1).")
    config = page.locator('[data-testid=compared][data-title="Config"]')
    expect(config).to_contain_text("+1")

    partings = page.get_by_test_id("parting").get_by_role("listitem")
    expect(partings).to_have_count(2)
    expect(partings.nth(1)).to_contain_text("“run 2” parts from “run 0” first at step 10, in loss")
    names.nth(2).get_by_role("button", name="Use run 2 as baseline").click()
    expect(names.nth(0)).to_contain_text("run 2")
    expect_address(page, f"baseline={third}")
    expect(partings.nth(0)).to_contain_text("“run 0” parts from “run 2”")
    expect(config).to_contain_text("\u22121 (\u2212100%)")

    page.get_by_role("button", name="code/model.py").click()
    difference = page.get_by_test_id("difference")
    expect(difference).to_contain_text("layers = 2")
    expect(difference).to_contain_text("layers = 0")
    page.get_by_label("Run whose files and tables are compared").select_option(second)
    expect(difference).to_contain_text("layers = 1")

    tables = page.get_by_test_id("compared-tables")
    expect(tables).to_contain_text("Step 10")
    page.get_by_label("Step of all media", exact=True).press("ArrowLeft")
    for at in range(3):
        expect(page.get_by_text(f"run {at} at 0")).to_be_attached()
    expect(tables).to_contain_text("Step 0")
    expect(tables.get_by_role("row").filter(has_text="2-0")).to_contain_text("1-0")
    tables.get_by_role("button", name="Enlarge").first.click()
    expect(page.get_by_test_id("enlarged")).to_be_visible()

    # The page of a run shows the same code.
    visit(f"{url}/local/several?run={third}&tab=code")
    expect(page.get_by_test_id("code")).to_contain_text("layers = 2")


def test_equal_runs_say_so(serve: Callable, page: Page, visit: Callable) -> None:
    ids = []
    for _ in range(2):
        run = tracker.init(project="equal", config={"lr": 0.1})
        run.log({"loss": 1.0})
        ids.append(run.id)
        run.finish()
    visit(f"{serve().url}/local/equal?tab=compare&runs={','.join(ids)}")
    expect(page.get_by_test_id("what-changed")).to_have_text("Equal: Config.")
    expect(page.get_by_test_id("parting")).to_contain_text("has equal values at every step that both logged")
