"""Frameworks that pass a folder to ``wandb.init``. The folder does not change the location of the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker

# The wandb calls of released versions of mmengine (WandbVisBackend) and torchtune (WandBLogger).
MMENGINE = """
import os, time, wandb
class WandbVisBackend:
    def __init__(self, save_dir, init_kwargs=None, define_metric_cfg=None):
        os.makedirs(save_dir, exist_ok=True)
        init_kwargs = dict(init_kwargs or {})
        init_kwargs.setdefault("dir", save_dir)
        wandb.init(**init_kwargs)
        for metric, summary in (define_metric_cfg or {}).items():
            wandb.define_metric(metric, summary=summary)

backend = WandbVisBackend(
    f"work_dirs/config/{time.strftime('%Y%m%d_%H%M%S')}/vis_data", dict(project="p", id="run"), {"acc": "max"}
)
wandb.config.update({"model": {"type": "ResNet"}}, allow_val_change=True)
for acc in (0.5, 0.9, 0.7):
    wandb.log({"acc": acc}, commit=True)
assert os.path.realpath(wandb.run.dir).startswith(os.path.realpath("work_dirs"))
wandb.join()
"""
TORCHTUNE = """
import os, wandb
log_dir = "out/logs"
os.makedirs(log_dir, exist_ok=True)
if wandb.run is None:
    run = wandb.init(
        project="p", entity=None, group=None, dir=log_dir, reinit=True, resume="allow", config=None, id="run"
    )
wandb.run._label(repo="torchtune")
wandb.define_metric("global_step")
wandb.define_metric("*", step_metric="global_step", step_sync=True)
wandb.config.update({"model": {"type": "ResNet"}}, allow_val_change=True)
with open(os.path.join(log_dir, "torchtune_config.yaml"), "w") as file:
    file.write("model: {}")
wandb.save(os.path.join(log_dir, "torchtune_config.yaml"), base_path=log_dir)
for step, acc in enumerate((0.5, 0.7, 0.9)):
    wandb.log({"acc": acc, "global_step": step})
wandb.finish()
"""
ACC = {"mmengine": [0.5, 0.9, 0.7], "torchtune": [0.5, 0.7, 0.9]}
FRAMEWORKS = {"mmengine": MMENGINE, "torchtune": TORCHTUNE}
# For each way to choose the store: options of the command, environment variables, and the store's folder.
PLACES = {
    "option": (["--store", "named"], {}, "named"),
    "variable": ([], {"TRACKER_STORE": "named"}, "named"),
    "launch folder": ([], {}, "tracker-store"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_that_passes_dir(tmp_path: Path, framework: str, place: str) -> None:
    options, variables, store = PLACES[place]
    (tmp_path / "train.py").write_text(f"{FRAMEWORKS[framework]}\nassert wandb.Api().run('p/run').config")
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", "run", *options, "train.py"],
        cwd=tmp_path,
        env=scripts.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run = tracker.Api({"store": tmp_path / store}).run("p/run")
    assert run.config["model"] == {"type": "ResNet"}
    assert [row["acc"] for row in run.history(pandas=False)] == ACC[framework]
    assert [path.name for path in tmp_path.rglob("store.json")] == ["store.json"]


def test_a_program_that_changes_the_folder_uses_the_store_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    code = "import os, sys; os.chdir('sub'); import wandb; wandb.init(project='p', id='run').finish()"
    command = [sys.executable, "-m", "tracker.cli.main", "run", "-c", code]
    subprocess.run(command, cwd=tmp_path, env=scripts.environment(), check=True, timeout=120)
    assert tracker.Api().run("p/run").state == "finished"
