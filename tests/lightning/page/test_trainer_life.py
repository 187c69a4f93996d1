"""One run during several calls of a Trainer, and after failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training import Model, WandbLogger, fit, loader, run_script, trainer, wandb


def test_fit_then_test_then_fit_again_is_one_run() -> None:
    logger = WandbLogger(project="MNIST")
    model = Model(scores=(0.25, 0.875, 0.5, 0.75))
    first = trainer(logger, epochs=2)
    first.fit(model, loader(), loader())
    first.test(model, loader(), verbose=False)
    first.fit_loop.max_epochs = 4
    first.fit(model, loader(), loader())
    run_id = logger.experiment.id
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert (run.id, run.state) == (run_id, "finished")
    rows = run.history(pandas=False)
    assert [row["val_accuracy"] for row in rows if "val_accuracy" in row] == [0.25, 0.875, 0.5, 0.75]
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == list(range(8))
    (tested,) = [row for row in rows if "test_loss" in row]
    assert tested["trainer/global_step"] == 4
    assert [row["_step"] for row in rows] == list(range(len(rows)))


def test_two_trainers_with_two_loggers_are_two_runs_when_the_first_is_finished() -> None:
    ids = []
    for _ in range(2):
        logger = WandbLogger(project="MNIST")
        trainer(logger, epochs=1).fit(Model(), loader(), loader())
        ids.append(logger.experiment.id)
        wandb.finish()
    assert {run.id for run in wandb.Api().runs("MNIST")} == set(ids)
    assert len(set(ids)) == 2


def test_folds_of_one_script_lose_no_row() -> None:
    """Lightning-AI/pytorch-lightning#2015, #8574, #5212: rows of later folds were lost; steps start again."""

    class Fold(Model):
        def training_step(self, batch: Any, index: int) -> Any:
            loss = super().training_step(batch, index)
            self.log(f"fold{self.hparams.hidden}/loss", loss)
            return loss

    shared = WandbLogger(project="folds", name="shared")
    for fold in (1, 2, 3):
        trainer(shared).fit(Fold(hidden=fold), loader())
    run_id = shared.experiment.id
    wandb.finish()
    rows = wandb.Api().run(f"folds/{run_id}").history(pandas=False)
    for fold in (1, 2, 3):
        assert [row["trainer/global_step"] for row in rows if f"fold{fold}/loss" in row] == list(range(6))
    ids = set()
    for fold in (1, 2, 3):
        logger = WandbLogger(project="folds", name=f"fold{fold}", group="g")
        trainer(logger, epochs=1).fit(Fold(hidden=fold), loader())
        ids.add(logger.experiment.id)
        wandb.finish()
        run = wandb.Api().run(f"folds/{logger.experiment.id}")
        assert (run.config["hidden"], run.name, run.state) == (fold, f"fold{fold}", "finished")
    assert len(ids) == 3


def test_training_from_a_checkpoint_continues_its_run() -> None:
    scores = (0.25, 0.5, 0.875, 0.75)
    logger = WandbLogger(project="MNIST", log_model="all")
    fit(logger, Model(scores=scores))
    run_id = logger.experiment.id
    wandb.finish()

    again = WandbLogger(project="MNIST", id=run_id, resume="must", log_model="all")
    folder = again.use_artifact(f"model-{run_id}:latest").download()
    checkpoint = Path(folder) / "model.ckpt"
    model = Model(scores=scores)
    trainer(again, epochs=4).fit(model, loader(), loader(), ckpt_path=checkpoint, weights_only=False)
    assert again.experiment.resumed
    wandb.finish()

    (run,) = wandb.Api().runs("MNIST")
    assert (run.id, run.state) == (run_id, "finished")
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == list(range(8))
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert run.config["lr"] == 0.125


def test_an_exception_in_training_step_keeps_the_logged_rows() -> None:
    class Broken(Model):
        def training_step(self, batch: Any, index: int) -> Any:
            if self.global_step == 3:
                raise ValueError("the loss is gone")
            return super().training_step(batch, index)

    logger = WandbLogger(project="MNIST", log_model="all")
    with pytest.raises(ValueError, match="the loss is gone"):
        fit(logger, Broken())
    run_id = logger.experiment.id
    wandb.finish(exit_code=1)
    (run,) = wandb.Api().runs("MNIST")
    assert (run.id, run.state) == (run_id, "failed")
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == [0, 1, 2]
    assert len(wandb.Api().artifact_versions("model", f"MNIST/model-{run_id}")) == 1


def test_after_an_exception_the_next_fit_continues_the_run() -> None:
    class Broken(Model):
        broken = True

        def training_step(self, batch: Any, index: int) -> Any:
            if self.broken:
                raise RuntimeError("CUDA out of memory")
            return super().training_step(batch, index)

    logger = WandbLogger(project="MNIST")
    model = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(logger).fit(model, loader(batch_size=8))
    model.broken = False
    trainer(logger).fit(model, loader(batch_size=4))
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.state == "finished"
    assert len([row for row in run.history(pandas=False) if "train_loss" in row]) == 6


@pytest.mark.parametrize(("status", "state"), [(0, "finished"), (3, "failed")])
def test_a_script_that_exits_in_a_training_step(tmp_path: Path, status: int, state: str) -> None:
    script = f"""
import sys
from training import Model, WandbLogger, fit

class Leaving(Model):
    def training_step(self, batch, index):
        if self.global_step == 3:
            sys.exit({status})
        return super().training_step(batch, index)

fit(WandbLogger(project="MNIST"), Leaving())
"""
    run_script(tmp_path, script, status=status)
    (run,) = wandb.Api().runs("MNIST")
    assert run.state == state


def test_validate_and_predict_log_to_the_run_too() -> None:
    logger = WandbLogger(project="MNIST")
    one = trainer(logger)
    one.validate(Model(), loader(), verbose=False)
    predicted = one.predict(Model(), torch.utils.data.DataLoader(torch.rand(2, 1, 4, 4)))
    assert len(predicted) == 2
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.summary["val_accuracy"] == 0.25
