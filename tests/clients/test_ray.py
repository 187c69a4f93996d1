"""Ray Tune: its ``WandbLoggerCallback``, whose trials log from processes that Ray runs in other folders."""

from __future__ import annotations

import pytest
from client_scripts import Client

import tracker

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import ray
from ray import tune
from ray.air.integrations.wandb import WandbLoggerCallback

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)

def train(config):
    for at in range(3):
        tune.report({"loss": config["lr"] / (at + 1)})

results = tune.Tuner(
    train,
    param_space={"lr": tune.grid_search([0.1, 0.2])},
    run_config=tune.RunConfig(
        storage_path=__import__("os").path.abspath("results"),
        callbacks=[WandbLoggerCallback(project="ray", group="tuned")],
    ),
).fit()
json.dump({"trials": [result.metrics["trial_id"] for result in results]}, open("reported.json", "w"))
"""


def test_trials_are_runs_in_the_store_of_the_script(client: Client) -> None:
    reported = client.run(SCRIPT)
    runs = list(tracker.Api().runs("local/ray"))
    assert sorted(run.id for run in runs) == sorted(reported["trials"])
    assert sorted(run.config["lr"] for run in runs) == [0.1, 0.2]
    for run in runs:
        assert (run.state, run.group) == ("finished", "tuned")
        losses = [row["loss"] for row in run.history(pandas=False)]
        assert losses == [run.config["lr"] / (at + 1) for at in range(3)]
