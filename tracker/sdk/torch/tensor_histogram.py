"""Histograms of tensors, computed on the tensor's device. Only the counts are copied to the CPU."""

from __future__ import annotations

from typing import Any

from tracker.data_types.histogram import Histogram
from tracker.ground.histogram import LARGEST, rising_range

BINS = 64


def count_tensor(tensor: Any) -> Histogram | None:
    """Return the histogram of a torch tensor, or None if it has no finite value.

    The histogram has ``BINS`` equal bins from the smallest to the largest finite value, like those of
    ``wandb.watch`` (wandb: ``integration/torch/wandb_torch.py``). If all values are equal, it has one bin
    around the value. The implicit zeros of a sparse tensor are counted.

    Args:
        tensor: A tensor of any shape, device and layout. Types other than float32 and float64 are converted
            to float32. Of complex numbers, the real part is used.
    """
    import torch

    values = tensor.detach()
    if values.is_meta:
        return None
    zeros = 0
    if values.layout != torch.strided:
        sparse = values if values.layout == torch.sparse_coo else values.to_sparse_coo()
        sparse = sparse.coalesce()
        values = sparse.values()
        zeros = sparse.numel() - values.numel()
    if values.is_complex():
        values = values.real
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    values = values.reshape(-1)
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        values = values[finite]
    if not values.numel():
        return None
    if values.dtype == torch.float64:
        values = values.clamp(-LARGEST, LARGEST)
    least, most = (edge.item() for edge in torch.aminmax(values))
    if zeros:
        least, most = min(least, 0.0), max(most, 0.0)
    if least == most:
        return Histogram(np_histogram=([values.numel() + zeros], rising_range(least, most, 1)))
    low, high = rising_range(least, most, BINS)
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64).tolist()
    counts = _count(values, low, high)
    if zeros:
        counts[_bin_of_zero(edges)] += zeros
    return Histogram(np_histogram=(counts, edges))


def _count(values: Any, low: float, high: float) -> list[float]:
    try:
        counts = values.histc(BINS, low, high)
    except RuntimeError:  # not supported by the device, or by the mode for deterministic algorithms
        counts = values.cpu().histc(BINS, low, high)
    counted: list[float] = counts.tolist()
    return counted


def _bin_of_zero(edges: list[float]) -> int:
    for at in range(len(edges) - 1):
        if edges[at] <= 0 < edges[at + 1]:
            return at
    return len(edges) - 2
