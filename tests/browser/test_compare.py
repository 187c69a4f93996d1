"""Tests of the page that compares runs: what changed, where curves part, media, tables and files."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from builders import Writer, apply_all
from playwright.sync_api import Page, expect

import tracker
from tracker.store.store import Store

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
    expect(page.get_by_test_id("parting")).to_contain_text("part first at step 1,234, in loss")
    expect(page.get_by_text("of run 0")).to_be_attached()
    expect(page.get_by_text("of run 1")).to_be_attached()
    tables = page.get_by_test_id("compared-tables")
    expect(tables).to_contain_text("1 changed")
    expect(tables.get_by_role("row").filter(has_text="other")).to_contain_text("0 1")

    page.get_by_role("button", name="Remove run 1").click()
    expect(page.get_by_test_id("compared-run")).to_have_count(1)
    page.get_by_label("Add a run").select_option(label="run 1")
    expect(page.get_by_test_id("compared-run")).to_have_count(2)
    assert f"runs={first}" in page.url
    assert second in page.url


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
    expect(code).to_contain_text("1 difference")
    expect(code).to_contain_text("0.2")
    expect(page.locator('[data-testid=compared][data-title="Packages"]')).to_contain_text(
        "no difference in 1 key"
    )
    expect(page.get_by_text("startedAt")).to_have_count(0)
    page.get_by_role("button", name="requirements.txt").click()
    expect(page.get_by_text("requirements.txt is equal in both runs.")).to_be_visible()
    page.get_by_role("button", name="diff.patch").click()
    difference = page.get_by_test_id("difference")
    expect(difference).to_contain_text("seed = 0")
    expect(difference).to_contain_text("seed = 1")
