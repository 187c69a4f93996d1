"""`tracker open` while the real wandb and TensorBoard write."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import scripts
from opening import opened

pytestmark = pytest.mark.importers

PYTHON = Path(os.environ.get("TRACKER_IMPORTERS_PYTHON") or scripts.ROOT / ".venv-importers/bin/python")

# Steps of the rows with an image.
_IMAGES = {20, 3021, 6022, 9023}
WANDB = """
import sys, wandb, numpy as np
run = wandb.init(project="real", mode="offline", id="live", config={"lr": 0.1})
for line in sys.stdin:
    for _ in range(int(line)):
        run.log({"loss": 1 / (run.step + 1)})
    run.log({"image": wandb.Image(np.full((4, 5, 3), run.step % 256, dtype=np.uint8))})
    print("step", run.step, flush=True)
run.finish()
"""


def test_runs_of_wandb_appear_while_they_are_written(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("needs an environment with tests/importers/requirements.txt")
    writer = subprocess.Popen(
        [str(PYTHON), "-c", WANDB],
        cwd=tmp_path,
        env={**os.environ, "WANDB_SILENT": "true", "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        writer.stdin.write("20\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "step 21\n"
        scripts.wait_for(lambda: list(tmp_path.rglob("*.wandb")), "the file of the run")
        with opened(tmp_path, str(tmp_path / "wandb")) as page:

            def losses() -> list[float]:
                run = page.client.get("/projects/local/real/runs/live/history")
                return [row["loss"] for row in run.json().get("rows", []) if "loss" in row]

            # The client keeps the newest rows in memory until its buffer is written.
            scripts.wait_for(lambda: page.run("real", "live").get("state") == "running", "the run")
            seen = len(losses())
            for _ in range(3):
                writer.stdin.write("3000\n")
                writer.stdin.flush()
                scripts.wait_for(lambda before=seen: len(losses()) > before, "more rows")  # type: ignore[misc]
                seen = len(losses())
            writer.stdin.close()
            scripts.wait_for(lambda: page.run("real", "live")["state"] != "running", "the end")
            assert page.run("real", "live")["state"] == "finished"
            expected = [1 / (step + 1) for step in range(9023) if step not in _IMAGES]
            assert losses() == pytest.approx(expected)
            rows = page.rows("real", "live")
            shown = [row["image"] for row in rows if "image" in row]
            assert len(shown) == 4
            for each in shown:
                data = page.client.get(f"/projects/local/real/runs/live/files/{each['path']}").content
                assert len(data) == each["size"]
            assert page.run("real", "live")["config"]["lr"] == 0.1
            assert page.get("/folders")["problems"] == []
    finally:
        writer.kill()
        writer.wait()


def test_runs_of_tensorboard_appear_while_they_are_written(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writers = {name: EventFileWriter(str(tmp_path / "logs" / name)) for name in ("a", "b")}
    logged = dict.fromkeys(writers, 0)

    def log(name: str, count: int) -> None:
        for _ in range(count):
            step = logged[name]
            values = [Summary.Value(tag=tag, simple_value=step / 2) for tag in ("loss", "acc")]
            writers[name].add_event(Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=values)))
            logged[name] += 1
        writers[name].flush()

    log("a", 5)
    with opened(tmp_path, str(tmp_path / "logs")) as page:
        for name, count in (("a", 100), ("b", 7), ("a", 1), ("b", 3000), ("a", 2)):
            log(name, count)

            def is_shown(of: str = name) -> bool:
                run = page.runs("logs").get(of)
                return run is not None and len(page.rows("logs", run["id"])) == logged[of]

            scripts.wait_for(is_shown, f"the rows of {name}")
        for name, run in page.runs("logs").items():
            rows = page.rows("logs", run["id"])
            assert rows == [{"_step": at, "loss": at / 2, "acc": at / 2} for at in range(logged[name])]
            assert run["state"] == "running"
        assert page.get("/folders")["growing"] == 2
    for writer in writers.values():
        writer.close()
