"""transformers: ``Trainer.hyperparameter_search(backend="wandb")``, which uses ``sweep`` and ``agent``."""

from __future__ import annotations

import pytest
from client_scripts import Client

import tracker

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=8, max_position_embeddings=8, num_labels=2)

def examples(count):
    ids = torch.randint(1, 20, (count, 6))
    return [{"input_ids": row, "labels": (row[0] % 2)} for row in ids]

trainer = Trainer(
    model_init=lambda: BertForSequenceClassification(config),
    args=TrainingArguments(output_dir="out", report_to="wandb", use_cpu=True, disable_tqdm=True, max_steps=4,
                           logging_steps=2, eval_strategy="steps", eval_steps=2, save_strategy="no"),
    train_dataset=examples(16), eval_dataset=examples(8),
)

def space(trial):
    return {"method": "random", "metric": {"name": "objective", "goal": "minimize"},
            "parameters": {"learning_rate": {"distribution": "uniform", "min": 1e-4, "max": 1e-2}}}

best = trainer.hyperparameter_search(backend="wandb", hp_space=space, n_trials=2, project="search",
                                     direction="minimize", name="sweep")
json.dump({"run": best.run_id, "objective": best.objective, "parameters": best.hyperparameters},
          open("reported.json", "w"))
"""


def test_hyperparameter_search(client: Client) -> None:
    reported = client.run(SCRIPT)
    runs = list(tracker.Api().runs("local/search"))
    assert [run.state for run in runs] == ["finished"] * 2
    rates = [run.config["learning_rate"] for run in runs]
    assert len(set(rates)) == 2
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    best = next(run for run in runs if run.id == reported["run"])
    assert best.config["learning_rate"] == reported["parameters"]["learning_rate"]
