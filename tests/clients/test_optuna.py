"""optuna: ``WeightsAndBiasesCallback`` of optuna-integration, with one run and with one for each trial."""

from __future__ import annotations

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

import tracker

pytestmark = pytest.mark.clients

SCRIPT = """
import json, warnings
import optuna
import wandb
from optuna_integration.wandb import WeightsAndBiasesCallback

MULTIRUN = {multirun}
wandbc = WeightsAndBiasesCallback(metric_name="accuracy", as_multirun=MULTIRUN,
                                  wandb_kwargs={{"project": "study", "tags": ["hpo"], "group": "one"}})

def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if MULTIRUN:
        for step in range(3):
            wandb.log({{"inside": x * step}})
    return (x - 2) ** 2

if MULTIRUN:
    objective = wandbc.track_in_wandb()(objective)
study = optuna.create_study(study_name="square", direction="minimize",
                            sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(objective, n_trials=4, callbacks=[wandbc])
json.dump([[t.number, t.params, t.value] for t in study.trials], open("reported.json", "w"))
wandb.finish()
"""


def test_one_run_has_a_row_for_each_trial(client: Client) -> None:
    reported = client.run(SCRIPT.format(multirun=False))
    run = the_run("local/study")
    assert (run.group, run.tags, run.state) == ("one", ["hpo"], "finished")
    assert run.config["direction"] == ["MINIMIZE"]
    assert [
        [row["_step"], {"x": row["x"], "kind": row["kind"]}, row["accuracy"]] for row in run.scan_history()
    ] == (reported)


def test_each_trial_is_a_run_with_its_parameters_as_config(client: Client) -> None:
    reported = client.run(SCRIPT.format(multirun=True))
    runs = {run.summary["trial_number"]: run for run in tracker.Api().runs("local/study")}
    assert sorted(runs) == [0, 1, 2, 3]
    for number, params, value in reported:
        run = runs[number]
        assert run.name.startswith(f"trial/{number}/")
        assert {key: run.config[key] for key in params} == params
        assert run.config["direction"] == ["MINIMIZE"]
        assert run.summary["accuracy"] == value
        assert [row["inside"] for row in rows(run, "inside")] == [params["x"] * step for step in range(3)]
        assert set(run.tags) == {"hpo", "square"}
        assert run.state == "finished"
