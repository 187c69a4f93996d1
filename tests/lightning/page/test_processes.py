"""Training in two processes: both log to one run, and no process hangs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from training import DOOR, run_script, wandb

from tracker.api.captured import output_lines

SCRIPT = """
import json, os, pathlib, sys
import pytorch_lightning as pl
from training import Model, WandbLogger, fit, loader, trainer, wandb
from pytorch_lightning.callbacks import ModelCheckpoint


class Reporting(Model):
    def on_train_end(self):
        seen = {{
            "run": None if wandb.run is None else wandb.run.id,
            "dir": os.environ.get("WANDB_DIR"),
        }}
        self.logger.log_hyperparams({{"rank": self.global_rank}})
        self.logger.experiment.log({{"by hand": self.global_rank}})
        # One write: `print` writes text and newline separately, and the other process may write between them.
        sys.stdout.write(f"hello from rank {{self.global_rank}}\\n")
        sys.stdout.flush()
        self.trainer.strategy.barrier()  # before rank 0 ends the run
        pathlib.Path(f"rank-{{self.global_rank}}.json").write_text(json.dumps(seen))


def main():
    logger = WandbLogger(project="MNIST", log_model="all")
    if os.environ.get("LOCAL_RANK") is None:
        os.environ["WANDB_DIR"] = logger.experiment.dir
    callback = ModelCheckpoint(monitor="val_accuracy", mode="max")
    pl.Trainer(
        accelerator="cpu", devices=2, strategy="{strategy}", max_epochs=3, logger=logger, log_every_n_steps=1,
        callbacks=[callback], num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
    ).fit(Reporting(), loader(batch_size=2), loader(batch_size=2))
    if os.environ.get("LOCAL_RANK", "0") == "0":
        logger.experiment.summary["after"] = True
        pathlib.Path("id").write_text(logger.experiment.id)
        wandb.finish()
        assert WandbLogger.download_artifact(f"MNIST/model-{{logger.experiment.id}}:best")


if __name__ == "__main__":
    main()
"""

LAUNCHED = """
import pytorch_lightning as pl
from training import Model, WandbLogger, loader


class Reporting(Model):
    def on_train_epoch_end(self):
        print(f"hello from rank {self.global_rank}", flush=True)


pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=3, logger=WandbLogger(project="MNIST"),
    log_every_n_steps=1, enable_checkpointing=False, num_sanity_val_steps=0, enable_progress_bar=False,
    enable_model_summary=False,
).fit(Reporting(), loader(batch_size=2), loader(batch_size=2))
"""
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node=2",
    "--no-python",
]
# A replacement of srun for two tasks on one node.
SRUN = """#!/bin/sh
export SLURM_JOB_ID=7$$ SLURM_JOB_NAME=train SLURM_STEP_ID=0 SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2
export SLURM_STEP_NUM_TASKS=2 SLURM_NNODES=1 SLURM_NODEID=0 SLURM_JOB_NODELIST=127.0.0.1
export SLURM_NODELIST=127.0.0.1
SLURM_PROCID=0 SLURM_LOCALID=0 "$@" & first=$!
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & second=$!
wait $first && wait $second
"""


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_processes_log_to_one_run(tmp_path: Path, strategy: str) -> None:
    run_script(tmp_path, SCRIPT.format(strategy=strategy))
    run_id = (tmp_path / "id").read_text()
    (run,) = wandb.Api().runs("MNIST")
    assert (run.id, run.state) == (run_id, "finished")
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == list(range(6))
    assert [row["val_accuracy"] for row in rows if "val_accuracy" in row] == [0.25, 0.875, 0.5]
    assert [row["by hand"] for row in rows if "by hand" in row] == [0]
    assert run.config["rank"] == 0
    assert run.summary["after"] is True
    assert wandb.Api().artifact(f"MNIST/model-{run_id}:best").metadata["score"] == 0.875
    main, other = (json_of(tmp_path / f"rank-{rank}.json") for rank in (0, 1))
    assert (main["run"], other["run"]) == (run_id, None)
    assert main["dir"] == other["dir"]
    assert run_id in main["dir"]
    if DOOR == "3":
        return  # the real wandb stores the output of rank 0 only
    output = Path(run.file("output.log").download(root=str(tmp_path), replace=True).name).read_text()
    assert "hello from rank 0" in output
    assert "hello from rank 1" in output  # from a process that the process of rank 0 started
    assert lines_of(run, 0).count("hello from rank 0") == 1
    assert lines_of(run, 1).count("hello from rank 1") == 1
    assert samples_of(run, 0)
    assert samples_of(run, 1)


@pytest.mark.parametrize("door_first", [True, False])
@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_launched_processes_log_to_one_run(tmp_path: Path, launcher: str, door_first: bool) -> None:
    if DOOR != "2" and not door_first:
        pytest.skip("`tracker run` is not used")
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    run_script(tmp_path, LAUNCHED, TORCHRUN if launcher == "torchrun" else ["./srun"], door_first=door_first)
    (run,) = wandb.Api().runs("MNIST")
    assert run.state == "finished"
    assert [row["trainer/global_step"] for row in run.history(pandas=False) if "train_loss" in row] == [
        *range(6)
    ]
    if DOOR == "3":
        return
    for rank in (0, 1):
        assert lines_of(run, rank).count(f"hello from rank {rank}") == 3
        assert f"hello from rank {1 - rank}" not in lines_of(run, rank)
        assert samples_of(run, rank)


def segments_of(run: Any, rank: int) -> list[str]:
    return [each.id for each in run.segments if each.rank == rank]


def lines_of(run: Any, rank: int) -> list[str]:
    return [line.text for line in output_lines(run._reader, run.path, rank=rank)]


def samples_of(run: Any, rank: int) -> list[Any]:
    return [
        row
        for name in segments_of(run, rank)
        for row in run.history(stream="system", segment=name, pandas=False)
    ]


def json_of(path: Path) -> Any:
    return json.loads(path.read_text())
