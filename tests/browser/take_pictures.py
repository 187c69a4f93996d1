"""Takes the pictures of docs/dashboard.md: `python -m tests.browser.take_pictures`, in the root of a clone.

It logs a sweep and a run with all data types into a temporary store, serves it, and photographs the dashboard
with Chromium. Each picture is scaled down until it is small enough for the repository.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the modules that pytest finds by its setting `pythonpath`

from serving import serving  # noqa: E402

from tests.browser.filled_store import ADMIN, PASSWORD, PLACE, fill  # noqa: E402

SIZE = {"width": 1440, "height": 900}
LARGEST_BYTES = 150_000
# Name of the picture: address of the page and colour scheme.
PICTURES = {
    "projects": ("", "light"),
    "workspace": (f"{PLACE}?q=tag:sweep&show=*", "light"),
    "runs": (f"{PLACE}?tab=runs&q=tag:sweep", "light"),
    "compare": (f"{PLACE}?tab=compare&runs=train1,train2,train3", "light"),
    "run": (f"{PLACE}?run=media&tab=images", "light"),
    "artifact": (f"{PLACE}?tab=artifacts&artifact=model:v1", "light"),
    "palette": (PLACE, "dark"),
}


def main() -> None:
    """Write the pictures to docs/pictures."""
    target = ROOT / "docs" / "pictures"
    target.mkdir(exist_ok=True)
    names = ("chromium", "chromium-browser", "chromium-headless-shell")
    chromium = next(filter(None, map(shutil.which, names)), None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TRACKER_CONFIG_DIR"] = folder
        store = fill(Path(folder), seeds=5, steps=200)
        with serving(store, key=True) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            for name, (path, scheme) in PICTURES.items():
                taken = take(browser, server.url, path, scheme, name)
                (target / f"{name}.png").write_bytes(taken)
                print(f"docs/pictures/{name}.png: {len(taken) / 1000:.0f} kB")
            browser.close()


def take(browser: Browser, url: str, path: str, scheme: str, name: str) -> bytes:
    """Return the picture of a page."""
    context = browser.new_context(
        viewport=SIZE,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    credentials = {"name": ADMIN, "password": PASSWORD}
    context.request.post(f"{url}/api/v1/session", data=credentials, headers={"x-tracker-dashboard": "1"})
    page = context.new_page()
    page.goto(f"{url}/{path}")
    page.evaluate("window.trackerIdle()")
    if name == "palette":
        open_palette(page)
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    return small(picture)


def open_palette(page: Page) -> None:
    """Open the command palette and search in it."""
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette").get_by_role("combobox").fill("acc")
    page.get_by_test_id("palette").get_by_role("option", name="val/accuracy").wait_for()


def small(picture: Image.Image) -> bytes:
    """Return a picture as PNG with 256 colours, scaled down until it is small enough."""
    for width in (picture.width, 1280, 1120, 960, 800):
        scaled = picture.convert("RGB").resize(
            (width, picture.height * width // picture.width), Image.Resampling.LANCZOS
        )
        written = io.BytesIO()
        scaled.quantize(256, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
        if written.tell() <= LARGEST_BYTES:
            break
    return written.getvalue()


if __name__ == "__main__":
    main()
