"""Screens of a store with fixed contents, as pictures that are equal on each machine with the same Chromium.

``test_baselines.py`` compares them with the files in ``baselines/``. ``take_pictures.py --baselines`` writes
these.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scripts
from builders import START, Writer, apply_all, end_segments, seal_all
from PIL import Image
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run
from tracker.store.store import Store

from .filled_store import FACTS, PLACE, log_media, write_captured

FOLDER = Path(__file__).with_name("baselines")
# Chromium draws text and lines equally with these flags, whatever display and fonts the machine has.
FLAGS = (
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
)
DESKTOP, PHONE = (1280, 800), (390, 844)
NOW = START + 3 * 3600
# A pixel differs if one of its channels differs by more than this.
PIXEL = 24
# The share of pixels that may differ: about 100 on a screen, less than a button.
SHARE = 0.0001


@dataclass(frozen=True)
class Screen:
    """A screen: its address, size and colours, and what is done on the page before the picture."""

    path: str
    scheme: str = "light"
    size: tuple[int, int] = DESKTOP
    act: Callable[[Page], None] = lambda page: None


def open_palette(page: Page) -> None:
    """Open the command palette and search in it."""
    page.keyboard.press("Control+k")
    palette = page.get_by_test_id("palette")
    palette.get_by_role("combobox").fill("acc")
    palette.get_by_role("option", name="val/accuracy").wait_for()


SWEEP = "team/sweep"
SCREENS = {
    "projects": Screen(""),
    "workspace": Screen(f"{SWEEP}?show=*"),
    "workspace-dark": Screen(f"{SWEEP}?show=*&q=config.optimizer:adam&logy=1&smooth=ema:0.6", scheme="dark"),
    "workspace-phone": Screen(SWEEP, size=PHONE),
    "runs": Screen(f"{SWEEP}?tab=runs&pin=train2&baseline=train2"),
    "runs-grouped": Screen(f"{SWEEP}?tab=runs&group=-seed", scheme="dark"),
    "compare": Screen(f"{SWEEP}?tab=compare&runs=train0,train3"),
    "run-overview": Screen(f"{PLACE}?run=captured&tab=overview"),
    "run-logs": Screen(f"{PLACE}?run=captured&tab=logs", scheme="dark"),
    "run-system": Screen(f"{PLACE}?run=captured&tab=system"),
    "run-media": Screen(f"{PLACE}?run=media&tab=images"),
    "run-tables": Screen(f"{PLACE}?run=media&tab=tables", size=PHONE),
    "artifact": Screen(f"{PLACE}?tab=artifacts&artifact=model:v1&path=settings.json"),
    "lineage": Screen(f"{PLACE}?tab=artifacts&artifact=model:v1&section=lineage", scheme="dark"),
    "palette": Screen(f"{SWEEP}?tab=runs", act=open_palette),
}


def fill_fixed(folder: Path) -> Path:
    """Fill the store ``folder``/tracker-store with fixed contents and times; return its path."""
    path = folder / "tracker-store"
    store = open_store(path)
    for at in range(12):
        _write_training(store, at)
    write_captured(store.layout)
    _write_versions(store)
    single = Writer(store.layout, "5" * 32, "single", entity="team", project="speech", start=START)
    single.log({"loss": 1.0})
    single.finish()
    apply_all(store, final=True)
    end_segments(store)
    seal_all(store)
    store.close()
    log_media(path)
    store = open_store(path)
    _date_media(store)
    store.close()
    return path


def _date_media(store: Store) -> None:
    """Give the run that the logger wrote a fixed time, host and program."""
    of_media = select(Run).where(Run.run_id == "media", Run.state == "finished")

    def is_applied() -> bool:
        with store.reading() as session:
            return session.scalars(of_media).first() is not None

    scripts.wait_for(is_applied, "the recorder")
    with store.writing() as session:
        run = session.scalars(of_media).one()
        run.created_at, run.updated_at, run.finished_at, run.duration = START, START + 90, START + 90, 90.0
        run.host, run.program, run.last_seen = "node1", "train.py", None


def _write_training(store: Store, at: int) -> None:
    optimizer, lr, seed = ("adam", "sgd")[at % 2], (0.1, 0.01)[at // 2 % 2], at // 4
    writer = Writer(
        store.layout,
        f"{at + 1:032x}",
        f"train{at}",
        project="sweep",
        start=START + 600 * (at + 1),
        name=f"vit-{optimizer}-{lr}-seed{seed}",
        group=f"{optimizer}-{lr}",
        tags=["sweep", optimizer],
        config={"lr": lr, "optimizer": optimizer, "seed": seed, "model": {"depth": 3 + at % 2}},
        notes="# Baseline\nSee *the note*." if at == 0 else None,
    )
    writer.file("wandb-metadata.json", json.dumps({**FACTS, "args": ["--lr", str(lr)]}).encode())
    for step in range(60):
        decay = math.exp(-step / (14 + 8 * (at % 2) + at))
        wave = math.sin(step * (at + 2)) * 0.05
        loss = math.nan if at == 1 and step == 20 else 2.3 * decay + 0.2 + wave * decay + lr
        row = {
            "train/loss": loss,
            "val/loss": 2.4 * decay + 0.3 + wave,
            "val/accuracy": 0.96 - 0.9 * decay + wave / 4,
        }
        writer.log({**row, "lr": lr * (1 - step / 60)})
    writer.finish(*(("failed", 1, "ValueError: the loss is not finite") if at == 3 else ()))


def _write_versions(store: Store) -> None:
    maker = Writer(store.layout, "a" * 32, "maker", project="vision", name="makes data", start=START + 6000)
    maker.artifact(
        "digits", {"train.csv": b"id,label\n1,7\n", "README.md": b"# Digits\n"}, description="digits"
    )
    maker.finish()
    user = Writer(store.layout, "b" * 32, "user", project="vision", name="uses data", start=START + 7000)
    user.use("digits", 0, project="vision")
    for version, aliases in enumerate((["best"], ["latest"])):
        settings = json.dumps({"epoch": version, "lr": 0.1}).encode()
        files = {"weights.bin": bytes([version]) * 4000, "settings.json": settings}
        user.artifact("model", files, aliases, artifact_type="model", metadata={"epoch": version})
    user.finish()


# Draws all texts with the fonts of matplotlib. A canvas names its font itself.
FIX = """
({ sans, mono }) => {
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    for (const [name, text] of [["fixed", sans], ["fixed-mono", mono]]) {
        document.fonts.add(new FontFace(name, bytes(text)));
    }
    const own = Object.getOwnPropertyDescriptor(CanvasRenderingContext2D.prototype, "font");
    const set = function (value) { own.set.call(this, value.replace(/(px|em)\\s.*/, "$1 fixed")); };
    Object.defineProperty(CanvasRenderingContext2D.prototype, "font", { ...own, set });
    const style = new CSSStyleSheet();
    style.replaceSync(`
        body { font-family: fixed !important }
        :root { --mono: fixed-mono !important }
        *, *::before, *::after {
            caret-color: transparent !important; animation: none !important; transition: none !important
        }
    `);
    document.adoptedStyleSheets.push(style);
}
"""


def _fixing_script() -> str:
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    texts = {
        name: base64.b64encode((fonts / f"{file}.ttf").read_bytes()).decode()
        for name, file in (("sans", "DejaVuSans"), ("mono", "DejaVuSansMono"))
    }
    return f"({FIX.strip()})({json.dumps(texts)})"


@contextmanager
def fixed_page(browser: Browser, url: str, screen: Screen) -> Iterator[Page]:
    """Open a screen whose time, fonts and language are fixed, and wait until it is complete."""
    width, height = screen.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if screen.scheme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.add_init_script(_fixing_script())
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    page.goto(f"{url}/{screen.path}")
    page.evaluate("window.trackerIdle()")
    screen.act(page)
    page.evaluate("window.trackerIdle()")
    yield page
    context.close()


def photograph(page: Page) -> Image.Image:
    """Return the picture of a page."""
    page.mouse.move(0, 0)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture as a small PNG: with 17 values in each channel, which is less than `PIXEL` apart."""
    rounded = np.minimum(255, (np.asarray(picture, dtype=np.int16) + 8) // 16 * 16)
    small = Image.fromarray(rounded.astype(np.uint8))
    if small.getcolors(256):
        small = small.quantize(256, dither=Image.Dither.NONE)
    small.save(path, "PNG", optimize=True)


def difference(found: Image.Image, wanted: Image.Image) -> tuple[float, Image.Image]:
    """Return the share of pixels that differ, and a picture in which these are red on the pale baseline."""
    if found.size != wanted.size:
        return 1.0, wanted
    old, new = (np.asarray(picture, dtype=np.int16) for picture in (wanted, found))
    differs = np.abs(old - new).max(axis=2) > PIXEL
    shown = (old // 4 + 190).astype(np.uint8)
    shown[differs] = (220, 0, 0)
    return float(differs.mean()), Image.fromarray(shown)
