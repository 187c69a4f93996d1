"""keras on its torch backend: ``WandbMetricsLogger``, ``WandbModelCheckpoint``, ``WandbEvalCallback``."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

import tracker

pytestmark = pytest.mark.clients

SETUP = """
import json
import keras
import numpy as np
import wandb
from wandb.integration.keras import WandbEvalCallback, WandbMetricsLogger, WandbModelCheckpoint

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5)
model.compile(keras.optimizers.SGD(schedule), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
              metrics=["accuracy"])
run = wandb.init(project="keras", config={"epochs": 3})
def fit(*callbacks):
    return model.fit(x, y, epochs=3, batch_size=16, validation_split=0.25, verbose=0,
                     callbacks=list(callbacks))
"""


def test_metrics_of_epochs_and_a_version_for_each_checkpoint(client: Client) -> None:
    reported = client.run(
        SETUP
        + """
history = fit(WandbMetricsLogger(), WandbModelCheckpoint("models/{epoch:02d}.keras"))
predicted = model.predict(x, verbose=0)
json.dump({"id": run.id, "history": history.history, "predicted": predicted.tolist()},
          open("reported.json", "w"))
run.finish()
"""
    )
    run = the_run("local/keras")
    assert (run.id, run.state, run.config) == (reported["id"], "finished", {"epochs": 3})
    assert [row["epoch/epoch"] for row in rows(run, "epoch/epoch")] == [0, 1, 2]
    for key, values in reported["history"].items():
        assert [row[f"epoch/{key}"] for row in rows(run, f"epoch/{key}")] == values
    rates = [row["epoch/learning_rate"] for row in rows(run, "epoch/learning_rate")]
    assert rates == pytest.approx([0.1 * 0.5 ** (batches / 2) for batches in (3, 6, 9)], rel=1e-6)
    versions = tracker.Api().artifacts("model", f"local/keras/run_{run.id}_model")
    aliases = sorted(alias for version in versions for alias in version.aliases)
    assert aliases == ["epoch_0", "epoch_1", "epoch_2", "latest"]
    folder = tracker.Api().artifact(f"local/keras/run_{run.id}_model:epoch_2").download()
    assert [path.name for path in Path(folder).iterdir()] == ["03.keras"]
    again = client.run(
        SETUP.partition("model = keras")[0]
        + f'''
model = keras.models.load_model("{folder}/03.keras")
json.dump(model.predict(x, verbose=0).tolist(), open("reported.json", "w"))
''',
        program="load.py",
    )
    assert again == reported["predicted"]


def test_metrics_of_batches(client: Client) -> None:
    client.run(SETUP + "fit(WandbMetricsLogger(log_freq=2))\nrun.finish()\n")
    run = the_run("local/keras")
    # Three batches an epoch: the first and the third of each are logged.
    assert [row["batch/batch_step"] for row in rows(run, "batch/batch_step", "batch/loss")] == [
        0,
        2,
        4,
        6,
        8,
        10,
    ]
    assert len(rows(run, "batch/loss", "batch/accuracy", "batch/learning_rate")) == 6


def test_only_the_best_is_logged_when_keras_saves_only_that(client: Client) -> None:
    reported = client.run(
        SETUP
        + """
class Note(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        losses.append(logs["val_loss"])
losses = []
fit(Note(), WandbModelCheckpoint("models/{epoch:02d}.keras", save_best_only=True, mode="max"))
json.dump({"losses": losses}, open("reported.json", "w"))
run.finish()
"""
    )
    best = [
        epoch
        for epoch, loss in enumerate(reported["losses"])
        if loss > max(reported["losses"][:epoch], default=-1)
    ]
    run = the_run("local/keras")
    aliases = {alias for version in run.logged_artifacts() for alias in version.aliases}
    assert aliases == {"latest", *(f"epoch_{epoch}" for epoch in best)}


def test_a_table_of_predictions_after_each_epoch(client: Client) -> None:
    reported = client.run(
        SETUP
        + """
predicted = []
class Evaluate(WandbEvalCallback):
    def add_ground_truth(self, logs=None):
        for index in range(3):
            self.data_table.add_data(index, wandb.Image(np.full((4, 4), index * 40, np.uint8)), int(y[index]))
    def add_model_predictions(self, epoch, logs=None):
        answers = self.model.predict(x[:3], verbose=0).argmax(-1)
        for index in self.data_table_ref.get_index():
            row = self.data_table_ref.data[index]
            self.pred_table.add_data(epoch, row[0], row[1], row[2], int(answers[index]))
        predicted.append(answers.tolist())
fit(Evaluate(["id", "image", "label"], ["epoch", "id", "image", "label", "pred"]))
json.dump({"predicted": predicted}, open("reported.json", "w"))
run.finish()
"""
    )
    run = the_run("local/keras")
    versions = sorted(
        tracker.Api().artifacts("evaluation", f"local/keras/run_{run.id}_pred"),
        key=lambda found: int(found.version[1:]),
    )
    assert len(versions) == 3
    for epoch, version in enumerate(versions):
        table = version.get("eval_data")
        assert table.columns == ["epoch", "id", "image", "label", "pred"]
        assert [row[4] for row in table.data] == reported["predicted"][epoch]
        assert [(row[0], row[1]) for row in table.data] == [(epoch, index) for index in range(3)]
        assert (table.data[2][2].width, table.data[2][2].height) == (4, 4)
    assert [found.type for found in run.used_artifacts()] == ["dataset"]
