"""Tests of the artifact page: pages of files, references, tags, lifetime, links and users."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

import tracker


def test_files_are_shown_in_pages(serve: Callable, page: Page, visit: Callable, tmp_path: Path) -> None:
    run = tracker.init(project="shown", id="maker")
    artifact = tracker.Artifact("data", "dataset", description="Many files", metadata={"n": 1500})
    for at in range(1498):
        with artifact.new_file(f"images/{at:04}.png", "wb") as file:
            file.write(os.urandom(50 + at))
    (tmp_path / "outside.bin").write_bytes(b"outside")
    artifact.add_reference((tmp_path / "outside.bin").as_uri(), name="a-reference.bin")
    artifact.add_reference("s3://bucket/<b>key</b>.bin", name="b-reference.bin", checksum=False)
    artifact.ttl = timedelta(days=30)
    run.log_artifact(artifact, aliases=["best"], tags=["clean", "v2 data"])
    run.link_artifact(artifact, "model-registry/approved")
    run.finish()
    user = tracker.init(project="elsewhere", id="user")
    user.use_artifact("shown/data:best")
    user.finish()
    visit(f"{serve().url}/local/shown?tab=artifacts&artifact=data:v0")
    files = page.get_by_test_id("artifact-file")
    expect(files).to_have_count(200)
    expect(page.locator("caption")).to_contain_text("1,500 files")
    expect(page.get_by_test_id("reference")).to_have_text(
        [(tmp_path / "outside.bin").as_uri(), "s3://bucket/<b>key</b>.bin"]
    )
    expect(page.get_by_test_id("download")).to_have_count(198)
    expect(page.get_by_test_id("artifact-tags")).to_contain_text("v2 data")
    expect(page.get_by_test_id("artifact-expires")).to_contain_text("Can be deleted after")
    if target := os.environ.get("SCREENSHOT"):
        page.screenshot(path=f"{target}/top.png")
    for at in range(2, 9):
        page.get_by_test_id("more-files").click()
        expect(files).to_have_count(min(200 * at, 1500))
    expect(page.get_by_test_id("more-files")).to_have_count(0)
    expect(files.last).to_contain_text("images/1497.png")
    if target:
        page.get_by_text("Used by").scroll_into_view_if_needed()
        page.screenshot(path=f"{target}/bottom.png")
    page.get_by_role("link", name="user", exact=True).click()
    page.evaluate("window.trackerIdle()")
    assert "/local/elsewhere?run=user" in page.url
    visit(f"{page.url.split('/local/')[0]}/local/model-registry?tab=artifacts&artifact=approved:v0")
    if target:
        page.screenshot(path=f"{target}/link.png")
    expect(files).to_have_count(200)
    page.get_by_test_id("artifact-source").get_by_role("link", name="local/shown/data:v0").click()
    page.evaluate("window.trackerIdle()")
    assert "/local/shown?" in page.url
    expect(page.get_by_test_id("artifact")).to_have_attribute("data-name", "data:v0")
    expect(files).to_have_count(200)
