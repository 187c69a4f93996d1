"""Which trial of a sweep comes next."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

from tracker.ground.names import new_run_id
from tracker.sweeps.bayes import promising
from tracker.sweeps.config import parameters_of, sign_of
from tracker.sweeps.files import Sweep, Trial, text_of
from tracker.sweeps.space import draw, nested, pick, points

# Returns what a trial gave: a number, or None, and whether it can still give one.
Outcome = Callable[[Trial], tuple[float | None, bool]]


def next_trial(sweep: Sweep, outcome: Outcome, random: Random) -> Trial | None:
    """Claim a sweep's next trial; None when it has no more.

    Args:
        sweep: The sweep.
        outcome: Asked of earlier trials where the method learns from them.
        random: What draws.
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
            continue  # a prior run without one of the parameters
        gave, waits = outcome(trial)
        if gave is not None:
            known.append((value, gave * sign_of(config)))
        elif waits:
            running.append(value)
    return nested(parameters, promising(parameters, known, running, random))
