"""Choice of the next trial of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

from tracker.ground.names import new_run_id
from tracker.sweeps.bayes import propose_values
from tracker.sweeps.config import parameters_of, sign_of
from tracker.sweeps.files import Sweep, Trial, text_of
from tracker.sweeps.space import draw, nested, pick, points

# A function that returns the result of a trial, or None, and whether the trial can still have a result later.
Outcome = Callable[[Trial], tuple[float | None, bool]]


def next_trial(sweep: Sweep, outcome: Outcome, random: Random) -> Trial | None:
    """Claim the next trial of a sweep and return it; return None if the sweep has no more trials.

    Args:
        sweep: The sweep.
        outcome: Returns results of earlier trials, for the method ``bayes``.
        random: Source of random numbers.
    """
    run_id = new_run_id()
    while True:
        trials = sweep.trials()
        parameters = _next(sweep.config, trials, outcome, random)
        if parameters is None:
            return None
        trial = Trial(len(trials), run_id, parameters)
        if sweep.claim(trial):
            return trial


def _next(
    config: dict[str, Any], trials: list[Trial], outcome: Outcome, random: Random
) -> dict[str, Any] | None:
    cap = config.get("run_cap")
    if cap is not None and sum(not trial.prior for trial in trials) >= cap:
        return None
    parameters = parameters_of(config)
    if config["method"] == "grid":
        taken = {text_of(trial.parameters) for trial in trials}
        every = (nested(parameters, list(each)) for each in product(*map(points, parameters)))
        return next((each for each in every if text_of(each) not in taken), None)
    if config["method"] == "random":
        return nested(parameters, [draw(each, random) for each in parameters])
    known, running = [], []
    for trial in trials:
        value = pick(parameters, trial.parameters)
        if value is None:
            continue  # a prior run that does not have one of the parameters
        result, is_running = outcome(trial)
        if result is not None:
            known.append((value, result * sign_of(config)))
        elif is_running:
            running.append(value)
    return nested(parameters, propose_values(parameters, known, running, random))
