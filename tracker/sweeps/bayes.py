"""Bayesian search: the next trial, chosen with a Gaussian process over the results of earlier trials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from random import Random
from typing import Any

from tracker.errors import UnsupportedError
from tracker.sweeps.space import Parameter, draw, measure

# Number of trials with random values, before the model is used.
FIRST_TRIALS = 3
# Number of random candidates from which the model chooses.
CANDIDATES = 1000


def require_sklearn() -> None:
    """Raise UnsupportedError if scikit-learn is not installed."""
    try:
        import sklearn.gaussian_process  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "method bayes without scikit-learn", "pip install scikit-learn, or use method random"
        ) from None


def propose_values(
    parameters: list[Parameter],
    known: Sequence[tuple[list[Any], float]],
    running: Sequence[list[Any]],
    random: Random,
) -> list[Any]:
    """Return values for the next trial: the random candidate with the largest expected improvement.

    Args:
        parameters: The parameters of the sweep.
        known: Values of finished trials, each with its result; a smaller result is better.
        running: Values of trials without a result yet. The model's prediction is used as their result.
        random: Source of random numbers.
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
        warnings.simplefilter("ignore")  # sklearn warns if a fit reaches a bound; the bounds are intended
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
