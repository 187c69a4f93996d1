"""Train on scikit-learn's digits, show the run on the dashboard, download the best checkpoint by alias.

python examples/digits.py                   train, serve the dashboard, download and evaluate
python examples/digits.py --no-server       the same without the dashboard
python examples/digits.py --evaluate NAME   only download and evaluate, such as local/digits/model-ID:best

The images are real 8x8 scans from scikit-learn. The script downloads nothing from the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import tracker as wandb
from tracker.lightning import WandbLogger

PROJECT = "digits"
SAMPLES = 16


def load_images() -> tuple[TensorDataset, TensorDataset]:
    """Return a training and a validation set: images (1, 8, 8) with values from 0 to 1, and their digits."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target, dtype=torch.long)
    train, val = train_test_split(range(len(labels)), test_size=0.2, random_state=0, stratify=digits.target)
    return TensorDataset(images[train], labels[train]), TensorDataset(images[val], labels[val])


class DigitClassifier(pl.LightningModule):
    """A small convolutional network."""

    def __init__(self, width: int = 16, learning_rate: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, 10),
        )
        self.loss = nn.CrossEntropyLoss()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10) for images (N, 1, 8, 8)."""
        return self.net(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        """Return the loss of one batch."""
        images, labels = batch
        logits = self(images)
        loss = self.loss(logits, labels)
        self.log("train/loss", loss)
        self.log("train/accuracy", (logits.argmax(1) == labels).float().mean())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        """Log loss and accuracy. The checkpoint callback monitors ``val_accuracy``."""
        images, labels = batch
        logits = self(images)
        self.log("val_loss", self.loss(logits, labels))
        self.log("val_accuracy", (logits.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an Adam optimizer."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


class LogPredictions(pl.Callback):
    """Logs sample images with captions and a table of predictions after each validation."""

    def __init__(self, dataset: TensorDataset) -> None:
        self.images, self.labels = dataset[:SAMPLES]

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log the predictions for the samples."""
        if trainer.sanity_checking:
            return
        with torch.no_grad():
            confidence, guess = module(self.images.to(module.device)).softmax(1).cpu().max(1)
        logger = trainer.logger
        captions = [
            f"{label} read as {was}" for label, was in zip(self.labels.tolist(), guess.tolist(), strict=True)
        ]
        logger.log_image("samples", list(self.images), step=trainer.global_step, caption=captions)
        rows = [
            [wandb.Image(self.images[at]), int(self.labels[at]), int(guess[at]), float(confidence[at])]
            for at in range(len(self.labels))
        ]
        columns = ["image", "digit", "prediction", "confidence"]
        logger.log_table("predictions", columns=columns, data=rows, step=trainer.global_step)


def evaluate(model: DigitClassifier, dataset: TensorDataset) -> float:
    """Return the share of correctly classified images in a data set, computed by Lightning."""
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    (metrics,) = trainer.validate(model, DataLoader(dataset, batch_size=len(dataset)), verbose=False)
    return metrics["val_accuracy"]


def train(epochs: int) -> str:
    """Train, log everything, and return the name of the checkpoint artifact."""
    pl.seed_everything(0, verbose=False)
    train_set, val_set = load_images()
    logger = WandbLogger(project=PROJECT, log_model="all")
    checkpoint = ModelCheckpoint(monitor="val_accuracy", mode="max")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir="lightning_logs",
        logger=logger,
        callbacks=[checkpoint, LogPredictions(val_set)],
        log_every_n_steps=1,
        enable_progress_bar=False,
    )
    trainer.fit(
        DigitClassifier(),
        DataLoader(train_set, batch_size=64, shuffle=True),
        DataLoader(val_set, batch_size=len(val_set)),
    )
    run = logger.experiment
    name = f"{run.entity}/{run.project}/model-{run.id}:best"
    print(f"trained: best val_accuracy {checkpoint.best_model_score:.4f}, logged as {name}", flush=True)
    wandb.finish()
    return name


def fetch_and_evaluate(name: str) -> None:
    """Download a checkpoint by alias, load it, and compare its accuracy with the one at save time."""
    with wandb.init(project=PROJECT, job_type="evaluate") as run:
        artifact = run.use_artifact(name, type="model")
        folder = artifact.download()
        model = DigitClassifier.load_from_checkpoint(Path(folder) / "model.ckpt", map_location="cpu")
        accuracy = evaluate(model, load_images()[1])
        run.log({"val_accuracy": accuracy})
        saved = artifact.metadata["score"]
        verdict = "the same" if abs(accuracy - saved) < 1e-6 else "NOT THE SAME"
        print(
            f"downloaded {artifact.qualified_name} ({', '.join(artifact.aliases)}): "
            f"val_accuracy {accuracy:.4f}, at save time {saved:.4f}: {verdict}",
            flush=True,
        )
        if verdict != "the same":
            sys.exit(1)


def start_server(port: int) -> subprocess.Popen[str]:
    """Start the dashboard on the store of the run; return when the server has printed its address."""
    command = [sys.executable, "-m", "tracker.cli.main", "server", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for _ in ("address", "sign-in link"):
        line = server.stdout.readline()
        if not line:
            sys.exit(server.wait() or 1)
        print(line.strip(), flush=True)
    return server


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--port", type=int, default=8080, help="port of the dashboard; 0 means a free port")
    parser.add_argument("--no-server", action="store_true", help="only train, download and evaluate")
    parser.add_argument("--evaluate", metavar="NAME", help="only download and evaluate this artifact")
    options = parser.parse_args()
    if options.evaluate:
        fetch_and_evaluate(options.evaluate)
        return
    name = train(options.epochs)
    server = None if options.no_server else start_server(options.port)
    code = 130  # exit code after Ctrl-C in the second process
    try:
        # A new process has no state of the training in memory.
        code = subprocess.run([sys.executable, __file__, "--evaluate", name], check=False).returncode
        if server is not None and code == 0:
            print("The dashboard is running. Press Ctrl-C to stop it.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if server is not None:
            server.terminate()
            server.wait()
    sys.exit(code)


if __name__ == "__main__":
    main()
