"""``WandbLogger`` with a real Trainer."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import tracker

pl = pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")

import pickle  # noqa: E402

import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from pytorch_lightning.callbacks import ModelCheckpoint  # noqa: E402
from pytorch_lightning.demos.boring_classes import RandomDataset  # noqa: E402

from tracker.lightning import WandbLogger  # noqa: E402

pytestmark = [pytest.mark.lightning, pytest.mark.usefixtures("without_recorder")]


class Model(pl.LightningModule):
    """A model with given scores for each epoch, so that the best checkpoint is known."""

    def __init__(self, scores: tuple[float, ...] = (1.0, 3.0, 2.0)) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)
        self.register_buffer("epoch_seen", torch.zeros(1))

    def training_step(self, batch, _index):
        loss = self.layer(batch).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, _batch, _index):
        self.epoch_seen.fill_(self.current_epoch)
        self.log("score", self.hparams.scores[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(logger: WandbLogger, folder: Path, **options: object) -> ModelCheckpoint:
    checkpoint = ModelCheckpoint(monitor="score", mode="max", **options)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=logger,
        callbacks=[checkpoint],
        default_root_dir=folder,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = torch.utils.data.DataLoader(RandomDataset(4, 8), batch_size=4)
    trainer.fit(Model(), data, data)
    return checkpoint


def test_metrics_hyperparameters_and_steps(tmp_path: Path) -> None:
    logger = WandbLogger(project="pl")
    fit(logger, tmp_path)
    run = logger.experiment
    assert (logger.name, logger.version) == ("pl", run.id)
    tracker.finish()
    found = tracker.Api().run(f"pl/{run.id}")
    assert found.config == {"scores": [1.0, 3.0, 2.0]}
    rows = found.history(pandas=False)
    losses = [row for row in rows if "train/loss" in row]
    assert [row["trainer/global_step"] for row in losses] == list(range(6))
    assert [row["score"] for row in rows if "score" in row] == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("save_top_k", [1, -1])
def test_every_checkpoint_is_logged_and_best_moves(tmp_path: Path, save_top_k: int) -> None:
    logger = WandbLogger(project="pl", log_model="all")
    fit(logger, tmp_path, save_top_k=save_top_k)
    run = logger.experiment
    best = run.use_artifact(f"model-{run.id}:best", type="model")
    assert best.metadata["score"] == 3.0
    assert best.metadata["ModelCheckpoint"]["monitor"] == "score"
    # With save_top_k=1, Lightning deletes each earlier file immediately. All logged checkpoints are stored.
    loaded = Model.load_from_checkpoint(Path(best.download()) / "model.ckpt", map_location="cpu")
    assert loaded.epoch_seen.item() == 1
    versions = tracker.Api().artifact_versions("model", f"pl/model-{run.id}")
    assert len(versions) == (2 if save_top_k == 1 else 3)
    assert "latest" in versions[0].aliases
    tracker.finish()


def test_log_model_true_logs_the_kept_checkpoints_at_the_end(tmp_path: Path) -> None:
    logger = WandbLogger(project="pl", log_model=True, checkpoint_name="mine")
    fit(logger, tmp_path, save_top_k=2)
    versions = tracker.Api().artifact_versions("model", "pl/mine")
    assert sorted(version.metadata["score"] for version in versions) == [2.0, 3.0]
    assert tracker.Api().artifact("pl/mine:best").metadata["score"] == 3.0
    assert WandbLogger.download_artifact("pl/mine:best", "there", "model") == "there"
    assert Path("there/model.ckpt").is_file()
    tracker.finish()


def test_media_tables_and_prefix() -> None:
    logger = WandbLogger(project="pl", prefix="fold0")
    logger.log_metrics({"a": 1.0}, step=3)
    logger.log_image("images", [torch.zeros(1, 4, 4), np.ones((4, 4))], step=4, caption=["zero", "one"])
    logger.log_table("table", columns=["x"], data=[[1], [2]])
    logger.log_hyperparams(Namespace(lr=0.1, model=torch.nn.Linear(1, 1)))
    with pytest.raises(ValueError, match="Expected 1 items but only found 2 for caption"):
        logger.log_image("images", [torch.zeros(1, 4, 4)], caption=["a", "b"])
    with pytest.raises(TypeError, match='Expected a list as "images"'):
        logger.log_image("images", torch.zeros(1, 4, 4))
    run = logger.experiment
    tracker.finish()
    first, second, third = tracker.Api().run(f"pl/{run.id}").history(pandas=False)
    assert (first["fold0-a"], first["trainer/global_step"]) == (1.0, 3)
    assert second["fold0-images"]["captions"] == ["zero", "one"]
    assert third["fold0-table"]["nrows"] == 2
    assert tracker.Api().run(f"pl/{run.id}").config["model"].startswith("Linear")


def test_hyperparameters_are_stored_as_config_update_stores_them() -> None:
    class Settings(pl.LightningModule):
        def __init__(self, cfg: object, weights: object) -> None:
            super().__init__()
            self.save_hyperparameters()

    raw = {"optim": {"lr": 0.1, "betas": [0.9, 0.99], "decay": "${optim.lr}"}, "root": None}
    given = {
        "weights": np.arange(100),
        "tensor": torch.arange(40.0),
        "nested": {"w": np.arange(50)},
        "small": np.arange(3),
        "range": range(3),
        "list": OmegaConf.create([1, {"a": 2}]),
        "cfg": OmegaConf.create(raw),
        "hparams": Settings(OmegaConf.create(raw), [1.0, 2.0]).hparams,
    }
    logger = WandbLogger(project="pl", id="logger")
    logger.log_hyperparams({**given, "odd": object()})
    tracker.finish()
    with tracker.init(project="pl", id="plain") as run:
        run.config.update(given)
    logged = tracker.Api().run("pl/logger").config
    assert logged.pop("odd").startswith("<object object at")
    assert logged == tracker.Api().run("pl/plain").config
    assert (logged["range"], logged["small"], logged["list"]) == ([0, 1, 2], [0, 1, 2], [1, {"a": 2}])
    assert logged["cfg"] == {"optim": {"lr": 0.1, "betas": [0.9, 0.99], "decay": 0.1}, "root": None}
    assert logged["hparams"] == {"cfg": logged["cfg"], "weights": [1.0, 2.0]}


def test_the_logger_uses_the_active_run() -> None:
    run = tracker.init(project="mine")
    logger = WandbLogger(project="ignored")
    assert logger.experiment is run


def test_a_copy_in_another_process_continues_the_same_run() -> None:
    logger = WandbLogger(project="pl")
    logger.log_metrics({"a": 1.0}, step=0)
    run = logger.experiment
    tracker.finish()  # as in another process, which has no active run
    copy = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 2.0}, step=1)
    assert copy.experiment.id == run.id
    tracker.finish()
    assert [row["a"] for row in tracker.Api().run(f"pl/{run.id}").history(pandas=False)] == [1.0, 2.0]


def test_an_invalid_log_model_raises_an_error() -> None:
    with pytest.raises(tracker.UsageError, match="Use True, False or 'all'"):
        WandbLogger(log_model="some")
