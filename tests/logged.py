"""A store with all kinds of logged data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

import tracker
from tracker.sdk.run.run import Run

CONFIG = {"lr": 0.1, "nan": math.nan, "layers": {"sizes": [1, 2]}, "seed": 2**70}
LOSSES = [1.0, 0.5, math.nan, math.inf, -math.inf, 2.0**70, -0.25]
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
WEIGHTS = bytes(range(256)) * 64
ODD_NAME = "weights/a b%2F+ü?#.bin"
SPIKE = 4321


def log_everything(folder: Path) -> None:
    run = _init(
        folder,
        "everything",
        name="Erster Lauf ✓",
        config=CONFIG,
        tags=["one", "zwei"],
        group="group",
        job_type="train",
        notes="some notes",
    )
    for step, loss in enumerate(LOSSES):
        run.log({"train/loss": loss, "epoch": step // 2, "text": f"row {step}"}, step=step)
    run.log({"count": 2**70}, step=7)
    for step in (8, 9):
        images = [tracker.Image(PIXELS, caption=f"the ✓ at {step}"), tracker.Image(PIXELS[::-1])]
        run.log({"samples": images, "noise": tracker.Image(NOISE, caption="noise")}, step=step)
        table = tracker.Table(columns=["id", "image", "value"])
        for row in range(10 * (step - 7)):
            table.add_data(row, tracker.Image(PIXELS, caption=str(row)), math.nan if row == 1 else row / 2)
        run.log({"predictions": table}, step=step)
    run.log({"last": True}, step=10)
    run.summary["best"] = math.inf
    for version in range(2):
        artifact = tracker.Artifact("model", "model", description="a model", metadata={"version": version})
        for name, content in (("notes.txt", b"version %d" % version), (ODD_NAME, WEIGHTS)):
            with artifact.new_file(name, "wb") as file:
                file.write(content)
        run.log_artifact(artifact, aliases=["best"] if version == 0 else None)
    page = tracker.Artifact("page", "report")
    with page.new_file("page.html") as file:
        file.write("<script>alert(1)</script>" * 200)
    with page.new_file("page.png") as file:
        file.write("<script>alert(2)</script>")
    run.log_artifact(page)
    run.finish()
    user = _init(folder, "user", name="user of the model")
    user.use_artifact("model:best")
    user.log({"train/loss": 3.0})
    user.fail("ValueError: it broke")
    long = _init(folder, "long")
    for step in range(10_000):
        long.log({"wave": 1e6 if step == SPIKE else math.sin(step / 100)})
    long.finish()
    for at in range(7):
        many = _init(folder, f"many-{at}", project="many", name=f"run {at} of 100%", config={"lr.x": at % 3})
        many.log({"acc/top 1": at * 10})
        many.finish()


def _init(folder: Path, run_id: str, project: str = "demo", **arguments: object) -> Run:
    return tracker.init(
        entity="team",
        project=project,
        id=run_id,
        reinit="create_new",
        settings={"store": folder / "tracker-store", "silent": True},
        **arguments,  # type: ignore[arg-type]
    )
