"""Tests of the artifact pages: collections, aliases, files and previews, differences, lineage, keyboard."""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import tracker

from .conftest import expect_address, expect_value

DATA = "street-scenes"


def safetensors_file(path: Path, shapes: dict[str, list[int]]) -> None:
    """Write a safetensors file of zeros."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


class Unsafe:
    """An object whose pickle would create a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return eval, (f"open({str(self.path)!r}, 'w')",)


def log_data(folder: Path) -> None:
    """Log a data set with files of each kind that the page shows."""
    run = tracker.init(project="vision", id="maker", name="make data")
    artifact = tracker.Artifact(DATA, "dataset", description="Scenes <b>of</b> cities", metadata={"n": 3})
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text("def main():\n    return '<script>alert(1)</script>'\n")
    (folder / "settings.json").write_text('{"lr": 0.1, "id": 12345678901234567890}')
    (folder / "raw.bin").write_bytes(bytes(range(256)) * 8)
    artifact.add_dir(str(folder))
    image = tracker.Image(np.full((12, 20, 3), 200, dtype=np.uint8))
    artifact.add(tracker.Table(columns=["shown", "word"], data=[[image, "a word"]]), "predictions")
    artifact.add(image, "picture")
    run.log_artifact(artifact, aliases=["raw"])
    run.finish()


def log_models(folder: Path) -> None:
    """Log three versions of a model, one of them linked into a registry, from runs that used the data set."""
    import torch  # not when all workers collect the tests: it takes seconds

    for at in range(3):
        run = tracker.init(project="vision", id=f"user-{at}", name=f"train {at}")
        run.use_artifact(f"{DATA}:raw")
        model = torch.nn.Sequential(torch.nn.Linear(4, 8 + at // 2), torch.nn.Linear(8 + at // 2, 2))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.zeros(1, 4)).sum().backward()
        optimizer.step()
        checkpoint = {
            "epoch": at,
            "pytorch-lightning_version": "2.6.6",
            "state_dict": model.state_dict(),
            "optimizer_states": [optimizer.state_dict()],
            "hyper_parameters": {"lr": 0.1},
            "unsafe": Unsafe(folder / "ran"),
        }
        torch.save(checkpoint, folder / "last.ckpt")
        torch.save(model.half().state_dict(), folder / "old.pt", _use_new_zipfile_serialization=at == 1)
        safetensors_file(folder / "model.safetensors", {"a.weight": [2, 3 + at], "b": []})
        artifact = tracker.Artifact("model", "model", metadata={"acc": at / 10, f"only{at}": True})
        for name in ("last.ckpt", "old.pt", "model.safetensors"):
            artifact.add_file(str(folder / name))
        with artifact.new_file("train.py") as file:
            file.write("import torch\n" * 20 + f"lr = {at}\n")
        if at > 0:
            with artifact.new_file("new.txt") as file:
                file.write("new\n")
        logged = run.log_artifact(artifact, aliases=["best"] if at == 1 else None)
        logged.wait()
        if at == 1:
            run.link_artifact(logged, "model-registry/approved")
        run.finish()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Log a data set and models. Return the folder in which loading a checkpoint would create a file."""
    data, models = tmp_path / "data", tmp_path / "models"
    data.mkdir()
    models.mkdir()
    log_data(data)
    log_models(models)
    return models


def tensor_rows(page: Page) -> dict[str, str]:
    """Return the shape and the type of each listed tensor by its name."""
    page.evaluate("window.trackerIdle()")
    rows = page.get_by_test_id("tensor")
    rows.first.wait_for()
    cells = rows.evaluate_all(
        "all => all.map(row => [...row.querySelectorAll('th, td')].map(cell => cell.innerText))"
    )
    plain = [[text.replace("\N{MULTIPLICATION SIGN}", "x") for text in row] for row in cells]
    return {name: f"{shape} {dtype}" for name, shape, dtype, _size in plain}


def version_row(page: Page, name: str) -> Locator:
    """Return the row of a version in a table."""
    return page.locator(f'[data-testid="artifact"][data-name="{name}"]')


@pytest.mark.slow
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
    expect(page.get_by_test_id("version-page")).to_contain_text("1,500 files")
    expect(page.get_by_test_id("reference")).to_have_text(
        [(tmp_path / "outside.bin").as_uri(), "s3://bucket/<b>key</b>.bin"]
    )
    expect(page.get_by_test_id("download")).to_have_count(0)
    expect(page.get_by_test_id("artifact-tags")).to_contain_text("v2 data")
    expect(page.get_by_test_id("artifact-expires")).to_contain_text("Can be deleted after")
    page.get_by_test_id("artifact-folder").click()
    expect(page.get_by_test_id("download")).to_have_count(200)
    for at in range(2, 9):
        page.get_by_test_id("more-files").click()
        expect(page.get_by_test_id("download")).to_have_count(min(200 * at, 1498))
    expect(page.get_by_test_id("more-files")).to_have_count(0)
    page.get_by_test_id("file-search").fill("149")
    expect(files).to_have_count(10)  # 0149, 1149, and 1490 to 1497
    expect(files.last).to_have_text("images/1497.png")
    page.get_by_test_id("file-search").fill("")
    page.get_by_test_id("artifact-folder").focus()
    page.keyboard.press("ArrowLeft")
    expect(files).to_have_count(2)
    page.get_by_test_id("section-about").click()
    page.get_by_role("link", name="user", exact=True).click()
    expect_address(page, "/local/elsewhere?run=user")
    visit(f"{page.url.split('/local/')[0]}/local/model-registry?tab=artifacts&artifact=approved:v0")
    expect(files).to_have_count(2)
    page.get_by_test_id("artifact-source").get_by_role("link", name="local/shown/data:v0").click()
    expect_address(page, "/local/shown?")
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "data:v0")
    expect(files).to_have_count(2)


@pytest.mark.slow
def test_contents_and_downloads(serve: Callable, page: Page, visit: Callable, folder: Path) -> None:
    address = f"{serve().url}/local/vision?tab=artifacts&artifact="
    preview = page.get_by_test_id("preview")

    # Previews. A path in the address opens its folders.
    visit(f"{address}{DATA}:raw&path=code/train.py")
    expect(page.locator('[aria-current="true"]', has_text="train.py")).to_be_visible()
    expect(page.get_by_test_id("code")).to_contain_text("return '<script>alert(1)</script>'")
    page.get_by_test_id("artifact-file").filter(has_text="settings.json").click()
    expect(page.get_by_test_id("code")).to_contain_text('"id": 12345678901234567890')
    expect_address(page, "path=settings.json")
    page.get_by_test_id("artifact-file").filter(has_text="raw.bin").click()
    expect(preview).to_contain_text("The file is not a text.")
    page.get_by_test_id("artifact-file").filter(has_text="predictions.table.json").click()
    expect(page.get_by_test_id("table-file")).to_contain_text("a word")
    shown = page.get_by_test_id("table-file").locator("img")
    expect(shown).to_have_js_property("naturalWidth", 20)
    page.get_by_test_id("file-search").fill(".png")
    page.get_by_test_id("artifact-file").filter(has_text=".png").first.click()
    shown = preview.locator("img")
    expect(shown).to_have_js_property("naturalWidth", 20)

    # Headers of checkpoints. Nothing in them is run.
    visit(f"{address}model:v0&path=last.ckpt")
    tensors = tensor_rows(page)
    assert tensors["state_dict.0.weight"] == "8 x 4 float32"
    assert tensors["optimizer_states.0.state.0.exp_avg"] == "8 x 4 float32"
    assert tensors["optimizer_states.0.state.0.step"] == "scalar float32"
    assert len(tensors) == 4 + 4 * 3
    expect(preview).to_contain_text("hyper_parameters.lr")
    expect(preview).to_contain_text("pytorch-lightning_version")
    assert not (folder / "ran").exists()
    for version in ("v0", "v1"):  # the older format, and the newer one
        visit(f"{address}model:{version}&path=old.pt")
        assert tensor_rows(page)["1.bias"] == "2 float16"
    visit(f"{address}model:v2&path=model.safetensors")
    assert tensor_rows(page) == {"a.weight": "2 x 5 float32", "b": "scalar float32"}

    # Downloads of a folder and of all files, and code that fetches the version.
    visit(f"{address}{DATA}:v0")
    with page.expect_download() as waiting:
        page.get_by_test_id("download-folder").first.click()
    with zipfile.ZipFile(waiting.value.path()) as found:
        assert found.namelist() == ["code/train.py"]
    page.get_by_role("button", name=f"Download {DATA}:v0").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="All files as zip").click()
    with zipfile.ZipFile(waiting.value.path()) as found:
        assert {"settings.json", "code/train.py", "raw.bin"} <= set(found.namelist())
    expect(page.get_by_test_id("usage")).to_contain_text(f'run.use_artifact("local/vision/{DATA}:raw")')
    page.get_by_role("button", name="In a shell").click()
    expect(page.get_by_test_id("usage")).to_contain_text(f"tracker artifact get local/vision/{DATA}:raw")


@pytest.mark.slow
def test_differences_and_lineage(serve: Callable, page: Page, visit: Callable, folder: Path) -> None:
    run = tracker.init(project="vision", id="splitter", name="split")
    run.use_artifact(f"{DATA}:raw")
    for at in range(25):
        small_version(run, "part", at)
    run.finish()
    server = serve()
    address = f"{server.url}/local/vision?tab=artifacts&artifact="

    # Differences. Without another version in the address, the one before is taken.
    visit(f"{address}model:v1&section=difference")
    expect(page.get_by_test_id("difference-other")).to_have_value("v0")
    expect(page.get_by_test_id("difference-totals")).to_contain_text("1 file added: 4 B")
    page.get_by_test_id("difference-other").fill("v2")
    page.get_by_role("button", name="Compare").click()
    expect_address(page, "against=v2")
    expect(page.get_by_test_id("metadata-difference").filter(has_text="only1")).to_be_visible()
    page.get_by_test_id("file-difference").filter(has_text="train.py").get_by_role("button").click()
    difference = page.get_by_test_id("difference")
    expect(difference).to_contain_text("lr = 1")
    expect(difference).to_contain_text("lr = 2")
    page.get_by_test_id("file-difference").filter(has_text="last.ckpt").get_by_role("button").click()
    row = page.get_by_test_id("tensor-difference").filter(has_text="state_dict.0.weight")
    expect(row).to_contain_text(re.compile("9 . 4 float32"))
    expect(row).to_contain_text(re.compile("8 . 4 float32"))
    expect(page.get_by_test_id("tensor-difference").filter(has_text="state_dict.1.bias")).to_have_count(0)

    # Lineage: of 25 versions that a run made, 19 are collapsed; each node is a link.
    visit(f"{address}{DATA}:v0&section=lineage")
    nodes = page.get_by_test_id("lineage-node")
    group = page.get_by_test_id("lineage-group")
    expect(page.get_by_test_id("lineage-count")).to_contain_text("5 runs, 30 versions")
    expect(group).to_have_text("and 19 versions")
    expect(nodes).to_have_count(10 + 6)
    group.focus()
    page.keyboard.press("Enter")
    expect(nodes).to_have_count(10 + 25)
    page.get_by_role("button", name="List", exact=True).click()
    made = page.get_by_test_id("lineage-list").get_by_label("Made from it")
    expect(made.get_by_role("link", name="part:v24")).to_be_visible()
    page.get_by_role("button", name="Graph", exact=True).click()
    page.locator('[data-id="version:local/vision/model:v1"]').click()
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "model:v1")
    expect_address(page, "section=lineage")
    page.get_by_test_id("section-about").click()
    expect(page.get_by_test_id("links")).to_contain_text("model-registry/approved:v0")

    # A run lists what it logged, and the open version below.
    visit(f"{server.url}/local/vision?run=user-1&tab=artifacts&artifact=model:v1")
    expect(version_row(page, "model:v1")).to_be_visible()
    expect(page.get_by_test_id("artifact-file")).to_have_count(5)


def small_version(run: tracker.Run, name: str, at: int, aliases: list[str] | None = None) -> None:
    """Log a version with one shared and one own file."""
    artifact = tracker.Artifact(name, "model" if name == "model" else "data", metadata={"at": at})
    for path, text in (("shared.txt", "shared" * 100), ("own.txt", str(at))):
        with artifact.new_file(path) as file:
            file.write(text)
    run.log_artifact(artifact, aliases=aliases)


@pytest.mark.slow
def test_edits_and_the_keyboard(serve: Callable, page: Page, visit: Callable) -> None:
    run = tracker.init(project="edits", id="maker")
    for at in range(3):
        small_version(run, "model", at, ["best"] if at == 1 else None)
    small_version(run, "other", 0)
    run.finish()
    server = serve()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    address = f"{server.url}/local/edits?tab=artifacts"
    api = tracker.Api()

    def aliases(version: str) -> list[str]:
        return sorted(api.artifact(f"edits/model:{version}").aliases)

    # Without a pointer: from the project to the name of the best version, on the clipboard.
    visit(f"{server.url}/local/edits")
    page.get_by_test_id("tab-artifacts").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("collection")).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("model")
    page.keyboard.press("Tab")
    page.keyboard.press("j")
    expect(page.locator("[data-row]:focus")).to_have_text("model")
    page.keyboard.press("Enter")
    expect(version_row(page, "model:v1")).to_contain_text("best")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(page.get_by_test_id("toast")).to_contain_text("Copied local/edits/model:best")
    expect_value(page, lambda: page.evaluate("navigator.clipboard.readText()"), "local/edits/model:best")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "model:v1")

    # Aliases: moved, taken back, added, removed.
    visit(f"{address}&artifact=model")
    expect(page.get_by_test_id("artifact-sizes")).to_contain_text("saved")
    page.get_by_role("button", name="Add an alias to v2").click()
    expect(page.get_by_label("New alias of v2")).to_be_focused()
    page.keyboard.type("v7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("cannot look like a version")
    page.get_by_label("New alias of v2").fill("best")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("toast").last).to_contain_text("Moved best from v1 to v2")
    expect(version_row(page, "model:v2")).to_contain_text("best")
    expect(version_row(page, "model:v1")).not_to_contain_text("best")
    expect_value(page, lambda: aliases("v2"), ["best", "latest"])
    page.get_by_test_id("toast").last.get_by_role("button", name="Undo").click()
    expect(version_row(page, "model:v1")).to_contain_text("best")
    page.get_by_role("button", name="Remove the alias best of v1").click()
    expect(version_row(page, "model:v1")).not_to_contain_text("best")
    expect_value(page, lambda: aliases("v1"), [])
    page.get_by_test_id("toast").last.get_by_role("button", name="Undo").click()
    expect(version_row(page, "model:v1")).to_contain_text("best")

    # The texts of a collection and of a version.
    page.get_by_role("button", name="Edit the description").click()
    page.get_by_label("description", exact=True).fill("*All* models")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("collection-page").get_by_test_id("markdown")).to_have_text("All models")
    page.get_by_role("button", name="Edit the tags").click()
    page.get_by_label("tags", exact=True).fill("released, v2 data")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("collection-tags").locator(".chip")).to_have_text(["released", "v2 data"])
    visit(f"{address}&artifact=model:v0&section=about")
    page.get_by_role("button", name="Edit the metadata").click()
    page.get_by_label("metadata", exact=True).fill("[1]")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Metadata is a JSON object")
    page.get_by_label("metadata", exact=True).fill('{"epoch": 3, "of": {"depth": 2}}')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Metadata")).to_contain_text("of.depth")
    metadata = {"epoch": 3, "of": {"depth": 2}}
    expect_value(page, lambda: api.artifact("edits/model:v0").metadata, metadata)
    page.get_by_label("Lifetime of the version").select_option("30")
    expect(page.get_by_test_id("lifetime")).to_contain_text("Can be deleted after")
    page.get_by_test_id("toast").last.get_by_role("button", name="Undo").click()
    expect(page.get_by_test_id("lifetime")).to_have_text("Stays")

    # An address with an alias that moves away stays at its version.
    visit(f"{address}&artifact=model:best")
    page.get_by_role("button", name="Remove the alias best of v1").click()
    expect(page.get_by_test_id("toast").last).to_contain_text("Removed best")
    page.wait_for_url(re.compile("artifact=model%3Av1"))
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "model:v1")
    page.get_by_role("button", name="Delete model:v1").click()
    page.get_by_role("button", name="Delete model:v1, confirmed").click()
    expect(page.get_by_test_id("artifact")).to_have_count(2)
    page.allowed_errors.append("404")  # type: ignore[attr-defined]
    visit(f"{address}&artifact=model:v1")
    expect(page.get_by_role("alert")).to_contain_text("v1")
    visit(f"{address}&artifact=nothing")
    expect(page.get_by_role("alert")).to_contain_text("no artifact collection “nothing”")


def test_registry_and_versions_of_logged_tables(serve: Callable, page: Page, visit: Callable) -> None:
    run = tracker.init(project="linking")
    small_version(run, "model", 1, ["best"])
    run.log({"words": tracker.Table(columns=["word"], data=[["a"]])})
    run.link_artifact(run.use_artifact("model:best"), "model-registry/released", aliases=["production"])
    run.finish()
    url = serve().url
    visit(f"{url}/local/linking?tab=artifacts")
    # Each logged table makes a version: they come last, and are shown on request.
    expect(page.get_by_test_id("collection")).to_have_count(1)
    page.get_by_role("button", name="run_table").click()
    expect(page.get_by_test_id("collection")).to_have_count(2)

    page.get_by_test_id("registry-link").click()
    page.wait_for_url("**section=registry*")
    row = page.get_by_test_id("registered")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("model-registry/released")
    expect(row.get_by_role("link", name="local/linking/model:v0")).to_be_visible()
    page.get_by_label("Search the registry").fill("nothing")
    expect(page.get_by_text("No collection has “nothing” in its name.")).to_be_visible()
    page.get_by_label("Search the registry").fill("")
    row.get_by_role("link", name="production").click()
    expect(page.get_by_test_id("version-page")).to_have_attribute("data-name", "released:v0")
    expect(page.get_by_test_id("artifact-source")).to_contain_text("local/linking/model:v0")
