"""Images: pixels, masks, boxes, classes, lists, figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from media_files import content, logged

import tracker
from tracker.sdk.run.run import Run

pytestmark = pytest.mark.usefixtures("without_recorder")

CLASSES = {0: "road", 1: "car"}


@pytest.fixture
def run() -> Run:
    return tracker.init(project="p", id="abc", settings={"silent": True})


def annotated(**more: Any) -> tracker.Image:
    box = {
        "position": {"middle": [0.5, 0.5], "width": 0.1, "height": 0.2},
        "class_id": 1,
        "scores": {"s": 0.5},
    }
    return tracker.Image(
        np.zeros((4, 6, 3), dtype=np.uint8),
        caption="c",
        masks={"p": {"mask_data": np.eye(4, 6, dtype=np.uint8), "class_labels": CLASSES}},
        boxes={"b": {"box_data": [box], "class_labels": CLASSES}},
        **more,
    )


def test_masks_boxes_and_classes(run: Run) -> None:
    run.log({"im": annotated(grouping=2), "many": [annotated(), tracker.Image(np.ones((4, 6)))]})
    run.finish()
    (row,) = logged(run)
    one, many = row["im"], row["many"]
    # The digests are those of the real client for the same image and boxes.
    assert one["path"] == "media/images/im_0_d6a441bfe7e8f09712a9.png"
    assert (one["format"], one["width"], one["height"], one["grouping"]) == ("png", 6, 4, 2)
    assert one["boxes"]["b"]["_type"] == "boxes2D"
    assert one["boxes"]["b"]["path"].startswith("media/metadata/boxes2D/im_0_")
    mask = one["masks"]["p"]
    assert (mask["_type"], mask["path"]) == ("mask", f"media/images/mask/im_0_{mask['sha256'][:20]}.mask.png")
    assert np.asarray(PIL.Image.open(io.BytesIO(content(mask)))).tolist() == np.eye(4, 6).tolist()
    assert many["captions"] == ["c", None]
    assert many["all_masks"][1] is many["all_boxes"][1] is None
    labels = tracker.Api().run(run.path)._info.config["_wandb"]["mask/class_labels"]["im_wandb_delimeter_p"]
    assert labels["value"] == {"0": "road", "1": "car"}
    assert "_wandb" not in run.config.as_dict()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ({"box_data": [{}]}, "must contain a position"),
        ({"box_data": {}}, "must be a list"),
        ({"box_data": [], "class_labels": {"a": "b"}}, "numbers to string"),
    ],
)
def test_bad_boxes(boxes: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        tracker.Image(np.zeros((2, 2)), boxes={"b": boxes})


def test_bad_masks_and_arguments() -> None:
    for mask, message in (
        ({}, "Missing key"),
        ({"mask_data": np.zeros(3)}, "2D array"),
        ({"mask_data": np.full((2, 2), 300)}, "between 0 and 255"),
    ):
        with pytest.raises((TypeError, KeyError), match=message):
            tracker.Image(np.zeros((2, 2)), masks={"m": mask})
    with pytest.raises(ValueError, match='"boxes" argument must be a dictionary'):
        tracker.Image(np.zeros((2, 2)), boxes=[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="file_type must be one of"):
        tracker.Image(np.zeros((2, 2)), file_type="gif")


def test_pixels() -> None:
    torch = pytest.importorskip("torch")

    def pixels(image: tracker.Image) -> Any:
        return np.asarray(image.image)

    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3))
    assert (pixels(tracker.Image(rgb)) == rgb).all()
    assert (pixels(tracker.Image(torch.tensor(rgb).permute(2, 0, 1).to(torch.uint8))) == rgb).all()
    assert pixels(tracker.Image(torch.rand(1, 3, 4, 5))).shape == (4, 5, 3)
    # An image of floats within 0..1 is not black: see docs/decisions/0031.
    assert pixels(tracker.Image(np.full((2, 2), 0.5))).max() == 127
    assert pixels(tracker.Image(np.full((2, 2), 0.5), normalize=False)).max() == 0
    assert tracker.Image(rgb, mode="L").image.mode == "L"
    jpeg = tracker.Image(np.zeros((4, 4, 4)), file_type="jpg")
    assert (jpeg.format, PIL.Image.open(io.BytesIO(jpeg.data)).mode) == ("jpg", "RGB")


def test_an_image_file_is_not_converted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.tiff"
    PIL.Image.new("RGB", (3, 2)).save(path)
    data = path.read_bytes()
    image = tracker.Image(path, caption="odd")
    path.unlink()
    run.log({"i": image, "copy": tracker.Image(image, caption="copy")})
    run.finish()
    (row,) = logged(run)
    assert content(row["i"]) == data
    assert (row["i"]["format"], row["copy"]["caption"], row["copy"]["width"]) == ("tiff", "copy", 3)
    with pytest.raises(FileNotFoundError):
        tracker.Image(str(tmp_path / "odd.tiff"))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(tracker.UsageError, match="Cannot read an image from"):
        tracker.Image(str(tmp_path / "text.png"))


def test_figures(run: Run) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plotly = pytest.importorskip("plotly.graph_objects")
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    run.log({"plt": plt, "figure": figure, "axes": axes, "image": tracker.Image(plt)})
    axes.imshow(np.zeros((2, 2)))
    run.log({"with image": figure, "plotly": plotly.Figure(data=plotly.Scatter(y=np.arange(100)))})
    plt.close(figure)
    run.finish()
    first, second = logged(run)
    assert {first[key]["_type"] for key in ("plt", "figure", "axes")} == {"plotly-file"}
    assert (first["image"]["width"], first["image"]["height"]) == (640, 480)
    assert second["with image"]["_type"] == "image-file"
    import json

    stored = json.loads(content(second["plotly"]))
    assert stored["data"][0]["type"] == "scatter"
    with pytest.raises(ValueError, match="must be plotly figures"):
        tracker.Plotly("text")


def test_many_images(run: Run) -> None:
    images = [tracker.Image(np.full((2, 2), at, dtype=np.uint8)) for at in range(110)]
    run.log({"many": images})
    run.finish()
    assert logged(run)[0]["many"]["count"] == tracker.Image.MAX_ITEMS == 108
