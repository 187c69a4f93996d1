"""accelerate: ``log_with="wandb"``."""

from __future__ import annotations

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
accelerator = Accelerator(log_with="wandb", cpu=True)
accelerator.init_trackers("digits", config={"lr": 0.1, "layers": [4, 2]},
                          init_kwargs={"wandb": {"name": "first", "tags": ["cpu"], "entity": "team"}})
model = nn.Linear(4, 2)
data = TensorDataset(torch.randn(32, 4), torch.randint(2, (32,)))
model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1),
                                               DataLoader(data, batch_size=8))
losses = []
for step, (x, y) in enumerate(loader):
    loss = nn.functional.cross_entropy(model(x), y)
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    accelerator.log({"train_loss": loss.item(), "nested": {"step": step}}, step=step)
    losses.append(loss.item())
wandb_tracker = accelerator.get_tracker("wandb")
wandb_tracker.log_images({"noise": [np.zeros((4, 5, 3), np.uint8), np.ones((4, 5, 3), np.uint8)]}, step=4)
wandb_tracker.log_table("answers", columns=["text", "score"], data=[["a", 1.5], ["b", 2.5]], step=5)
run = accelerator.get_tracker("wandb", unwrap=True)
run.summary["best"] = min(losses)
accelerator.end_training()
json.dump({"losses": losses, "id": run.id}, open("reported.json", "w"))
"""


def test_values_images_and_tables(client: Client) -> None:
    reported = client.run(SCRIPT)
    run = the_run("team/digits")
    assert (run.id, run.name, run.tags, run.state) == (reported["id"], "first", ["cpu"], "finished")
    assert run.config == {"lr": 0.1, "layers": [4, 2]}
    assert [(row["_step"], row["train_loss"]) for row in rows(run, "_step", "train_loss")] == list(
        enumerate(reported["losses"])
    )
    assert [row["nested"] for row in rows(run, "nested")] == [{"step": step} for step in range(4)]
    (images,) = rows(run, "_step", "noise")
    assert (images["_step"], images["noise"]["_type"], images["noise"]["count"]) == (4, "images/separated", 2)
    assert (images["noise"]["width"], images["noise"]["height"]) == (5, 4)
    (table,) = rows(run, "_step", "answers")
    assert (table["_step"], table["answers"]["_type"], table["answers"]["nrows"]) == (5, "table-file", 2)
    assert run.summary["best"] == min(reported["losses"])
