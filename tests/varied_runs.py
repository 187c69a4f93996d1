"""Runs with all kinds of values, for tests of exports."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

import numpy as np

import tracker
from tracker.data_types.histogram import Histogram
from tracker.ground.records import ConsoleLines, SystemSample

QUIET = {"silent": True, "x_disable_stats": True}
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
HOSTILE = "</script><img src=x onerror=alert(1)>"


def log_runs(store: Path, folder: Path) -> None:
    """Log a run with all kinds of values, and a sweep with a hostile name."""
    sound = folder / "beep.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
        file.writeframes(struct.pack("<100h", *range(100)))
    config = {"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "layers": 3, "flag": True}
    run = tracker.init(
        project="demo", id="full", name="first", config=config, tags=["a"], notes="note", group="g",
        job_type="train", reinit="create_new", settings={**QUIET, "store": store},
    )  # fmt: skip
    run.define_metric("val/*", step_metric="epoch")
    run.define_metric("acc", summary="max", goal="maximize")
    for step in range(30):
        row = {"loss": 1 / (step + 3), "acc": step % 7, "nested": {"a": step}, "ok": step % 2 == 0}
        if step % 10 == 0:
            row |= {"epoch": step // 10, "val/loss": math.nan if step == 20 else math.sin(step)}
        run.log(row)
    run.log({"weights": Histogram(np_histogram=([1, 2, 5], [0.0, 0.5, 1.0, 2.0])), "note": "the hé text"})
    run.log(
        {"img": tracker.Image(PIXELS, caption="c"), "two": [tracker.Image(PIXELS), tracker.Image(PIXELS)]}
    )
    run.log({"beep": tracker.Audio(str(sound)), "html": tracker.Html("<b>x</b>"), "inf": -math.inf})
    run.log({"table": tracker.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])})
    run.summary["best"] = 0.9
    run.record(ConsoleLines(1.0, [(0, 1, "out"), (1, 2, "err"), (2, 1, "the hé line")]))
    run.record(SystemSample(run.start_time + 1, {"cpu": 1.5, "memory": 20.0}))
    (folder / "saved.txt").write_text("hello")
    run.save(str(folder / "saved.txt"), base_path=str(folder), policy="now")
    for version in range(2):
        model = tracker.Artifact("model", "model", description="d", metadata={"k": version})
        with model.new_file("sub/new.txt") as text:
            text.write(f"new {version}")
        model.add_reference("https://example.org/data", name="link", checksum=False)
        run.log_artifact(model, aliases=["best", "latest"] if version else None)
    run.alert("title", "text", level="WARN")
    run.finish()
    for at in range(3):
        run = tracker.init(
            project="sweep", id=f"trial{at}", name=HOSTILE if at == 0 else f"trial {at}", reinit="create_new",
            config={"lr": 0.1 * (at + 1), "same": 1}, settings={**QUIET, "store": store},
        )  # fmt: skip
        for step in range(3000 if at == 0 else 20):
            run.log({"val/acc": step / 20 + at / 100, "loss": 1 / (step + 1)})
        run.finish(exit_code=3 if at == 1 else 0)
