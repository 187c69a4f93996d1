"""The images of ``tracker top``: half blocks, odd files, and the panel with the media of a run."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.style import Style
from top_screens import Screen, begin, drive

import tracker
from tracker.api.history import stream_rows
from tracker.cli.top import pictures, reads
from tracker.cli.top.media_items import MediaItem, media_items
from tracker.cli.top.pictures import half_blocks
from tracker.cli.top.reads import tiles_of
from tracker.errors import UsageError
from tracker.store.blobs.content import BlobStore

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "tracker-store"


def content(image: Any, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def colors(style: Style) -> tuple[Any, Any]:
    """Return the upper and the lower pixel of a half block."""
    found = [None if each is None else tuple(each.get_truecolor()) for each in (style.color, style.bgcolor)]
    return found[0], found[1]


def drawn(data: bytes, columns: int, rows: int, *, dark: bool = True, true_color: bool = True) -> Any:
    return [[colors(style) for style in row] for row in half_blocks(data, columns, rows, dark, true_color)]


def test_a_half_block_has_two_pixels() -> None:
    pixels = np.array([[RED, BLUE], [BLUE, RED], [RED, RED]], np.uint8)
    assert drawn(content(pixels), 2, 2) == [[(RED, BLUE), (BLUE, RED)], [(RED, None), (RED, None)]]


@pytest.mark.parametrize(
    ("size", "space", "expected"),
    [
        ((100, 50), (20, 20), (20, 5)),
        ((50, 100), (20, 20), (20, 20)),
        ((4, 4), (20, 20), (20, 10)),  # small images are enlarged
        ((5000, 1), (30, 9), (30, 1)),
        ((1, 5000), (30, 9), (1, 9)),
    ],
)
def test_an_image_fits_and_keeps_its_aspect(size: Any, space: Any, expected: Any) -> None:
    found = drawn(content(Image.new("RGB", size, RED)), *space)
    assert (len(found[0]), len(found)) == expected


def test_images_of_all_modes_are_drawn() -> None:
    clear = np.zeros((2, 1, 4), np.uint8)
    assert drawn(content(clear), 1, 1) == [[((18, 18, 18),) * 2]]
    assert drawn(content(clear), 1, 1, dark=False) == [[((239, 239, 239),) * 2]]
    deep = np.array([[1000], [3000]], np.uint16)
    assert drawn(content(deep), 1, 1) == [[((0, 0, 0), (255, 255, 255))]]
    floats = np.array([[np.nan], [0.5], [1.0], [np.inf]], np.float32)
    assert [each for row in drawn(content(floats, "tiff"), 1, 2) for each in row[0]] == [
        *[(0, 0, 0)] * 2,
        *[(255, 255, 255)] * 2,
    ]
    for mode, kind in (
        ("1", "png"),
        ("L", "png"),
        ("P", "gif"),
        ("CMYK", "jpeg"),
        ("LA", "png"),
        ("I", "tiff"),
    ):
        ((cell,),) = drawn(content(Image.new(mode, (2, 2)), kind), 1, 1)
        assert len(set(cell) - {None}) == 1


def test_256_colors_are_the_closest_ones() -> None:
    pixels = np.array([[(250, 10, 120)], [(101, 99, 100)]], np.uint8)
    assert drawn(content(pixels), 1, 1, true_color=False) == [[((255, 0, 135), (98, 98, 98))]]


def test_files_that_cannot_be_drawn_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(np.random.default_rng(0).integers(0, 256, (50, 50, 3)).astype(np.uint8))
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        for data in (b"", b"hello", whole[:300], whole[:2000], whole[:100] + b"\xff" * 4000):
            with pytest.raises(UsageError, match="cannot be read"):
                half_blocks(data, 10, 10, True, True)
        # A header is enough: the pixels of a large image are never decoded.
        huge = content(Image.new("1", (10_000, 10_000)))
        with pytest.raises(UsageError, match="10000 x 10000 pixels are too many: only 32 million"):
            half_blocks(huge[:200], 10, 10, True, True)
    assert not noted
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pillow. Run: pip install 'airgap-tracker\[top\]'"):
        half_blocks(whole, 10, 10, True, True)


def test_a_large_jpeg_is_decoded_at_a_smaller_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_PIXELS", 300 * 300)
    image = Image.new("L", (2000, 2000), 128)
    assert len(drawn(content(image, "jpeg"), 20, 10)) == 10
    with pytest.raises(UsageError, match="too many"):  # its coefficients would all be in memory
        drawn(content(image, "jpeg", progressive=True), 20, 10)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (
            {"_type": "image-file", "path": "a.png", "caption": "c", "size": 3},
            [("image-file", "a.png", "c", 3)],
        ),
        (
            {"_type": "images/separated", "filenames": ["a", "b", 3], "captions": ["x"]},
            [("images/separated", "a", "x", None), ("images/separated", "b", "", None)],
        ),
        (
            {"_type": "videos", "videos": [{"_type": "video-file", "path": "v"}, None], "captions": False},
            [("video-file", "v", "", None)],
        ),
        (
            {"_type": "audio", "audio": [{"_type": "audio-file", "path": "v"}], "captions": ["beep"]},
            [("audio-file", "v", "beep", None)],
        ),
        (
            [{"_type": "image-file", "path": "a"}, {"_type": "html-file", "path": "h"}, 1],
            [("image-file", "a", "", None), ("html-file", "h", "", None)],
        ),
        ({"_type": "image-file", "path": 3, "size": "x"}, []),
        ({"_type": ["x"]}, []),
        ({"filenames": ["a"]}, []),
        (None, []),
    ],
)
def test_media_items_of_a_value(value: Any, items: list[Any]) -> None:
    assert [tuple(each) for each in media_items(value)] == items


def test_a_line_of_a_media_item_has_no_control_characters() -> None:
    item = MediaItem("audio-file", "media/audio/a\x1b[2J.wav", "a\nb", 2000)
    assert item.line() == "audio-file  ab  2.0 kB  a.wav"


def test_tiles_are_as_large_as_possible() -> None:
    assert tiles_of(0, 100, 40) == []
    assert tiles_of(1, 100, 40) == [(1, 0, 40, 100)]
    assert [each[:2] for each in tiles_of(3, 90, 40)] == [(1, 0), (1, 45), (21, 0)]
    assert len(tiles_of(100, 90, 40)) == 3 * 4
    for height in range(12):
        for width in (0, 1, 200):
            assert all(each.row + each.height <= height + 1 for each in tiles_of(9, width, height))


def block_styles(screen: Screen) -> set[Any]:
    """Return the colours of the half blocks on the panel."""
    panel = screen.app.query_one("#media")
    segments = [each for y in range(panel.size.height) for each in panel.render_line(y)]
    return {color for text, style, _ in segments if "▀" in text and style for color in colors(style)} - {None}


def image(color: Any, caption: str | None = None) -> Any:
    return tracker.Image(Image.new("RGB", (8, 8), color), caption=caption)


def test_media_in_nested_dicts_and_under_keys_with_other_values_are_shown(store: Path) -> None:
    run = begin(store, "digits", "nested")
    run.log({"val": {"deep": {"one": image(RED)}, "loss": 1.0}, "mixed": image(BLUE), "other": {"a": [1]}})
    run.log({"mixed": 3.0})
    run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.press("6")
        await screen.wait_for("media", "step 0  1 of 1", "─ mixed ─", "─ val.deep.one ─")
        assert block_styles(screen) >= {RED, BLUE}

    drive(store, scenario, size=(130, 40))


def test_the_media_panel_steps_and_follows(store: Path, tmp_path: Path) -> None:
    run = begin(store, "digits", "live")
    run.log({"a": image(RED, "the first"), "loss": 1.0})
    run.log({"loss": 1.0})
    sound = tracker.Audio(np.zeros(8), sample_rate=8, caption="a beep")
    run.log({"a": image(BLUE, "the second"), "b": [image(BLUE), image(BLUE)], "sound": sound})

    async def scenario(screen: Screen) -> None:
        await screen.press("6", "enter")
        await screen.wait_for(
            "media", "step 2  2 of 2", "─ a ─", "─ b[0] ─", "─ b[1] ─", "step 2  the second"
        )
        await screen.wait_for("media", "sound  step 2  audio-file  a beep  ")
        assert block_styles(screen) == {BLUE}
        await screen.press("left")
        await screen.wait_for("media", "step 0  1 of 2", "step 0  the first")
        await screen.until(lambda: RED in block_styles(screen), "media")
        await screen.press("left", "right")
        await screen.wait_for("media", "step 2  2 of 2")
        # A new step is shown, because the newest was.
        run.log({"a": image((0, 255, 0), "the third")})
        await screen.wait_for("media", "step 3  3 of 3", "step 3  the third", "step 2 ")
        assert (0, 255, 0) in block_styles(screen)
        await screen.press("home")
        await screen.wait_for("media", "step 0  1 of 3")
        run.log({"a": image(RED, "the fourth")})
        await screen.wait_for("media", "step 0  1 of 4")
        await screen.press("end", "down", "enter")
        await screen.until(lambda: "─ a ─" not in screen.text("media"), "media")
        await screen.wait_for("media", "─ b[0] ─", "image 2 of 3")
        await screen.press("down", "down", "escape")
        await screen.wait_for("media", "─ a ─", "─ b[1] ─")
        await screen.type("f", "a")
        await screen.until(lambda: "b[0]" not in screen.text("media"), "media")
        await screen.type("f", "nosuch")
        await screen.wait_for("media", "No media match.")
        await screen.press("escape")
        await screen.until(lambda: screen.app.table.has_focus)

    drive(store, scenario, size=(130, 40))
    run.finish()


def test_odd_files_are_lines_of_the_media_panel(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(store, "digits", "odd")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    run.save(str(tmp_path / "bad.png"), base_path=str(tmp_path), policy="now")
    odd = {"bad": "bad.png", "none": "nosuch\x1b[2J.png", "away": "https://example.org/a.png"}
    run.log({key: {"_type": "image-file", "path": path} for key, path in odd.items()} | {"fine": image(RED)})
    run.finish()

    async def scenario(screen: Screen) -> None:
        await screen.press("6")
        await screen.wait_for(
            "media",
            "─ bad ─",
            "This image cannot be read: cannot",
            "The run has no file nosuch.png",
            "The image is at https://example.org/a.png",
        )
        assert block_styles(screen) == {RED}
        monkeypatch.setattr("tracker.cli.top.reads.MOST_BYTES", 10)
        screen.app._source._pictures.clear()
        await screen.press("d")
        await screen.wait_for("media", "is too large to be drawn")

    drive(store, scenario, size=(150, 30))


def test_only_new_rows_and_other_images_are_read_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(store, "digits", "live")
    for step in range(5):
        run.log({"a": image(RED), "step": step})
    firsts: list[int | None] = []
    read_blobs: list[str] = []
    chunks = BlobStore.chunks

    def spied_rows(*given: Any) -> Any:
        firsts.append(given[3])
        return stream_rows(*given)

    def spied_chunks(self: Any, sha256: str) -> Any:
        read_blobs.append(sha256)
        return chunks(self, sha256)

    monkeypatch.setattr(reads, "stream_rows", spied_rows)
    monkeypatch.setattr(BlobStore, "chunks", spied_chunks)

    async def scenario(screen: Screen) -> None:
        await screen.press("6")
        await screen.wait_for("media", "step 4  5 of 5")
        run.log({"other": 1.0})
        run.log({"a": image(BLUE)})
        await screen.wait_for("media", "step 6  6 of 6")

    drive(store, scenario)
    run.finish()
    assert firsts == [None, 4]
    assert len(read_blobs) == 2
