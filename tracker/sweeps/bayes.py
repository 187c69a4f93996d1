"""The trial that promises most, by a Gaussian process over what earlier ones gave."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from random import Random
from typing import Any

from tracker.errors import UnsupportedError
from tracker.sweeps.space import Parameter, draw, measure

# Trials that are drawn before anything is learned, and candidates that are weighed then.
FIRST_TRIALS = 3
CANDIDATES = 1000


def require_learning() -> None:
    """Raise UnsupportedError where scikit-learn is not installed."""
    try:
        import sklearn.gaussian_process  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "method bayes without scikit-learn", "pip install scikit-learn, or use method random"
        ) from None


def promising(
    parameters: list[Parameter],
    known: Sequence[tuple[list[Any], float]],
    running: Sequence[list[Any]],
    random: Random,
) -> list[Any]:
    """Return values for the next trial: of many that are drawn, the one of largest expected improvement.

    Args:
        parameters: The sweep's.
        known: Values of trials, with what they gave; less is better.
        running: Values of trials that gave nothing yet: taken for as good as is expected of them.
        random: What draws.
    """
    candidates = [[draw(each, random) for each in parameters] for _ in range(CANDIDATES)]
    if len(known) < FIRST_TRIALS:
        return candidates[0]
    import numpy as np
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped,unused-ignore]
    from sklearn.gaussian_process.kernels import (  # type: ignore[import-untyped,unused-ignore]
        Matern,
        WhiteKernel,
    )

    def place(trials: Sequence[list[Any]]) -> Any:
        rows = [
            [x for each, value in zip(parameters, trial, strict=True) for x in measure(each, value)]
            for trial in trials
        ]
        return np.array(rows, float)

    drawn = place(candidates)
    if not drawn.shape[1]:
        return candidates[0]
    middle, spread = drawn.mean(axis=0), np.where(drawn.std(axis=0) > 0, drawn.std(axis=0), 1)
    drawn = (drawn - middle) / spread
    there = (place([trial for trial, _ in known]) - middle) / spread
    gave = np.array([value for _, value in known], float)
    kernel = Matern(nu=2.5, length_scale_bounds=(0.05, 50)) + WhiteKernel(1e-3, (1e-8, 1.0))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=random.randrange(2**31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds that a fit came to: they are meant
        model.fit(there, gave)
        if running:
            waiting = (place(running) - middle) / spread
            there, gave = np.vstack([there, waiting]), np.append(gave, model.predict(waiting))
            model.fit(there, gave)
        mean, deviation = model.predict(drawn, return_std=True)
    better = gave.min() - mean
    far = better / np.maximum(deviation, 1e-12)
    normal = np.exp(-(far**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * (1 + math.erf(each / math.sqrt(2))) for each in far])
    return candidates[int(np.argmax(better * below + deviation * normal))]
