"""Runs of several ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tracker
from tracker.ground.records import ConsoleLines, SystemSample


def log_ranks(store: Path) -> None:
    """Log three ranks of a run, and a run of one process. Rank 1 resumes, and logs again from step 2 on."""
    settings = {"store": store, "silent": True, "x_disable_stats": True, "console": "off"}
    given: dict[str, Any] = {"project": "ddp", "id": "job", "reinit": "create_new", "settings": settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "3")
        for attempt, ranks in enumerate(((0, 1, 2), (1,))):
            runs = []
            for rank in ranks:
                patch.setenv("RANK", str(rank))
                runs.append(tracker.init(**given, resume="allow"))
            for rank, run in zip(ranks, runs, strict=True):
                for step in range(2 * attempt, 4):
                    alone = {"lr": 0.1} if rank == 0 else {"last stage": 1.0} if rank == 2 else {}
                    run.log({"loss": float(10 * rank + step + attempt), **alone}, step=step)
                run.record(SystemSample(1000.0 + attempt, {"cpu": float(rank)}))
                run.record(ConsoleLines(1000.0, [(0, 1, f"rank {rank}"), (1, 1, f"attempt {attempt}")]))
                run.finish()
    tracker.init(project="ddp", id="alone", reinit="create_new", settings=settings).finish()
