"""catboost with wandb's callback and ``log_summary``."""

from __future__ import annotations

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import numpy as np
import wandb
from catboost import CatBoostClassifier, Pool
from wandb.integration.catboost import WandbCallback, log_summary

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4))
y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
run = wandb.init(project="boost")
model = CatBoostClassifier(iterations=15, depth=2, eval_metric="AUC", thread_count=1, random_seed=0,
                           allow_writing_files=False)
model.fit(Pool(X[:150], y[:150]), eval_set=Pool(X[150:], y[150:]), callbacks=[WandbCallback()], verbose=False)
log_summary(model, log_feature_importance=True, save_model_checkpoint=True)
json.dump({"id": run.id, "evals": model.get_evals_result(), "best": model.get_best_iteration(),
           "score": model.get_best_score()}, open("reported.json", "w"))
run.finish()
"""


def test_catboost(client: Client) -> None:
    reported = client.run(SCRIPT)
    run = the_run("local/boost")
    assert (run.id, run.state) == (reported["id"], "finished")
    found = rows(run, "iteration@metric-period-1", "learn-Logloss", "validation-AUC")
    assert found == [
        {"iteration@metric-period-1": number, "learn-Logloss": loss, "validation-AUC": area}
        for number, (loss, area) in enumerate(
            zip(reported["evals"]["learn"]["Logloss"], reported["evals"]["validation"]["AUC"], strict=True),
            1,
        )
    ]
    assert run.summary["best_iteration"] == reported["best"]
    assert run.config["depth"] == 2
    assert [each.name for each in run.logged_artifacts() if each.type == "model"] == [f"model_{run.id}:v0"]
