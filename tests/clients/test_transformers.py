"""transformers: ``Trainer`` with ``report_to="wandb"``, WANDB_LOG_MODEL and WANDB_WATCH."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

import tracker

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

set_seed(0)
config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=8, max_position_embeddings=8, num_labels=2)
model = BertForSequenceClassification(config)

def examples(count):
    ids = torch.randint(1, 20, (count, 6))
    return [{"input_ids": row, "labels": (row[0] % 2)} for row in ids]

def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir="out", run_name="tiny", report_to="wandb", use_cpu=True, disable_tqdm=True, max_steps=120,
        logging_steps=20, eval_strategy="steps", eval_steps=60, save_steps=60, learning_rate=1e-2,
        per_device_train_batch_size=4,
    ),
    train_dataset=examples(64), eval_dataset=examples(16), compute_metrics=accuracy,
)
trainer.train()
import wandb
json.dump({"log": trainer.state.log_history, "id": wandb.run.id, "parameters": model.num_parameters(),
           "weights": {k: v.tolist() for k, v in model.state_dict().items()}}, open("reported.json", "w"))
"""


def logged(path: str, reported: dict) -> None:
    """Compare the history of the run with the log history of the Trainer."""
    run = the_run(path)
    assert (run.id, run.name, run.state) == (reported["id"], "tiny", "finished")
    training = [entry for entry in reported["log"] if "loss" in entry]
    evaluations = [entry for entry in reported["log"] if "eval_loss" in entry]
    assert len(training) == 6
    assert len(evaluations) == 2
    assert rows(run, "train/global_step", "train/loss", "train/learning_rate", "train/epoch") == [
        {
            "train/global_step": entry["step"],
            "train/loss": entry["loss"],
            "train/learning_rate": entry["learning_rate"],
            "train/epoch": entry["epoch"],
        }
        for entry in training
    ]
    assert rows(run, "train/global_step", "eval/loss", "eval/accuracy") == [
        {
            "train/global_step": entry["step"],
            "eval/loss": entry["eval_loss"],
            "eval/accuracy": entry["eval_accuracy"],
        }
        for entry in evaluations
    ]
    (end,) = (entry for entry in reported["log"] if "train_loss" in entry)
    assert run.summary["train_loss"] == end["train_loss"]
    assert run.summary["train_runtime"] == end["train_runtime"]
    assert run.config["hidden_size"] == 8
    assert run.config["learning_rate"] == 1e-2
    assert run.config["max_steps"] == 120
    assert run.config["model/num_parameters"] == reported["parameters"]


LOAD = """
import json, sys
from transformers import BertForSequenceClassification
models = [BertForSequenceClassification.from_pretrained(folder) for folder in sys.argv[1:]]
json.dump([{k: v.tolist() for k, v in model.state_dict().items()} for model in models],
          open("reported.json", "w"))
"""


def test_metrics_checkpoints_and_gradients(client: Client) -> None:
    reported = client.run(SCRIPT, WANDB_PROJECT="tiny", WANDB_LOG_MODEL="checkpoint", WANDB_WATCH="all")
    logged("local/tiny", reported)
    run = the_run("local/tiny")
    artifacts = {alias: found for found in run.logged_artifacts() for alias in found.aliases}
    assert {"base_model", "checkpoint_global_step_60", "checkpoint_global_step_120", "final_model"} <= set(
        artifacts
    )
    assert {found.name.partition(":")[0] for found in artifacts.values()} == {"model-tiny"}
    assert artifacts["latest"].digest == artifacts["final_model"].digest
    assert artifacts["final_model"].metadata["final_model"] is True
    checkpoint = artifacts["checkpoint_global_step_120"]
    assert checkpoint.metadata["model/num_parameters"] == reported["parameters"]
    final = tracker.Api().artifact("local/tiny/model-tiny:final_model")
    loaded = client.run(LOAD, checkpoint.download(), final.download("final"), program="load.py")
    assert loaded == [reported["weights"]] * 2
    kinds = {key.partition("/")[0] for row in rows(run) for key in row}
    assert {"gradients", "parameters"} <= kinds


def test_the_model_at_the_end_only(client: Client) -> None:
    reported = client.run(SCRIPT, WANDB_PROJECT="tiny", WANDB_LOG_MODEL="end")
    logged("local/tiny", reported)
    versions = the_run("local/tiny").logged_artifacts()
    assert sorted(alias for found in versions for alias in found.aliases) == [
        "base_model",
        "final_model",
        "latest",
    ]
    folder = tracker.Api().artifact("local/tiny/model-tiny:latest").download()
    assert client.run(LOAD, folder, program="load.py") == [reported["weights"]]


def test_a_disabled_run_trains_and_stores_nothing(client: Client) -> None:
    script = SCRIPT.replace("max_steps=120", "max_steps=2").replace("wandb.run.id", "None")
    client.run(script, WANDB_PROJECT="tiny", WANDB_MODE="disabled")
    assert not Path("tracker-store").exists()
