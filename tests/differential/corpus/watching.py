"""``watch``: gradients and parameters of a torch model."""

from __future__ import annotations

import torch
import wandb

from differential.script import Seen, script


def _model() -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    return model


def _train(model: torch.nn.Module, steps: int) -> None:
    for at in range(steps):
        model.zero_grad()
        loss = model(torch.tensor([[1.0, 2.0]])).sum()
        loss.backward()
        wandb.log({"loss": loss.item(), "at": at})


@script
def gradients(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    run.watch(model, log="gradients", log_freq=1)
    _train(model, 2)
    run.finish()


@script
def parameters(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    run.watch(model, log="parameters", log_freq=1)
    _train(model, 2)
    run.finish()


@script
def all_at_a_frequency(seen: Seen) -> None:
    wandb.init(project="demo")
    model = _model()
    wandb.watch(model, log="all", log_freq=2)
    _train(model, 4)
    wandb.unwatch(model)
    _train(model, 1)
    wandb.finish()


@script
def graph(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    run.watch(model, log=None, log_graph=True)
    _train(model, 1)
    run.finish()


@script
def refused(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    with seen.error("word"):
        run.watch(model, log="everything")
    with seen.error("no model"):
        run.watch("model")
    run.watch(model)
    with seen.error("twice"):
        run.watch(model)
    run.finish()
