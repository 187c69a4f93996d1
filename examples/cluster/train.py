"""Train a small network with torch.distributed. The job scripts in this folder start this file for each rank.

Each rank logs to the run that TRACKER_RUN_ID names. Before the time limit of a Slurm job
(``--signal=USR1@60``), rank 0 puts the job into the queue again. The next start of the job continues from the
checkpoint.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

import tracker as wandb


def main() -> None:
    """Train, and log the loss of this rank in each epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds of further work in each epoch")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"))
    options = parser.parse_args()

    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")  # reads RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT
    run = wandb.init(project="cluster", config={"epochs": options.epochs})
    warnings: list[int] = []
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGUSR1, lambda number, _frame: warnings.append(number))

    torch.manual_seed(0)
    model: nn.Module = nn.Linear(8, 1)
    first = 0
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint)
        model.load_state_dict(saved["model"])
        first = saved["epoch"] + 1
    trained = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)
    for epoch in range(first, options.epochs):
        inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(1000 * epoch + rank))
        loss = nn.functional.mse_loss(trained(inputs), inputs.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss.item()}, step=epoch)
        if rank == 0:
            save(options.checkpoint, model, epoch)
            if warnings:
                warnings.clear()
                subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
        time.sleep(options.pause)
    run.finish()


def save(path: Path, model: nn.Module, epoch: int) -> None:
    """Write a checkpoint. A process that is killed while it writes leaves the previous checkpoint."""
    temporary = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "epoch": epoch}, temporary)
    temporary.replace(path)


if __name__ == "__main__":
    main()
