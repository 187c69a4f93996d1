"""pytorch-ignite: ``WandBLogger`` with its handlers."""

from __future__ import annotations

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import ModelCheckpoint
from ignite.handlers.wandb_logger import WandBLogger
from ignite.metrics import Accuracy, Loss
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(torch.randn(32, 4), torch.randint(2, (32,))), batch_size=8)
criterion = nn.CrossEntropyLoss()
trainer = create_supervised_trainer(model, optimizer, criterion)
evaluator = create_supervised_evaluator(model, metrics={"nll": Loss(criterion), "accuracy": Accuracy()})

wandb_logger = WandBLogger(project="pytorch-ignite-integration", name="ignite",
                           config={"max_epochs": 3, "batch_size": 8}, tags=["pytorch-ignite", "mnist"])
wandb_logger.attach_output_handler(
    trainer, event_name=Events.ITERATION_COMPLETED, tag="training",
    output_transform=lambda loss: {"batchloss": loss})
wandb_logger.attach_output_handler(
    evaluator, event_name=Events.EPOCH_COMPLETED, tag="validation", metric_names=["nll", "accuracy"],
    global_step_transform=lambda *_: trainer.state.iteration)
wandb_logger.attach_opt_params_handler(trainer, event_name=Events.EPOCH_COMPLETED, optimizer=optimizer,
                                       param_name="lr")
wandb_logger.watch(model, log="all", log_freq=2)

losses, validation = [], []
@trainer.on(Events.ITERATION_COMPLETED)
def note(engine):
    losses.append([engine.state.iteration, engine.state.output])
@trainer.on(Events.EPOCH_COMPLETED)
def validate(engine):
    evaluator.run(loader)
    metrics = evaluator.state.metrics
    validation.append([engine.state.iteration, metrics["nll"], metrics["accuracy"]])

checkpoint = ModelCheckpoint(wandb_logger.run.dir, n_saved=1, filename_prefix="best", require_empty=False,
                             score_function=lambda e: e.state.metrics["accuracy"], score_name="acc")
evaluator.add_event_handler(Events.COMPLETED, checkpoint, {"model": model})
trainer.run(loader, max_epochs=3)
run_id = wandb_logger.run.id
wandb_logger.close()
json.dump({"losses": losses, "validation": validation, "id": run_id}, open("reported.json", "w"))
"""


def test_output_metrics_and_optimizer_handlers(client: Client) -> None:
    reported = client.run(SCRIPT)
    run = the_run("local/pytorch-ignite-integration")
    assert (run.id, run.name, run.state) == (reported["id"], "ignite", "finished")
    assert run.config == {"max_epochs": 3, "batch_size": 8}
    assert set(run.tags) == {"pytorch-ignite", "mnist"}
    assert [
        [row["_step"], row["training/batchloss"]] for row in rows(run, "_step", "training/batchloss")
    ] == reported["losses"]
    keys = ("_step", "validation/nll", "validation/accuracy")
    assert [[row[key] for key in keys] for row in rows(run, *keys)] == reported["validation"]
    assert {row["lr/group_0"] for row in rows(run, "lr/group_0")} == {0.1}
    kinds = {key.partition("/")[0] for row in rows(run) for key in row}
    assert {"gradients", "parameters"} <= kinds
