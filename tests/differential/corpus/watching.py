"""``watch``: gradients and parameters of a torch model."""

from __future__ import annotations

from collections.abc import Callable

import torch
import wandb

from differential.script import Script, Seen, differs, script

# The gradients and parameters of the model that have equal values, with that value.
GRADIENTS = {"gradients/0.bias": 0.5, "gradients/2.bias": 1.0, "gradients/2.weight": 2.0}
PARAMETERS = {f"parameters/{name}": 0.5 for name in ("0.bias", "0.weight", "2.bias", "2.weight")}


def _bars(rows: tuple[int, ...], equal: dict[str, float]) -> Callable[[Script], Script]:
    """Declare that histograms of equal values have a bin of width 1, in some rows and the summary."""

    def declare(made: Script) -> Script:
        for place in (*(f"runs/0/history/{row}" for row in rows), "runs/0/summary"):
            for name, value in equal.items():
                declared = differs(
                    f"{place}/{name}/bins",
                    [value - 0.5, value + 0.5],
                    wandb="the histogram of equal values has a bin of width 0",
                    tracker="the bin has the width 1, around the value",
                    because="wandb/wandb#10770",
                )
                made = declared(made)
        return made

    return declare


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


@_bars((0, 1), GRADIENTS)
@script
def gradients(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    run.watch(model, log="gradients", log_freq=1)
    _train(model, 2)
    run.finish()


@_bars((0, 1), PARAMETERS)
@script
def parameters(seen: Seen) -> None:
    run = wandb.init(project="demo")
    model = _model()
    run.watch(model, log="parameters", log_freq=1)
    _train(model, 2)
    run.finish()


@_bars((1, 3), {**GRADIENTS, **PARAMETERS})
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
