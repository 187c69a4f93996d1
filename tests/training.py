"""A tiny training with Lightning, for all doors.

The environment variable ``DOOR`` selects one: 1 is ``import tracker as wandb``, 2 is ``import wandb`` with
``tracker run``, 3 is the real wandb, which logs to the server of ``WANDB_BASE_URL``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import scripts
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

DOOR = os.environ.get("DOOR", "1")

if DOOR in ("2", "3"):
    import wandb
    from pytorch_lightning.loggers import WandbLogger
else:
    import tracker as wandb
    from tracker.lightning import WandbLogger

__all__ = [
    "DOOR",
    "IMAGES",
    "Model",
    "WandbLogger",
    "fit",
    "loader",
    "of_tracker",
    "run_script",
    "trainer",
    "wandb",
]

# Eight "digits" of 4 x 4 pixels. The class of a digit is its brighter half.
IMAGES = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = (IMAGES[:, 0, :, :2].sum((1, 2)) > IMAGES[:, 0, :, 2:].sum((1, 2))).long()


SCORES = (0.25, 0.875, 0.5)

# For tests of stores and recorders, which the real wandb does not have.
of_tracker = pytest.mark.skipif(DOOR == "3", reason="about a store of this machine")


class Model(pl.LightningModule):
    """A classifier with given scores for each epoch, so that the best checkpoint is known."""

    def __init__(
        self, lr: float = 0.125, hidden: int = 3, scores: tuple[float, ...] = (0.25, 0.875, 0.5)
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(16, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 2)
        )
        self.register_buffer("epoch", torch.zeros(1))

    def forward(self, images: Any) -> Any:
        return self.layers(images)

    def loss(self, batch: Any) -> Any:
        images, labels = batch
        return torch.nn.functional.cross_entropy(self(images), labels)

    def training_step(self, batch: Any, _index: int) -> Any:
        self.epoch.fill_(self.current_epoch)
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        self.log("val_loss", self.loss(batch))
        self.log("val_accuracy", self.hparams.scores[self.current_epoch])

    def test_step(self, batch: Any, _index: int) -> None:
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def loader(batch_size: int = 4) -> Any:
    """Return a loader of two batches of four images."""
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=batch_size)


def trainer(logger: Any, epochs: int = 3, **options: Any) -> pl.Trainer:
    """Return a trainer on the CPU that logs each step and prints nothing."""
    options.setdefault("enable_checkpointing", bool(options.get("callbacks")))
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=logger,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def fit(logger: Any, model: Model | None = None, **checkpoint: Any) -> ModelCheckpoint:
    """Train for three epochs of two steps with a checkpoint after each; return the checkpoint callback."""
    callback = ModelCheckpoint(**{"monitor": "val_accuracy", "mode": "max", **checkpoint})
    trainer(logger, callbacks=[callback]).fit(model or Model(), loader(), loader())
    return callback


def run_script(
    folder: Path, code: str, launcher: Sequence[str] = (), *, door_first: bool = True, status: int = 0
) -> None:
    """Run a script in separate processes, through the same door. Fail after 240 seconds.

    Args:
        folder: Folder of the script and its working folder.
        code: The script.
        launcher: Command in front of Python, such as ``srun``.
        door_first: Whether ``tracker run`` is in front of the launcher; otherwise it is after the launcher.
        status: Expected exit status.
    """
    (folder / "train.py").write_text(code)
    door = [sys.executable, "-m", "tracker.cli.main", "run"] if DOOR == "2" else []
    command = [*door, *launcher] if door_first else [*launcher, *door]
    # The environment of the real wandb has no server, from which tests fork recorders.
    environment = scripts.HERE.environment if DOOR == "3" else scripts.environment
    done = subprocess.run(
        [*command, sys.executable, "train.py"],
        cwd=folder,
        env=environment(PYTHONPATH=f"{scripts.ROOT}:{scripts.ROOT / 'tests'}", DOOR=DOOR),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
