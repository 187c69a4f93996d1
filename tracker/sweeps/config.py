"""What a sweep is told to do, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tracker.errors import UnsupportedError, UsageError
from tracker.ground.values import to_plain
from tracker.sweeps.hyperband import read_brackets
from tracker.sweeps.space import Parameter, points, read_parameters

METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
# Of a sweep of wandb's job queues.
_LAUNCH = ("job", "image_uri", "scheduler", "launch")


def check_sweep(given: Any) -> dict[str, Any]:
    """Return a sweep's config as plain values.

    Raises:
        UsageError: It cannot work; says what is wrong.
        UnsupportedError: It asks for wandb's job queues, or for a method whose package is missing.
    """
    if not isinstance(given, Mapping):
        raise UsageError(f"a sweep is a dict with method and parameters, not {type(given).__name__}")
    try:
        config: dict[str, Any] = to_plain(dict(given))
    except TypeError as error:
        raise UsageError(f"a sweep holds plain values only: {error}") from None
    for key in _LAUNCH:
        if config.get(key):
            raise UnsupportedError(f"a sweep with {key!r}", "give program or command, start agents in jobs")
    method = config.get("method")
    if method not in METHODS:
        raise UsageError(f"method of the sweep is {method!r}; use one of {', '.join(METHODS)}")
    found = read_parameters(config.get("parameters"))
    if method == "grid":
        for parameter in found:
            points(parameter)
    _check_metric(config)
    read_brackets(config)
    cap = config.get("run_cap")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        raise UsageError(f"run_cap of the sweep is {cap!r}; give a number of runs")
    command = config.get("command")
    if command is not None and not (isinstance(command, list) and command):
        raise UsageError("command of the sweep must be a list of words, such as ['python', '${program}']")
    if method == "bayes":
        from tracker.sweeps.bayes import require_learning

        require_learning()
    return config


def _check_metric(config: dict[str, Any]) -> None:
    metric = config.get("metric")
    if metric is None:
        for what in (f"method {config['method']}" if config["method"] == "bayes" else "", "early_terminate"):
            if what and (what != "early_terminate" or config.get(what)):
                raise UsageError(f"{what} needs a metric: {{'name': 'loss', 'goal': 'minimize'}}")
        return
    if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
        raise UsageError("metric of the sweep needs a name: {'name': 'loss', 'goal': 'minimize'}")
    if metric.get("goal", "minimize") not in GOALS:
        raise UsageError(f"goal of the metric is {metric['goal']!r}; use one of {', '.join(GOALS)}")


def parameters_of(config: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters of a sweep that was checked."""
    return read_parameters(config["parameters"])


def sign_of(config: Mapping[str, Any]) -> float:
    """Return what a metric is multiplied by so that less is better."""
    metric = config.get("metric") or {}
    return -1.0 if metric.get("goal", "minimize") == "maximize" else 1.0


def expected_runs(config: Mapping[str, Any]) -> int | None:
    """Return how many runs a sweep has when it is done; None: it has no end."""
    cap: int | None = config.get("run_cap")
    if config["method"] != "grid":
        return cap
    count = math.prod(len(points(parameter)) for parameter in parameters_of(config))
    return count if cap is None else min(cap, count)
