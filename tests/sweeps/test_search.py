"""Random values of distributions, the points of a grid, and Bayesian search."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tracker.sweeps.bayes import propose_values
from tracker.sweeps.hyperband import is_beaten, read_brackets
from tracker.sweeps.space import draw, points, read_parameters

DRAWS = 400


@pytest.mark.parametrize(
    ("spec", "low", "high", "middle"),
    [
        ({"min": 0.0, "max": 2.0}, 0, 2, 1),
        ({"min": 1, "max": 9}, 1, 9, 5),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.1}, 0, 1, 0.5),
        ({"distribution": "log_uniform", "min": -4, "max": 0}, math.exp(-4), 1, math.exp(-2)),
        ({"distribution": "log_uniform_values", "min": "1e-4", "max": 1}, 1e-4, 1, 1e-2),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1}, 0.01, 1, 0.1),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 4}, math.exp(-4), 1, math.exp(-2)),
        ({"distribution": "normal", "mu": 5, "sigma": 1}, -math.inf, math.inf, 5),
        ({"distribution": "q_normal", "mu": 50, "sigma": 5}, -math.inf, math.inf, 50),
        ({"distribution": "log_normal", "mu": 1, "sigma": 0.5}, 0, math.inf, math.e),
        ({"distribution": "beta", "a": 2, "b": 2}, 0, 1, 0.5),
    ],
)
def test_random_values_are_in_the_range_of_their_distribution(
    spec: dict[str, Any], low: float, high: float, middle: float
) -> None:
    (parameter,) = read_parameters({"x": spec})
    random = Random(7)
    drawn = sorted(draw(parameter, random) for _ in range(DRAWS))
    assert low <= drawn[0] and drawn[-1] <= high and len(set(drawn)) > 5
    below = sum(value <= middle for value in drawn)
    assert 0.38 * DRAWS < below < 0.65 * DRAWS
    if "q" in spec or spec.get("distribution") == "q_normal":
        assert all(math.isclose(value, round(value / spec.get("q", 1)) * spec.get("q", 1)) for value in drawn)


def test_values_are_drawn_by_their_probabilities() -> None:
    (parameter,) = read_parameters({"x": {"values": ["a", "b"], "probabilities": [0.9, 0.1]}})
    random = Random(1)
    assert 0.8 < sum(draw(parameter, random) == "a" for _ in range(DRAWS)) / DRAWS < 0.98


def test_points_of_a_grid() -> None:
    given = {
        "a": {"value": 1},
        "b": {"values": ["x", "y", "x"]},
        "c": {"min": 1, "max": 3},
        "d": {"distribution": "q_uniform", "min": 0, "max": 0.3, "q": 0.1},
    }
    assert [points(each) for each in read_parameters(given)] == [
        [1],
        ["x", "y"],
        [1, 2, 3],
        [0, 0.1, 0.2, 0.3],
    ]


def test_bayesian_search_proposes_values_near_the_best() -> None:
    pytest.importorskip("sklearn")
    parameters = read_parameters({"x": {"min": -10.0, "max": 10.0}, "kind": {"values": ["a", "b"]}})

    def loss(trial: list[Any]) -> float:
        return float((trial[0] - 3) ** 2 + (trial[1] == "b") * 50)

    tried = [[float(x), kind] for x in range(-9, 10, 4) for kind in "ab"]
    known = [(trial, loss(trial)) for trial in tried]
    found = [propose_values(parameters, known, [], Random(seed)) for seed in (1, 2)]
    assert all(kind == "a" and abs(x - 3) < 2 for x, kind in found), found
    waiting = propose_values(parameters, known, [found[0]], Random(1))
    assert waiting != found[0]  # a second agent gets other values
    assert propose_values(parameters, known[:2], [], Random(1)) != found[0]  # too few trials for the model


def test_brackets_of_hyperband() -> None:
    def at(**given: Any) -> tuple[int, ...]:
        found = read_brackets({"early_terminate": {"type": "hyperband", **given}})
        assert found is not None
        return found.at

    assert at(min_iter=3)[:4] == (3, 9, 27, 81)
    assert at(max_iter=27, s=2) == (3, 9)
    assert at(max_iter=16, s=3, eta=2) == (2, 4, 8)
    brackets = read_brackets({"early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}})
    assert brackets is not None
    assert not is_beaten(brackets, 2, [5, 4, 0], [])
    assert is_beaten(brackets, 2, [5, 4, 0], [[3, 3], [9]])
    assert not is_beaten(brackets, 2, [5, 4], [[3, 3], [9, 9], [9, 8]])
