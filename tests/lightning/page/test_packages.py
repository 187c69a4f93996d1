"""The package ``lightning.pytorch``, and both names of Lightning in one program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training import run_script, wandb

pytest.importorskip("lightning.pytorch", reason="pip install lightning")

SCRIPT = """
import json, os
import lightning.pytorch as pl
import torch

if os.environ["DOOR"] != "1":
    import wandb
    from lightning.pytorch.loggers import WandbLogger
else:
    import tracker as wandb
    from tracker.lightning import WandbLogger


class Model(pl.LightningModule):
    def __init__(self, lr=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, _index):
        loss = self.layer(batch).mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


if __name__ == "__main__":
    wandb_logger = WandbLogger(log_model="all")
    trainer = pl.Trainer(
        logger=wandb_logger, max_epochs=2, accelerator="cpu", log_every_n_steps=1, enable_progress_bar=False
    )
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2))
    run = wandb_logger.experiment
    json.dump({"id": run.id, "logger": isinstance(wandb_logger, pl.loggers.Logger)}, open("seen", "w"))
    wandb.finish()
"""


def test_quick_start_of_lightning_pytorch(tmp_path: Path) -> None:
    run_script(tmp_path, SCRIPT)
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["logger"] is True
    (run,) = wandb.Api().runs("lightning_logs")
    assert (run.id, run.state, run.config) == (seen["id"], "finished", {"lr": 0.5})
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == [0, 1, 2, 3]
    assert wandb.Api().artifact(f"lightning_logs/model-{run.id}:best").version == "v1"
