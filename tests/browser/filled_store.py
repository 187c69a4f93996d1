"""A store with every kind of logged data, for tests that visit all pages and for the pictures of the docs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from builders import Writer, apply_all

import tracker
from server.accounts.passwords import hash_password
from tracker import plot
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.recorder.open_store import open_store
from tracker.store.ingest.people import Actor, changing_people
from tracker.store.objects.layout import Layout

ADMIN, READER = "ada", "vera"
PASSWORD = "correct horse battery"
PLACE = "team/vision"
LONG = "a run with a very long name that no column of any table is wide enough for " * 2
FACTS = {
    "os": "Linux-6.1",
    "program": "/home/me/code/train.py",
    "codePathLocal": "train.py",
    "args": ["--lr", "0.1", "--name", "two words"],
    "git": {"remote": "https://example.com/me/code.git", "commit": "c0ffee" * 6},
    "host": "node1",
}
OPTIMISERS = ("adam", "sgd")


def fill(folder: Path, seeds: int = 3, steps: int = 60) -> Path:
    """Fill the store ``folder``/tracker-store; return its path.

    Args:
        folder: An existing folder.
        seeds: The number of runs of each setting of the sweep.
        steps: The number of rows of each run of the sweep.
    """
    store = folder / "tracker-store"
    opened = open_store(store)
    write_captured(opened.layout)
    apply_all(opened)
    opened.close()
    for at in range(2 * 2 * seeds):
        _log_training(store, at, steps)
    log_media(store)
    _log_versions(store)
    _start(store, "single", project="a-project-with-a-long-name-" * 2).finish()
    opened = open_store(store)
    with changing_people(opened, Actor("test")) as change:
        change.add_user(ADMIN, full_name="Ada Lovelace", is_admin=True, password=hash_password(PASSWORD))
        change.add_user(READER, password=hash_password(PASSWORD))
        change.set_role(READER, "team", "vision", "viewer")
        change.set_private("team", "vision", True)
    opened.close()
    return store


def _start(store: Path, run_id: str, **options: object) -> tracker.Run:
    place = {"entity": "team", "project": "vision", **options}
    settings = {"store": store, "silent": True}
    return tracker.init(id=run_id, reinit="create_new", settings=settings, **place)  # type: ignore[arg-type]


def _log_training(store: Path, at: int, steps: int) -> None:
    lr, optimiser, seed = (0.1, 0.01)[at % 2], OPTIMISERS[at // 2 % 2], at // 4
    config = {"lr": lr, "optimizer": optimiser, "seed": seed, "model": {"depth": 3 + at % 2, "name": "vit"}}
    run = _start(
        store,
        f"train{at}",
        name=LONG if at == 0 else f"vit-{optimiser}-{lr}-seed{seed}",
        group=f"{optimiser}-{lr}",
        job_type="train",
        tags=["sweep", optimiser],
        config=config,
        notes="# Baseline\nSee *the note*.",
    )
    random = np.random.default_rng(at)
    speed = {"adam": 14, "sgd": 22}[optimiser] * (1.5 if lr < 0.05 else 1)
    for step in range(steps):
        decay = math.exp(-step / speed)
        noise = random.normal() * 0.04
        loss = math.nan if at == 1 and step == 20 else 2.3 * decay + 0.2 + noise * decay + lr / 2
        run.log(
            {
                "train/loss": loss,
                "train/accuracy": 1 - decay + noise / 5,
                "val/loss": 2.4 * decay + 0.3 + noise,
                "val/accuracy": 0.96 - 0.9 * decay + noise / 4,
                "lr": lr * (1 - step / steps),
                "grad/norm": 1 + abs(noise) * 20 * decay,
            }
        )
    if at == 2:
        run.alert("Loss is high", "The loss was above 2.", level="WARN")
    if at == 3:
        run.fail("ValueError: the loss is not finite")
    else:
        run.finish()


def log_media(store: Path) -> None:
    run = _start(store, "media", name="all data types", notes="Every data type in one run.")
    classes = {0: "nothing", 1: "car", 2: "tree"}
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:20, 5:30], mask[25:40, 30:60] = 1, 2
    truth = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.5}, "class_id": 1}
    guess = {**truth, "class_id": 2, "scores": {"score": 0.8}}
    for step in range(3):
        pixels = np.tile(np.linspace(step * 40, 255, 64), (48, 1)).astype(np.uint8)
        image = tracker.Image(
            pixels,
            caption=f"sample {step}",
            masks={"prediction": {"mask_data": mask, "class_labels": classes}},
            boxes={
                "truth": {"box_data": [truth], "class_labels": classes},
                "prediction": {"box_data": [guess], "class_labels": classes},
            },
        )
        table = tracker.Table(columns=["id", "image", "label", "score"])
        for row in range(12):
            table.add_data(row, tracker.Image(pixels), classes[row % 3], math.nan if row == 1 else row / 4)
        run.log(
            {
                "loss": 1 / (step + 1),
                "samples": [image, tracker.Image(pixels.T)],
                "weights": tracker.Histogram(np.random.default_rng(step).normal(size=500)),
                "predictions": table,
            }
        )
    classify = {"y_true": [0, 1, 1, 2], "class_names": ["cat", "dog", "fox"]}
    scores = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    bars = tracker.Table(columns=["label", "value"], data=[["a", 1], ["b", 2]])
    run.log(
        {
            "sound": tracker.Audio(np.zeros(8000), sample_rate=8000, caption="silence"),
            "page": tracker.Html("<h1>A report</h1><p>logged by the run</p>", inject=False),
            "cloud": tracker.Object3D(np.random.default_rng(0).normal(size=(80, 3))),
            "bars": plot.bar(bars, "label", "value", "The bars"),
            "matrix": plot.confusion_matrix(preds=[0, 1, 0, 2], **classify),
            "roc": plot.roc_curve(classify["y_true"], scores, labels=classify["class_names"]),
        }
    )
    run.finish()


def _log_versions(store: Path) -> None:
    run = _start(store, "artifacts", name="logs versions")
    data = tracker.Artifact("digits", "dataset", description="handwritten digits")
    for part in ("train", "val"):
        with data.new_file(f"{part}/labels.csv") as file:
            file.write("id,label\n1,7\n2,3\n")
    with data.new_file("README.md") as file:
        file.write("# Digits\nSmall pictures.\n")
    run.log_artifact(data)
    run.finish()
    user = _start(store, "user", name="uses versions")
    user.use_artifact("digits:latest")
    for version in range(2):
        model = tracker.Artifact("model", "model", metadata={"epoch": version})
        with model.new_file("weights.bin", "wb") as binary:
            binary.write(bytes([version]) * 4000)
        with model.new_file("settings.json") as file:
            json.dump({"epoch": version, "lr": 0.1}, file)
        user.log_artifact(model, aliases=["best"] if version == 0 else None)
    user.link_artifact(user.use_artifact("model:best"), "model-registry/released", aliases=["production"])
    user.finish()


def write_captured(layout: Layout) -> None:
    """Write a run of two ranks with system metrics, output, facts and code, and a crashed one."""
    for rank in (0, 1):
        writer = Writer(layout, str(rank) * 32, "captured", project="vision", rank=rank)
        for at in range(40):
            card = {
                f"gpu.0.{name}": float((at * 3 + 40 * rank) % 100) for name in ("gpu", "temp", "powerWatts")
            }
            writer.put(
                SystemSample(writer.tick() + 15 * at, {"cpu": float(at), "memory_percent": 40.0, **card})
            )
        lines = [(at, 1 + at % 2, f"\x1b[3{at % 8}mstep {at}\x1b[0m of rank {rank}") for at in range(40)]
        writer.put(ConsoleLines(writer.tick(), lines))
        writer.log({"loss": 1.0})
        if rank == 0:
            writer.file("wandb-metadata.json", json.dumps(FACTS).encode(), "application/json")
            writer.file("requirements.txt", b"msgspec==0.19.0\nnumpy==2.0.0\n")
            writer.file("diff.patch", b"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-lr = 1\n+lr = 0.1\n")
            writer.artifact(
                "source-vision",
                {"train.py": b"import tracker\n\n\ndef main():\n    return 1  # a comment\n"},
                artifact_type="code",
            )
        writer.finish()
    crashed = Writer(layout, "c" * 32, "crashed", project="vision", name="lost its host")
    crashed.log({"loss": 1.0})
    crashed.finish("crashed", exit_code=137)
