"""Takes the pictures of docs/dashboard.md: `python -m tests.browser.take_pictures`, in the root of a clone.

It logs a sweep and a run with all data types into a temporary store, serves it, and photographs the dashboard
with Chromium. Each picture is scaled down until it is small enough for the repository.

With `--baselines`, it takes the pictures of `test_baselines.py` instead, or only those that it names.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the modules that pytest finds by its setting `pythonpath`

from serving import serving  # noqa: E402

from tests.browser import baselines  # noqa: E402
from tests.browser.conftest import launched  # noqa: E402
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
    """Write the pictures to docs/pictures, or to tests/browser/baselines."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TRACKER_CONFIG_DIR"] = folder
        if sys.argv[1:2] == ["--baselines"]:
            take_baselines(Path(folder), sys.argv[2:])
        else:
            take_all(Path(folder))


def take_all(folder: Path) -> None:
    """Take the pictures of the documentation."""
    target = ROOT / "docs" / "pictures"
    target.mkdir(exist_ok=True)
    store = fill(folder, seeds=5, steps=200)
    with serving(store, key=True) as server, launched() as browser:
        for name, (path, scheme) in PICTURES.items():
            taken = take(browser, server.url, path, scheme, name)
            (target / f"{name}.png").write_bytes(taken)
            print(f"docs/pictures/{name}.png: {len(taken) / 1000:.0f} kB")


def take_baselines(folder: Path, names: list[str]) -> None:
    """Take the pictures with which `test_baselines.py` compares; all without names."""
    baselines.FOLDER.mkdir(exist_ok=True)
    with serving(baselines.fill_fixed(folder)) as server, launched(*baselines.FLAGS) as browser:
        for name in names or baselines.SCREENS:
            path = baselines.FOLDER / f"{name}.png"
            with baselines.fixed_page(browser, server.url, baselines.SCREENS[name]) as page:
                baselines.save(baselines.photograph(page), path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


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
        baselines.open_palette(page)
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    return small(picture)


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
