"""Training in two processes: one run, and nothing that waits for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from training import run_script, wandb

SCRIPT = """
import json, os, pathlib
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
        print(f"hello from rank {{self.global_rank}}", flush=True)
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


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_processes_are_one_run(tmp_path: Path, strategy: str) -> None:
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
    output = Path(run.file("output.log").download(root=str(tmp_path), replace=True).name).read_text()
    assert "hello from rank 0" in output
    if strategy == "ddp":  # of processes that multiprocessing spawns, only those that log are kept
        assert "hello from rank 1" in output
    assert run.history(stream="system", pandas=False)


def json_of(path: Path) -> Any:

    return json.loads(path.read_text())
