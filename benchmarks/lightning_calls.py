"""Time inside logger calls with a real Trainer, for tracker and Lightning's CSVLogger: figure ``lightning``.

A clock wraps every public method and property of the logger. Only the outermost call counts. As a script this
module is one training.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Options, ScriptError, metered, ours, print_answer, workplace
from benchmarks.product import store_of, wait_sealed
from benchmarks.report import Result, Row

METRICS = 5
TARGET = "<= CSVLogger, median of pairs"


def measure(options: Options) -> Result:
    """Train with each logger, in turns."""
    pairs = []
    for at in range(options.repeats):
        # The order of the two loggers alternates.
        order = ("csv", "ours") if at % 2 else ("ours", "csv")
        found = {which: _train(options, which) for which in order}
        pairs.append(found)
    inside = {which: [pair[which]["inside"] for pair in pairs] for which in ("ours", "csv")}
    middle = {which: statistics.median(times) for which, times in inside.items()}
    ratio = statistics.median(a / b for a, b in zip(inside["ours"], inside["csv"], strict=True))
    row = Row(
        f"inside logger calls, Lightning, {options.lightning_steps:,} steps",
        "s",
        middle["ours"],
        "CSVLogger",
        middle["csv"],
        TARGET,
        ratio <= 1,
    )
    return Result([row], {"steps": options.lightning_steps, "median of ratios": ratio, "pairs": pairs})


def _train(options: Options, which: str) -> dict[str, Any]:
    with workplace(options) as folder:
        used = metered(ours("lightning_calls", which, folder, options.lightning_steps), folder)
        if which == "ours":
            wait_sealed(store_of(folder), 1, 10)
            _check(folder, used.answer)
    return {**used.answer, "cpu": used.cpu, "wall": used.wall}


def _check(folder: Path, answer: dict[str, Any]) -> None:
    import tracker

    rows = (
        tracker.Api({"store": store_of(folder)}).run(f"lightning_logs/{answer['run']}").history(pandas=False)
    )
    for at in range(METRICS):
        key = f"metric_{at}"
        read = [row[key] for row in rows if key in row]
        if read != answer["values"][key]:
            raise ScriptError(
                f"{len(answer['values'][key])} values of {key} were logged, but others were read."
            )
    del answer["values"]


class Clock:
    """A clock that adds up the times of outermost calls, by name."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = {}
        self._inside = False

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with this clock around it."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.calls.setdefault(name, []).append(time.perf_counter() - start)
                self._inside = False

        return timed

    def watch(self, logger: type) -> type:
        """Return a logger class with timed public methods and properties."""
        members: dict[str, Any] = {"__init__": self.wrap("__init__", logger.__init__)}  # type: ignore[misc]
        for base in reversed(logger.__mro__):
            for name, member in vars(base).items():
                if name.startswith("_"):
                    continue
                if isinstance(member, property):
                    assert member.fget is not None
                    members[name] = property(self.wrap(name, member.fget), member.fset)
                elif callable(member):
                    members[name] = self.wrap(name, member)
        return type(logger.__name__, (logger,), members)


def _main(which: str, folder: str, steps: str) -> None:
    warnings.filterwarnings("ignore")
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.demos.boring_classes import RandomDataset
    from pytorch_lightning.loggers import CSVLogger

    from tracker.lightning import WandbLogger

    class Model(pl.LightningModule):  # type: ignore[misc]
        """A model with as little training as possible, and five metrics per step."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)
            self.seen: dict[str, list[float]] = {f"metric_{at}": [] for at in range(METRICS)}

        def training_step(self, batch: Any, _index: int) -> Any:
            loss = self.layer(batch).mean()
            for at in range(METRICS):
                self.log(f"metric_{at}", loss + at)
                self.seen[f"metric_{at}"].append((loss + at).item())
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-4)

    clock = Clock()
    made = clock.watch(WandbLogger if which == "ours" else CSVLogger)
    logger = made(save_dir=folder)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=int(steps),
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    model = Model()
    data = torch.utils.data.DataLoader(RandomDataset(4, int(steps)), batch_size=1)
    start = time.perf_counter()
    trainer.fit(model, data)
    fit = time.perf_counter() - start
    answer: dict[str, Any] = {"fit": fit}
    if which == "ours":
        import tracker

        answer["run"] = logger.experiment.id
        clock.wrap("finish", tracker.finish)()  # not a call of the logger, but part of its cost
        answer["values"] = model.seen
    answer["inside"] = sum(sum(times) for times in clock.calls.values())
    answer["calls"] = {
        name: {
            "count": len(times),
            "total": sum(times),
            "median_us": statistics.median(times) * 1e6,
            "largest_us": max(times) * 1e6,
        }
        for name, times in clock.calls.items()
    }
    print_answer(answer)


if __name__ == "__main__":
    _main(*sys.argv[1:])
