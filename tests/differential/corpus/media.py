"""Logged media: history values and files."""

from __future__ import annotations

import io
import wave

import numpy as np
import wandb
from PIL import Image as PillowImage

from differential.script import ABSENT, Seen, differs, script

PIXELS = (np.arange(4 * 5 * 3) % 256).astype(np.uint8).reshape(4, 5, 3)
GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)


def _wave() -> bytes:
    """Return a mono WAV file of ten samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.arange(10, dtype="<i2").tobytes())
    return file.getvalue()


_STEP = {
    "wandb": "the file name has the previous step when `step` jumps",
    "tracker": "the file name has the step of the row",
    "because": "the name contains the step: media/images/KEY_STEP_HASH20.png",
}


@differs(
    "runs/0/files/media/images/val/img_1_<hash>.png",
    ABSENT,
    **_STEP,
)
@differs(
    "runs/0/files/media/images/val/img_7_<hash>.png",
    [{"format": "PNG", "mode": "RGB", "size": [5, 4], "pixels": "e64dc410872989e7b13b0a7046ee648f"}],
    **_STEP,
)
@differs(
    "runs/0/history/1/val/img/path",
    "media/images/val/img_7_<hash>.png",
    **_STEP,
)
@differs(
    "runs/0/summary/val/img/path",
    "media/images/val/img_7_<hash>.png",
    **_STEP,
)
@script
def image_of_an_array(seen: Seen) -> None:
    run = wandb.init(project="demo")
    image = wandb.Image(PIXELS, caption="a picture")
    seen("format", image.format)
    run.log({"img": image})
    run.log({"val/img": wandb.Image(PIXELS)}, step=7)
    run.finish()


_SCALED = {
    "wandb": "0.31 truncates floats and bools to integers: such an image is black",
    "tracker": "scales them, as older releases of wandb did",
    "because": "wandb/wandb#2722, wandb/wandb#6287; docs/decisions/0031",
}


@differs(
    "runs/0/files/media/images/bool_4_<hash>.png/0/pixels", "c82c10697e79c73ec97ffe0af599639b", **_SCALED
)
@differs(
    "runs/0/files/media/images/float_3_<hash>.png/0/pixels", "ecf19c7d5a1183571d1414b257fffa39", **_SCALED
)
@script
def images_of_many_kinds(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"grey": wandb.Image(GREY)})
    run.log({"one channel": wandb.Image(GREY[..., None])})
    run.log({"rgba": wandb.Image(np.dstack([PIXELS, GREY]))})
    run.log({"float": wandb.Image(np.linspace(0, 1, 20).reshape(4, 5))})
    run.log({"bool": wandb.Image(GREY > 10)})
    run.log({"pillow": wandb.Image(PillowImage.fromarray(PIXELS))})
    run.log({"mode": wandb.Image(PillowImage.fromarray(GREY), mode="RGB")})
    run.log({"jpg": wandb.Image(PIXELS, file_type="jpg")})
    run.finish()


@differs(
    "runs/0/files/media/images/float_1_<hash>.png/0/pixels", "f740c6c2f96544e50a7559156f136161", **_SCALED
)
@script
def image_of_a_tensor(seen: Seen) -> None:
    import torch

    run = wandb.init(project="demo")
    run.log({"chw": wandb.Image(torch.arange(60, dtype=torch.uint8).reshape(3, 4, 5))})
    run.log({"float": wandb.Image(torch.linspace(0, 1, 60).reshape(3, 4, 5))})
    run.log({"grey": wandb.Image(torch.arange(20, dtype=torch.uint8).reshape(1, 4, 5))})
    run.finish()


@script
def image_of_a_file(seen: Seen) -> None:
    PillowImage.fromarray(PIXELS).save("mine.png")
    PillowImage.fromarray(PIXELS).save("mine.bmp")
    run = wandb.init(project="demo")
    run.log({"png": wandb.Image("mine.png", caption="from a file"), "bmp": wandb.Image("mine.bmp")})
    with seen.error("missing"):
        wandb.Image("nowhere.png")
    run.finish()


@script
def list_of_images(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"same": [wandb.Image(PIXELS, caption=str(at)) for at in range(2)]})
    run.log({"other": [wandb.Image(PIXELS), wandb.Image(PIXELS[::-1])], "one": [wandb.Image(PIXELS)]})
    run.finish()


@script
def list_of_images_of_two_sizes(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"sizes": [wandb.Image(PIXELS), wandb.Image(PIXELS[:2], caption="only one")]})
    run.finish()


@script
def masks(seen: Seen) -> None:
    run = wandb.init(project="demo")
    labels = {0: "sky", 1: "road"}
    truth = {"mask_data": (GREY > 9).astype(np.uint8), "class_labels": labels}
    run.log({"img": wandb.Image(PIXELS, masks={"ground_truth": truth})})
    run.finish()


@script
def boxes(seen: Seen) -> None:
    run = wandb.init(project="demo")
    box = {
        "position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4},
        "class_id": 1,
        "box_caption": "a cat",
        "scores": {"acc": 0.5},
    }
    pixel = {"position": {"middle": [2, 2], "width": 2, "height": 1}, "class_id": 0, "domain": "pixel"}
    predictions = {"box_data": [box, pixel], "class_labels": {0: "dog", 1: "cat"}}
    run.log({"img": wandb.Image(PIXELS, boxes={"predictions": predictions})})
    run.finish()


@script
def wrong_boxes_and_masks(seen: Seen) -> None:
    wandb.init(project="demo")
    with seen.error("box without position"):
        wandb.Image(PIXELS, boxes={"p": {"box_data": [{"class_id": 1}]}})
    with seen.error("class id"):
        place = {"middle": [2, 2], "width": 2, "height": 1}
        wandb.Image(PIXELS, boxes={"p": {"box_data": [{"position": place, "class_id": "cat"}]}})
    with seen.error("no mask data"):
        wandb.Image(PIXELS, masks={"p": {"class_labels": {0: "a"}}})
    with seen.error("mask of three dimensions"):
        wandb.Image(PIXELS, masks={"p": {"mask_data": PIXELS}})
    with seen.error("file type"):
        wandb.Image(PIXELS, file_type="tga")
    with seen.error("nothing"):
        wandb.Image(None)
    wandb.finish()


@differs(
    "seen/not finite",
    {"raised": []},
    wandb="raises ValueError, so that the first NaN ends a training",
    tracker="counts the finite values",
    because="wandb/wandb#955, wandb/wandb#984",
)
@script
def histograms(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"of a list": wandb.Histogram([1, 2, 2, 3, 3, 3])})
    run.log({"bins": wandb.Histogram(np.arange(10.0), num_bins=5)})
    run.log({"ready": wandb.Histogram(np_histogram=np.histogram([1, 2, 3], bins=3))})
    run.log({"constant": wandb.Histogram([2.0, 2.0], num_bins=2)})
    with seen.error("too many"):
        wandb.Histogram([1], num_bins=1000)
    with seen.error("not finite"):
        wandb.Histogram([1.0, float("nan")])
    with seen.error("shape"):
        wandb.Histogram(np_histogram=([1, 2], [1, 2]))
    run.finish()


@script
def audio(seen: Seen) -> None:
    with open("mine.wav", "wb") as file:
        file.write(_wave())
    run = wandb.init(project="demo")
    run.log({"file": wandb.Audio("mine.wav", sample_rate=8000, caption="a sound")})
    run.log({"list": [wandb.Audio("mine.wav", caption="one"), wandb.Audio("mine.wav")]})
    with seen.error("no rate"):
        wandb.Audio(np.zeros(10))
    run.finish()


@script
def audio_of_an_array(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"array": wandb.Audio(np.linspace(-0.5, 0.5, 100), sample_rate=8000)})
    run.finish()


@script
def video_of_a_file(seen: Seen) -> None:
    with open("mine.mp4", "wb") as file:
        file.write(b"no real film")
    run = wandb.init(project="demo")
    run.log({"film": wandb.Video("mine.mp4", caption="a film")})
    run.log({"bytes": wandb.Video(io.BytesIO(b"frames"), format="webm")})
    with seen.error("ending"):
        wandb.Video("mine.avi")
    with seen.error("format"):
        wandb.Video(np.zeros((2, 3, 4, 4), np.uint8), format="xyz")
    run.finish()


@script
def html(seen: Seen) -> None:
    with open("page.html", "w") as file:
        file.write("<html><head></head><body>from a file</body></html>")
    run = wandb.init(project="demo")
    run.log({"text": wandb.Html("<b>bold</b>")})
    run.log({"plain": wandb.Html("<html><head></head><body>x</body></html>", inject=False)})
    run.log({"file": wandb.Html("page.html"), "stream": wandb.Html(io.StringIO("<i>it</i>"))})
    run.log({"not a path": wandb.Html("page.html", data_is_not_path=True)})
    run.finish()


@script
def point_clouds(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"xyz": wandb.Object3D(np.arange(9.0).reshape(3, 3))})
    run.log({"class": wandb.Object3D(np.arange(8.0).reshape(2, 4), caption="with classes")})
    run.log({"rgb": wandb.Object3D(np.arange(12.0).reshape(2, 6))})
    scene = {"type": "lidar/beta", "points": np.array([[0.0, 1, 2]]), "boxes": np.array([])}
    run.log({"scene": wandb.Object3D(scene)})
    with seen.error("two columns"):
        wandb.Object3D(np.zeros((3, 2)))
    with seen.error("one dimension"):
        wandb.Object3D(np.zeros(3))
    run.finish()


@script
def meshes(seen: Seen) -> None:
    with open("mesh.obj", "w") as file:
        file.write("v 0 0 0\n")
    run = wandb.init(project="demo")
    run.log({"mesh": wandb.Object3D("mesh.obj", caption="a mesh")})
    run.log({"stream": wandb.Object3D(io.StringIO("v 1 1 1\n"), file_type="obj")})
    with open("mesh.xyz", "w") as file:
        file.write("nothing")
    with seen.error("ending"):
        wandb.Object3D("mesh.xyz")
    run.finish()


@script
def molecules(seen: Seen) -> None:
    with open("water.pdb", "w") as file:
        file.write("HETATM    1  O   HOH\n")
    run = wandb.init(project="demo")
    run.log({"pdb": wandb.Molecule("water.pdb", caption="water")})
    run.log({"stream": wandb.Molecule(io.StringIO("HETATM"), file_type="pdb")})
    with seen.error("ending"):
        wandb.Molecule("water.txt")
    run.finish()


@script
def matplotlib_figure(seen: Seen) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(1, 1), dpi=40)
    axes.set_axis_off()
    run = wandb.init(project="demo")
    run.log({"figure as an image": wandb.Image(figure)})
    run.finish()


@script
def media_in_summary_and_config(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.summary["picture"] = wandb.Image(PIXELS)
    run.summary["histogram"] = wandb.Histogram([1, 2], num_bins=2)
    with seen.error("config"):
        run.config["picture"] = wandb.Image(PIXELS)
    run.finish()


@script
def media_in_nested_dicts(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"samples": {"first": wandb.Image(PIXELS), "n": 1}, "x": 1})
    run.finish()


@script
def mixed_list(seen: Seen) -> None:
    run = wandb.init(project="demo")
    with seen.error("list"):
        run.log({"mixed": [wandb.Image(PIXELS), 3]})
    run.finish()
