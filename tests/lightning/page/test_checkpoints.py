"""Checkpoints as artifacts: versions, aliases and downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from training import DOOR, Model, WandbLogger, fit, loader, trainer, wandb

SCORES = {"max": (0.25, 0.875, 0.5), "min": (0.5, 0.125, 0.25)}


def versions_of(run_id: str) -> list[Any]:
    """Return the versions of the run's model, oldest first."""
    found = wandb.Api().artifact_versions("model", f"MNIST/model-{run_id}")
    return sorted(found, key=lambda version: int(version.version[1:]))


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("save_top_k", [1, 3, -1])
@pytest.mark.parametrize("save_last", [None, True])
def test_every_checkpoint_is_a_version(mode: str, save_top_k: int, save_last: bool | None) -> None:
    logger = WandbLogger(project="MNIST", log_model="all")
    fit(logger, Model(scores=SCORES[mode]), mode=mode, save_top_k=save_top_k, save_last=save_last)
    run_id = logger.experiment.id
    wandb.finish()
    versions = versions_of(run_id)
    # Epoch 1 is the best. The last epoch is saved if it is among the best k. The first last.ckpt differs from
    # the checkpoint of its epoch. Each later last.ckpt has the same bytes and creates no new version.
    epochs = [int(_load(version).epoch.item()) for version in versions]
    assert epochs == [0] * bool(save_last) + ([0, 1] if save_top_k == 1 else [0, 1, 2])
    assert [version.version for version in versions] == [f"v{number}" for number in range(len(epochs))]
    assert [at for at, version in enumerate(versions) if "latest" in version.aliases] == [len(epochs) - 1]
    assert [at for at, version in enumerate(versions) if "best" in version.aliases] == [epochs.index(1)]
    best = versions[epochs.index(1)]
    assert best.metadata["score"] == SCORES[mode][1]
    assert best.metadata["original_filename"].startswith("epoch=1")
    kept = best.metadata["ModelCheckpoint"]
    assert (kept["monitor"], kept["mode"], kept["save_top_k"]) == ("val_accuracy", mode, save_top_k)


def test_log_model_true_logs_the_kept_checkpoints_at_the_end() -> None:
    logger = WandbLogger(project="MNIST", log_model=True)
    fit(logger, save_top_k=2)
    run_id = logger.experiment.id
    wandb.finish()
    versions = versions_of(run_id)
    assert sorted(version.metadata["score"] for version in versions) == [0.5, 0.875]
    (best,) = [version for version in versions if "best" in version.aliases]
    assert best.metadata["score"] == 0.875


@pytest.mark.parametrize("log_model", [True, "all"])
def test_two_callbacks_each_have_a_best_alias(log_model: Any, tmp_path: Path) -> None:
    logger = WandbLogger(project="MNIST", log_model=log_model)
    callbacks = [
        ModelCheckpoint(tmp_path / mode, f"{mode}-{{epoch}}", monitor=monitor, mode=mode)
        for monitor, mode in (("val_accuracy", "max"), ("worst/accuracy", "min"))
    ]

    class Both(Model):
        def validation_step(self, batch: Any, index: int) -> None:
            super().validation_step(batch, index)
            self.log("worst/accuracy", self.hparams.scores[self.current_epoch])

    trainer(logger, callbacks=callbacks).fit(Both(scores=(0.5, 0.875, 0.25)), loader(), loader())
    run_id = logger.experiment.id
    wandb.finish()
    versions = versions_of(run_id)
    files = {version.metadata["original_filename"] for version in versions}
    assert {"max-epoch=1.ckpt", "min-epoch=2.ckpt"} <= files
    if DOOR == "1":
        named = {alias: version for version in versions for alias in version.aliases}
        assert named["best-val_accuracy"].metadata["original_filename"] == "max-epoch=1.ckpt"
        assert named["best-worst_accuracy"].metadata["original_filename"] == "min-epoch=2.ckpt"


def test_log_model_true_logs_immediately_when_all_are_kept() -> None:
    seen = []

    class Curious(Model):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2:
                artifact = wandb.run.use_artifact(f"model-{wandb.run.id}:latest")
                seen.append(artifact.metadata["score"])

    logger = WandbLogger(project="MNIST", log_model=True)
    fit(logger, Curious(), save_top_k=-1)
    run_id = logger.experiment.id
    wandb.finish()
    if DOOR != "3":  # the real wandb sends a version later, and finds the newest that it has sent
        assert seen == [0.875]
    assert len(versions_of(run_id)) == 3


def test_log_model_false_logs_none() -> None:
    logger = WandbLogger(project="MNIST", log_model=False)
    fit(logger)
    run_id = logger.experiment.id
    wandb.finish()
    assert not wandb.Api().artifact_exists(f"MNIST/model-{run_id}:latest")
    assert not list(wandb.Api().run(f"MNIST/{run_id}").logged_artifacts())


def test_checkpoint_name_is_the_name_of_the_artifact() -> None:
    logger = WandbLogger(
        project="MNIST", log_model="all", checkpoint_name="digits", add_file_policy="immutable"
    )
    fit(logger, save_top_k=-1)
    wandb.finish()
    assert _load(wandb.Api().artifact("MNIST/digits:best", type="model")).epoch.item() == 1


def test_a_version_can_be_used_by_each_of_its_names() -> None:
    logger = WandbLogger(project="MNIST", entity="team", log_model="all")
    fit(logger, save_top_k=-1)
    name = f"model-{logger.experiment.id}"
    maker = logger.experiment.id
    wandb.finish()
    run = wandb.init(project="MNIST", entity="team")
    expected = {"v0": 0, "v2": 2, "latest": 2, "best": 1}
    for ref, epoch in expected.items():
        for prefix in ("", "MNIST/", "team/MNIST/"):
            artifact = run.use_artifact(f"{prefix}{name}:{ref}", type="model")
            assert artifact.version == f"v{epoch}"
            assert _load(artifact).epoch.item() == epoch
    run.finish()
    api = wandb.Api()
    used = {artifact.version for artifact in api.run(f"team/MNIST/{run.id}").used_artifacts()}
    assert used == {"v0", "v1", "v2"}
    assert len(api.run(f"team/MNIST/{maker}").logged_artifacts()) == 3
    assert api.artifact(f"team/MNIST/{name}:best").logged_by().id == maker


def test_an_artifact_of_another_project_is_found_by_its_full_name() -> None:
    logger = WandbLogger(project="MNIST", log_model="all")
    fit(logger)
    run = logger.experiment
    name = f"{run.entity}/MNIST/model-{run.id}:best"
    wandb.finish()
    with wandb.init(project="evaluation") as run:
        artifact = run.use_artifact(name, type="model")
        checkpoint = Path(artifact.download()) / "model.ckpt"
        assert Model.load_from_checkpoint(checkpoint, map_location="cpu").hparams.hidden == 3


def test_a_second_download_uses_existing_files() -> None:
    logger = WandbLogger(project="MNIST", log_model="all")
    fit(logger)
    artifact = logger.use_artifact(f"model-{logger.experiment.id}:best", "model")
    first = Path(artifact.download())
    assert first == Path("artifacts") / f"model-{logger.experiment.id}:v1" or first.is_absolute()
    before = (first / "model.ckpt").stat()
    second = Path(artifact.download())
    after = (second / "model.ckpt").stat()
    assert (first, before.st_ino, before.st_mtime_ns) == (second, after.st_ino, after.st_mtime_ns)
    (first / "model.ckpt").unlink()
    assert (Path(artifact.download()) / "model.ckpt").stat().st_size == before.st_size
    wandb.finish()


def test_download_artifact_of_the_logger(tmp_path: Path) -> None:
    logger = WandbLogger(project="MNIST", log_model="all")
    fit(logger)
    name = f"MNIST/model-{logger.experiment.id}:best"
    if DOOR != "3":  # which sends versions later
        folder = WandbLogger.download_artifact(name, artifact_type="model")  # while the run is active
        assert Model.load_from_checkpoint(Path(folder) / "model.ckpt", map_location="cpu").epoch.item() == 1
    wandb.finish()
    folder = WandbLogger.download_artifact(name, save_dir=tmp_path / "there", artifact_type="model")
    assert Path(folder) == tmp_path / "there"
    assert torch.load(tmp_path / "there" / "model.ckpt", weights_only=False)["epoch"] == 1
    with pytest.raises(Exception, match="type"):
        WandbLogger.download_artifact(name, artifact_type="dataset")


def test_a_checkpoint_that_is_deleted_immediately_is_still_logged() -> None:
    logger = WandbLogger(project="MNIST", log_model="all")
    callback = fit(logger, save_top_k=1)
    run_id = logger.experiment.id
    wandb.finish()
    assert len(list(Path(callback.best_model_path).parent.iterdir())) == 1
    assert [int(_load(version).epoch.item()) for version in versions_of(run_id)] == [0, 1]


def _load(artifact: Any) -> Model:
    return Model.load_from_checkpoint(Path(artifact.download()) / "model.ckpt", map_location="cpu")
