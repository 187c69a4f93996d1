"""The rows that every benchmark logs: random walks, the same for tracker and for every peer."""

from __future__ import annotations

import random
from collections.abc import Iterator

SEED = 4


def make_rows(count: int, keys: int, seed: int = SEED) -> list[dict[str, float]]:
    """Return ``count`` rows of ``keys`` random-walk floats."""
    chance = random.Random(seed)
    names = [f"metric/{at}" for at in range(keys)]
    values = [0.0] * keys
    rows = []
    for _ in range(count):
        values = [value + chance.gauss(0, 1) for value in values]
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def walk(count: int, seed: int = SEED) -> Iterator[float]:
    """Yield the values of one random walk, without storing them."""
    chance = random.Random(seed)
    value = 0.0
    for _ in range(count):
        value += chance.gauss(0, 1)
        yield value
