"""Conversion of values for the summary, where it differs from the history."""

from __future__ import annotations

import math
from typing import Any

from tracker.ground.values import LONGEST_LIST

_PERCENTILES = (10, 25, 75, 90)


def is_large_array(value: Any) -> bool:
    """Return whether a value is an array that is too large for the summary to keep in full."""
    if not (hasattr(value, "__array__") or hasattr(value, "detach")):
        return False
    return math.prod(getattr(value, "shape", ())) > LONGEST_LIST


def describe_array(value: Any) -> dict[str, Any]:
    """Return the extremes, mean, variance and percentiles of an array, for the summary.

    The keys are those of wandb (wandb: ``util.py``, ``maybe_compress_summary``).
    """
    import numpy as np

    kind = type(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
    array = np.asarray(value)
    described: dict[str, Any] = {
        "_type": f"{kind.__module__.partition('.')[0]}.{kind.__name__}",
        "var": float(np.var(array)),
        "mean": float(np.mean(array)),
        "min": np.amin(array).item(),
        "max": np.amax(array).item(),
    }
    for share in _PERCENTILES:
        described[f"{share}%"] = float(np.percentile(array, share))
    described["size"] = math.prod(array.shape)
    return described
