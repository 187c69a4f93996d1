"""Media with Lightning: images, texts, tables, audio, videos, 3D objects and molecules."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import pytorch_lightning as pl
import torch
from training import DOOR, IMAGES, LABELS, Model, WandbLogger, loader, trainer, wandb


def content(run: Any, kept: dict[str, Any] | str) -> bytes:
    """Return the path of a run's file that a history value names."""
    path = kept if isinstance(kept, str) else kept["path"]
    return Path(run.file(path).download(root="read", replace=True).name).read_bytes()


def only_run() -> tuple[Any, list[dict[str, Any]]]:
    """End the run and return it from the Api with its rows."""
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    return run, run.history(pandas=False)


def test_log_image_of_tensors_arrays_pictures_and_paths(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (4, 6), (255, 0, 0))
    picture.save(tmp_path / "red.png")
    logger = WandbLogger(project="MNIST")
    images = [torch.ones(3, 6, 4), np.zeros((6, 4), np.uint8), picture, str(tmp_path / "red.png")]
    logger.log_image("samples", images, step=7, caption=["tensor", "array", "picture", "path"])
    logger.log_image("plain", [IMAGES[0]])
    run, (first, second) = only_run()
    kept = first["samples"]
    assert (kept["_type"], kept["count"], kept["width"], kept["height"]) == ("images/separated", 4, 4, 6)
    assert kept["captions"] == ["tensor", "array", "picture", "path"]
    assert first["trainer/global_step"] == 7
    pictures = [PIL.Image.open(io.BytesIO(content(run, path))).convert("RGB") for path in kept["filenames"]]
    assert [picture.getpixel((0, 0)) for picture in pictures] == [
        (1, 1, 1) if DOOR == "3" else (255, 255, 255),  # the real wandb scales no image of equal pixels
        (0, 0, 0),
        (255, 0, 0),
        (255, 0, 0),
    ]
    assert second["plain"]["count"] == 1


def test_log_image_with_boxes_and_masks() -> None:
    logger = WandbLogger(project="MNIST")
    names = {0: "background", 1: "digit"}
    box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.6}, "class_id": 1}
    boxes = {"predictions": {"box_data": [box], "class_labels": names}}
    mask = {"predictions": {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": names}}
    logger.log_image("marked", [IMAGES[0]], boxes=[boxes], masks=[mask])
    run, (row,) = only_run()
    (kept_boxes,) = row["marked"]["all_boxes"]
    assert json.loads(content(run, kept_boxes["predictions"]))["box_data"][0]["class_id"] == 1
    (kept_masks,) = row["marked"]["all_masks"]
    with PIL.Image.open(io.BytesIO(content(run, kept_masks["predictions"]))) as image:
        assert np.asarray(image).tolist() == np.eye(4).tolist()


def test_log_image_reports_invalid_arguments() -> None:
    logger = WandbLogger(project="MNIST")
    with pytest.raises(TypeError, match='Expected a list as "images"'):
        logger.log_image("images", IMAGES[0])
    with pytest.raises(ValueError, match="Expected 1 items but only found 2 for caption"):
        logger.log_image("images", [IMAGES[0]], caption=["a", "b"])
    with pytest.raises(TypeError, match='Expected a list as "audios"'):
        logger.log_audio("audios", np.zeros(8))
    with pytest.raises(TypeError, match='Expected a list as "videos"'):
        logger.log_video("videos", np.zeros((2, 3, 4, 4)))


def test_log_text_of_rows_and_of_a_dataframe() -> None:
    columns = ["input", "label", "prediction"]
    data = [["cheese", "english", "english"], ["fromage", "french", "spanish"]]
    logger = WandbLogger(project="MNIST")
    logger.log_text(key="rows", columns=columns, data=data)
    logger.log_text(key="frame", dataframe=pd.DataFrame(data, columns=columns), step=3)
    run, (first, second) = only_run()
    for kept in (first["rows"], second["frame"]):
        assert (kept["_type"], kept["ncols"], kept["nrows"]) == ("table-file", 3, 2)
        table = json.loads(content(run, kept))
        assert (table["columns"], table["data"]) == (columns, data)
    assert second["trainer/global_step"] == 3


def test_log_table_with_images_and_sounds() -> None:
    pytest.importorskip("soundfile")
    logger = WandbLogger(project="MNIST")
    sound = wandb.Audio(np.zeros(80, np.float32), sample_rate=8000, caption="silence")
    data = [["one", wandb.Image(IMAGES[0]), sound], ["none", None, None]]
    logger.log_table(key="samples", columns=["name", "image", "sound"], data=data)
    run_id = logger.experiment.id
    run, (row,) = only_run()
    table = json.loads(content(run, row["samples"]))
    assert [cell and cell["_type"] for cell in table["data"][0][1:]] == ["image-file", "audio-file"]
    assert table["data"][1] == ["none", None, None]
    with PIL.Image.open(io.BytesIO(content(run, table["data"][0][1]))) as image:
        assert image.size == (4, 4)
    # The table is also logged as an artifact and can be read from it.
    artifact = wandb.Api().artifact(f"MNIST/run-{run_id}-samples:latest", type="run_table")
    assert artifact.get("samples").columns == ["name", "image", "sound"]


def test_log_audio_of_arrays_and_paths(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "tone.wav", np.zeros(80), 8000)
    logger = WandbLogger(project="MNIST")
    logger.log_audio("one", [np.ones(40)], sample_rate=[4000], caption=["a tone"])
    logger.log_audio("two", [str(tmp_path / "tone.wav"), np.zeros(10)], step=5, sample_rate=[8000, 8000])
    run, (first, second) = only_run()
    (kept,) = first["one"]["audio"]
    assert (kept["_type"], kept["caption"]) == ("audio-file", "a tone")
    samples, rate = soundfile.read(io.BytesIO(content(run, kept)))
    assert (len(samples), rate) == (40, 4000)
    assert second["two"]["count"] == 2
    assert content(run, second["two"]["audio"][0]) == (tmp_path / "tone.wav").read_bytes()


def test_log_video_of_paths_and_arrays(tmp_path: Path) -> None:
    frames = [PIL.Image.new("L", (8, 8), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    logger = WandbLogger(project="MNIST")
    logger.log_video("films", [str(tmp_path / "film.gif")], caption=["dark, then light"])
    run, (row,) = only_run()
    (kept,) = row["films"]["videos"]
    assert kept["_type"] == "video-file"
    assert content(run, kept) == (tmp_path / "film.gif").read_bytes()


@pytest.mark.parametrize(("form", "at", "magic"), [("gif", 0, b"GIF"), ("mp4", 4, b"ftyp")])
def test_log_video_of_an_array(form: str, at: int, magic: bytes) -> None:
    logger = WandbLogger(project="MNIST")
    logger.log_video("film", [np.zeros((2, 3, 8, 8), np.uint8)], fps=[2], format=[form])
    run, (row,) = only_run()
    (kept,) = row["film"]["videos"]
    assert content(run, kept)[at:].startswith(magic)


def test_a_solid_and_a_molecule() -> None:
    logger = WandbLogger(project="MNIST")
    points = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    Path("water.pdb").write_text("ATOM      1  O   HOH A   1       0.000   0.000   0.000\nEND\n")
    logger.log_metrics({"cloud": wandb.Object3D(points), "water": wandb.Molecule("water.pdb")}, step=2)
    run, (row,) = only_run()
    assert (row["cloud"]["_type"], row["water"]["_type"]) == ("object3D-file", "molecule-file")
    assert json.loads(content(run, row["cloud"])) == points.tolist()
    assert content(run, row["water"]) == Path("water.pdb").read_bytes()


class LogPredictionSamples(pl.Callback):
    """A callback that logs the predictions for the first batch of each validation."""

    def __init__(self, logger: Any, variant: str) -> None:
        self.logger = logger
        self.variant = variant

    def on_validation_batch_end(
        self, trainer: Any, module: Any, _outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx != 0:
            return
        images, labels = batch
        predictions = module(images).argmax(1)
        captions = [f"truth {y} - prediction {p}" for y, p in zip(labels, predictions, strict=True)]
        columns = ["image", "ground truth", "prediction"]
        data = [[wandb.Image(x), y, p] for x, y, p in zip(images, labels, predictions, strict=True)]
        if self.variant == "logger":
            self.logger.log_image(key="sample_images", images=list(images), caption=captions)
            self.logger.log_table(key="sample_table", columns=columns, data=data)
        else:
            trainer.logger.experiment.log(
                {
                    "sample_images": [
                        wandb.Image(x, caption=text) for x, text in zip(images, captions, strict=True)
                    ],
                    "sample_table": wandb.Table(columns=columns, data=data),
                }
            )


@pytest.mark.parametrize("variant", ["logger", "experiment"])
def test_prediction_samples(variant: str) -> None:
    logger = WandbLogger(project="MNIST")
    callback = LogPredictionSamples(logger, variant)
    trainer(logger, epochs=2, callbacks=[callback], enable_checkpointing=False).fit(
        Model(), loader(), loader()
    )
    run, rows = only_run()
    shown = [row["sample_images"] for row in rows if "sample_images" in row]
    assert [kept["count"] for kept in shown] == [4, 4]
    assert [caption.split()[1] for caption in shown[0]["captions"]] == [str(int(y)) for y in LABELS[:4]]
    tables = [row["sample_table"] for row in rows if "sample_table" in row]
    assert [kept["nrows"] for kept in tables] == [4, 4]
    table = json.loads(content(run, tables[-1]))
    assert [cells[1] for cells in table["data"]] == LABELS[:4].tolist()
    assert [row["train_loss"] for row in rows if "train_loss" in row]
