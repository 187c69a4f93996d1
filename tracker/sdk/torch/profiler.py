"""``wandb.profiler``: traces of PyTorch's profiler become files of the run."""

from __future__ import annotations

import os
from typing import Any

from tracker.errors import UsageError
from tracker.sdk.process import active_runs


def torch_trace_handler() -> Any:
    """Return a handler for ``torch.profiler.profile(on_trace_ready=...)`` that stores traces with the run.

    The traces are in ``pytorch_traces`` of the run's folder (wandb: ``sdk/internal/profiler.py``).

    Raises:
        UsageError: There is no active run.
    """
    run = active_runs.current_of_this_process()
    if run is None:
        raise UsageError("Please call `wandb.init()` before `wandb.profiler.torch_trace_handler()`")
    from torch.profiler import tensorboard_trace_handler

    folder = os.path.join(run.dir, "pytorch_traces")
    os.makedirs(folder, exist_ok=True)
    return tensorboard_trace_handler(folder)
