"""Configuration of a sweep, and its checks when the sweep is made."""

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
# Keys of sweeps that run in wandb's job queues.
_LAUNCH = ("job", "image_uri", "scheduler", "launch")


def check_sweep(given: Any) -> dict[str, Any]:
    """Return a sweep's config as plain values.

    Raises:
        UsageError: The config is invalid.
        UnsupportedError: The config needs wandb's job queues, or a package that is not installed.
    """
    if not isinstance(given, Mapping):
        raise UsageError(
            f"Invalid sweep: it is a {type(given).__name__}. Use a dict with method and parameters."
        )
    try:
        config: dict[str, Any] = to_plain(dict(given))
    except TypeError as error:
        raise UsageError(f"Invalid value in the sweep: {error}. Use plain values only.") from None
    for key in _LAUNCH:
        if config.get(key):
            raise UnsupportedError(f"a sweep with {key!r}", "use program or command; start agents in jobs")
    method = config.get("method")
    if method not in METHODS:
        raise UsageError(f"Invalid method {method!r} of the sweep. Use one of: {', '.join(METHODS)}.")
    found = read_parameters(config.get("parameters"))
    if method == "grid":
        for parameter in found:
            points(parameter)
    _check_metric(config)
    read_brackets(config)
    cap = config.get("run_cap")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        raise UsageError(f"Invalid run_cap {cap!r} of the sweep. Use a number of runs, 1 or more.")
    command = config.get("command")
    if command is not None and not (isinstance(command, list) and command):
        raise UsageError(
            f"Invalid command {command!r} of the sweep. "
            "Use a list of words, such as ['python', '${program}']."
        )
    if method == "bayes":
        from tracker.sweeps.bayes import require_sklearn

        require_sklearn()
    return config


def _check_metric(config: dict[str, Any]) -> None:
    metric = config.get("metric")
    if metric is None:
        for what in (f"method {config['method']}" if config["method"] == "bayes" else "", "early_terminate"):
            if what and (what != "early_terminate" or config.get(what)):
                raise UsageError(
                    f"{what} needs a metric. Add one, such as metric: {{'name': 'loss', 'goal': 'minimize'}}."
                )
        return
    if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
        raise UsageError(
            f"Invalid metric {metric!r} of the sweep: it has no name. "
            "Use {'name': 'loss', 'goal': 'minimize'}."
        )
    if metric.get("goal", "minimize") not in GOALS:
        raise UsageError(f"Invalid goal {metric['goal']!r} of the metric. Use one of: {', '.join(GOALS)}.")


def parameters_of(config: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters of a checked sweep config."""
    return read_parameters(config["parameters"])


def sign_of(config: Mapping[str, Any]) -> float:
    """Return 1 or -1: the metric multiplied by this number is better if it is smaller."""
    metric = config.get("metric") or {}
    return -1.0 if metric.get("goal", "minimize") == "maximize" else 1.0


def expected_runs(config: Mapping[str, Any]) -> int | None:
    """Return the number of runs of a complete sweep; None if the sweep has no end."""
    cap: int | None = config.get("run_cap")
    if config["method"] != "grid":
        return cap
    count = math.prod(len(points(parameter)) for parameter in parameters_of(config))
    return count if cap is None else min(cap, count)
