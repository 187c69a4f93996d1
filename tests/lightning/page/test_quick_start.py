"""The first steps with Lightning: the logger, its arguments, hyperparameters and metrics."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from training import Model, WandbLogger, fit, loader, of_tracker, trainer, wandb


def test_quick_start_in_two_lines() -> None:
    wandb_logger = WandbLogger(log_model="all")
    trainer(logger=wandb_logger).fit(Model(), loader(), loader())
    run_id = wandb_logger.experiment.id
    wandb.finish()
    (run,) = wandb.Api().runs("lightning_logs")
    assert (run.id, run.state) == (run_id, "finished")
    assert run.summary["val_accuracy"] == 0.5
    assert run.summary["trainer/global_step"] == 5


def test_project_and_name() -> None:
    logger = WandbLogger(project="MNIST", name="first try")
    logger.log_metrics({"a": 1.0}, step=0)
    assert logger.name == "MNIST"
    assert logger.version == logger.experiment.id
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.name == "first try"


def test_further_arguments_are_passed_to_init() -> None:
    logger = WandbLogger(
        project="MNIST",
        id="my-id",
        group="folds",
        tags=["a", "b"],
        job_type="train",
        notes="note",
        entity="team",
    )
    logger.log_metrics({"a": 1.0}, step=0)
    wandb.finish()
    run = wandb.Api().run("team/MNIST/my-id")
    assert (run.group, run.job_type, run.notes) == ("folds", "train", "note")
    assert list(run.tags) == ["a", "b"]


def test_the_project_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "from-outside")
    logger = WandbLogger()
    logger.log_metrics({"a": 1.0})
    wandb.finish()
    assert len(wandb.Api().runs("from-outside")) == 1


def test_save_dir_contains_the_checkpoints_but_not_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    logger = WandbLogger(project="MNIST", save_dir=folder)
    assert logger.save_dir == str(folder)
    callback = fit(logger)
    run = logger.experiment
    assert Path(callback.best_model_path).is_relative_to(folder / "MNIST" / run.id / "checkpoints")
    assert Path(run.dir).is_relative_to(folder / "wandb")
    wandb.finish()
    assert not (folder / "tracker-store").exists()
    assert wandb.Api().run(run.path).state == "finished"


def test_without_save_dir_checkpoints_are_in_the_working_folder(tmp_path: Path) -> None:
    logger = WandbLogger(project="MNIST")
    callback = fit(logger)
    run = logger.experiment
    assert (
        Path(callback.best_model_path).resolve().is_relative_to(tmp_path / "MNIST" / run.id / "checkpoints")
    )


@of_tracker
def test_the_store_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "shared"))
    logger = WandbLogger(project="MNIST")
    logger.log_metrics({"a": 1.0}, step=0)
    wandb.finish()
    assert len(wandb.Api().runs("MNIST")) == 1
    assert not (tmp_path / "tracker-store").exists()


def test_save_hyperparameters() -> None:
    logger = WandbLogger(project="MNIST")
    trainer(logger).fit(Model(lr=0.0625, hidden=5), loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.config == {"lr": 0.0625, "hidden": 5, "scores": [0.25, 0.875, 0.5]}


def test_config_of_the_experiment() -> None:
    logger = WandbLogger(project="MNIST")
    logger.experiment.config["batch_size"] = 4
    logger.experiment.config.update({"seed": 1, "layers": {"sizes": [1, 2]}})
    assert logger.experiment.config["batch_size"] == 4
    trainer(logger).fit(Model(), loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.config["batch_size"] == 4
    assert (run.config["seed"], run.config["layers"]) == (1, {"sizes": [1, 2]})
    assert run.config["lr"] == 0.125  # from save_hyperparameters


def test_metrics_at_their_global_step() -> None:
    logger = WandbLogger(project="MNIST")
    trainer(logger).fit(Model(), loader(), loader())
    run_id = logger.experiment.id
    wandb.finish()
    run = wandb.Api().run(f"MNIST/{run_id}")
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if row.get("train_loss") is not None] == list(range(6))
    validated = [row for row in rows if row.get("val_accuracy") is not None]
    assert [(row["trainer/global_step"], row["val_accuracy"]) for row in validated] == [
        (1, 0.25),
        (3, 0.875),
        (5, 0.5),
    ]
    assert all("val_loss" in row for row in validated)
    assert [row["epoch"] for row in rows if row.get("train_loss") is not None] == [0, 0, 1, 1, 2, 2]


def test_a_direct_call_of_log_gets_the_global_step() -> None:
    class Chatty(Model):
        def on_train_batch_end(self, *_given: object) -> None:
            wandb.log({"by hand": self.global_step * 10})

    logger = WandbLogger(project="MNIST")
    trainer(logger, epochs=1).fit(Chatty(), loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    by_hand = [row for row in run.history(pandas=False) if row.get("by hand") is not None]
    assert [row["by hand"] for row in by_hand] == [10, 20]
    # The row gets the last value of the step metric, if there is one.
    assert by_hand[1]["trainer/global_step"] == 0


def test_define_metric_from_inside_a_module() -> None:
    class Best(Model):
        def validation_step(self, batch: object, index: int) -> None:
            if self.trainer.global_step == 2:
                wandb.define_metric("val_accuracy", summary="max")
            super().validation_step(batch, index)

    logger = WandbLogger(project="MNIST")
    trainer(logger).fit(Best(), loader(), loader())
    assert wandb.run.summary["val_accuracy"]["max"] == 0.875
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert dict(run.summary["val_accuracy"]) == {"max": 0.875}


@pytest.mark.parametrize("log", ["gradients", "parameters", "all"])
def test_watch(log: str) -> None:
    logger = WandbLogger(project="MNIST")
    model = Model()
    logger.watch(model, log=log, log_freq=2, log_graph=False)
    trainer(logger).fit(model, loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    names = {
        "gradients": {name for name, _ in model.named_parameters()} if log != "parameters" else set(),
        "parameters": {name for name, _ in model.named_parameters()} if log != "gradients" else set(),
    }
    rows = run.history(pandas=False)
    for of, expected in names.items():
        kept = {key for row in rows for key in row if key.startswith(f"{of}/") and row[key] is not None}
        assert {key.removeprefix(f"{of}/") for key in map(_plain, kept)} == expected
    histogram = next(row[key] for row in rows for key in row if key.endswith("layers.1.weight") and row[key])
    assert histogram["_type"] == "histogram"
    assert sum(histogram["values"]) == 48
    logger.experiment.unwatch(model)


def test_watch_logs_the_graph() -> None:
    logger = WandbLogger(project="MNIST")
    model = Model()
    logger.watch(model, log=None)
    trainer(logger, epochs=1).fit(model, loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    (kept,) = [value for key, value in run.summary.items() if key.startswith("graph_")]
    assert kept["_type"] == "graph-file"


def test_a_prefix_precedes_each_metric() -> None:
    logger = WandbLogger(project="MNIST", prefix="fold0")
    logger.log_metrics({"a": 1.0}, step=3)
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    (row,) = run.history(pandas=False)
    assert (row["fold0-a"], row["trainer/global_step"]) == (1.0, 3)


def test_a_pickled_logger_continues_its_run() -> None:
    logger = WandbLogger(project="MNIST")
    logger.log_metrics({"a": 1.0}, step=0)
    copy = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 2.0}, step=1)
    assert copy.experiment.id == logger.experiment.id
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert [row["a"] for row in run.history(pandas=False)] == [1.0, 2.0]


@of_tracker
def test_offline_needs_no_network_and_stores_everything() -> None:
    logger = WandbLogger(project="MNIST", offline=True)
    trainer(logger, epochs=1).fit(Model(), loader(), loader())
    wandb.finish()
    (run,) = wandb.Api().runs("MNIST")
    assert run.state == "finished"


def _plain(key: str) -> str:
    """Return a key without the number that ``watch`` adds for all models of a process but the first."""
    return re.sub(r"/graph_\d+", "/", key)
