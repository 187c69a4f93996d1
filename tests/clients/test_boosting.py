"""xgboost and lightgbm with wandb's callbacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

import tracker

pytestmark = pytest.mark.clients

DATA = """
import json
import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4))
y = (X[:, 0] + 0.5 * X[:, 1] + 0.1 * rng.normal(size=200) > 0).astype(int)
X_train, X_test, y_train, y_test = X[:150], X[150:], y[:150], y[150:]
import wandb
"""

XGBOOST = (
    DATA
    + """
import xgboost as xgb
from wandb.integration.xgboost import WandbCallback

run = wandb.init(project="boost")
model = xgb.XGBClassifier(n_estimators=20, max_depth=2, eval_metric=["logloss", "auc"], nthread=1,
                          early_stopping_rounds=5, callbacks=[WandbCallback(log_model=True)])
model.fit(X_train, y_train, eval_set=[(X_train, y_train), (X_test, y_test)], verbose=False)
booster = model.get_booster()
json.dump({"id": run.id, "evals": model.evals_result(), "best_score": float(booster.attr("best_score")),
           "best_iteration": int(booster.attr("best_iteration"))},
          open("reported.json", "w"))
run.finish()
"""
)


def test_xgboost(client: Client) -> None:
    reported = client.run(XGBOOST)
    run = the_run("local/boost")
    assert (run.id, run.state) == (reported["id"], "finished")
    rounds = range(len(reported["evals"]["validation_0"]["auc"]))
    assert [row["epoch"] for row in rows(run, "epoch")] == list(rounds)
    for data, metrics in reported["evals"].items():
        for metric, values in metrics.items():
            assert [row[f"{data}-{metric}"] for row in rows(run, f"{data}-{metric}")] == values
    logloss, auc = (reported["evals"]["validation_1"][metric] for metric in ("logloss", "auc"))
    assert run.summary["validation_1-logloss"] == {"min": min(logloss)}
    assert run.summary["validation_1-auc"] == {"max": max(auc)}
    assert rows(run, "best_score", "best_iteration") == [
        {key: reported[key] for key in ("best_score", "best_iteration")}
    ]
    assert run.config["learner"]["objective"]["name"] == "binary:logistic"
    assert any("Feature Importance" in key for row in rows(run) for key in row)
    (model,) = (found for found in run.logged_artifacts() if found.type == "model")
    folder = Path(model.download())
    (path,) = folder.iterdir()
    assert path.name == f"{run.id}_model.json"
    assert json.loads(path.read_text())["learner"]["gradient_booster"]["name"] == "gbtree"


LIGHTGBM = (
    DATA
    + """
import lightgbm as lgb
from wandb.integration.lightgbm import log_summary, wandb_callback

run = wandb.init(project="boost")
params = {"objective": "binary", "metric": ["binary_logloss", "auc"], "num_leaves": 4, "verbose": -1,
          "num_threads": 1, "seed": 0}
train = lgb.Dataset(X_train, label=y_train)
test = lgb.Dataset(X_test, label=y_test, reference=train)
evals = {}
model = lgb.train(params, train, num_boost_round=15, valid_sets=[test], valid_names=["valid_0"],
                  callbacks=[wandb_callback(), lgb.record_evaluation(evals),
                             lgb.early_stopping(5, verbose=False)])
log_summary(model, save_model_checkpoint=True)
json.dump({"id": run.id, "evals": evals, "best_iteration": model.best_iteration,
           "best_score": model.best_score,
           "text": model.model_to_string(num_iteration=model.best_iteration)}, open("reported.json", "w"))
run.finish()
"""
)


def test_lightgbm(client: Client) -> None:
    reported = client.run(LIGHTGBM)
    run = the_run("local/boost")
    assert (run.id, run.state) == (reported["id"], "finished")
    for metric, values in reported["evals"]["valid_0"].items():
        assert [row[f"valid_0_{metric}"] for row in rows(run, f"valid_0_{metric}")] == values
    logloss, auc = (reported["evals"]["valid_0"][metric] for metric in ("binary_logloss", "auc"))
    assert [row["iteration"] for row in rows(run, "iteration")] == list(range(len(auc)))
    assert run.summary["valid_0_binary_logloss"] == {"min": min(logloss)}
    assert run.summary["valid_0_auc"] == {"max": max(auc)}
    assert run.summary["best_iteration"] == reported["best_iteration"]
    assert run.summary["best_score"] == reported["best_score"]
    assert run.config["num_leaves"] == 4
    assert any("Feature Importance" in key for row in rows(run) for key in row)
    model = tracker.Api().artifact(f"local/boost/model_{run.id}:best", type="model")
    (path,) = Path(model.download()).iterdir()
    trees = path.read_text().partition("parameters:")[0]
    assert trees == reported["text"].partition("parameters:")[0]


def test_lightgbm_cross_validation(client: Client) -> None:
    reported = client.run(
        LIGHTGBM.partition("model = lgb.train")[0]
        + """
result = lgb.cv(params, train, num_boost_round=5, nfold=3, callbacks=[wandb_callback()])
json.dump(result, open("reported.json", "w"))
run.finish()
"""
    )
    run = the_run("local/boost")
    for key, values in reported.items():
        name = key.replace(" ", "_", 1)
        assert [row[name] for row in rows(run, name)] == pytest.approx(values, rel=0), name
