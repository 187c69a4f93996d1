"""A training loop like that of nanoGPT: a character model in plain PyTorch that calls only init and log."""

from __future__ import annotations

import subprocess

import pytest
import scripts
from client_scripts import Client
from reading_runs import rows, the_run

pytestmark = pytest.mark.clients

SCRIPT = """
import json, math, time
import torch
from torch import nn
from torch.nn import functional as F

wandb_log, wandb_project, wandb_run_name = True, "owt", "gpt2" + str(time.time())
batch_size, block_size, max_iters, eval_interval = 8, 16, 20, 5
learning_rate = 1e-2
config_keys = [k for k, v in globals().items()
               if not k.startswith("_") and isinstance(v, (int, float, bool, str))]
config = {k: globals()[k] for k in config_keys}

torch.manual_seed(1337)
text = "to be or not to be that is the question " * 20
chars = sorted(set(text))
data = torch.tensor([chars.index(c) for c in text])

class GPT(nn.Module):
    def __init__(self, vocab, width=16, heads=2):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(block_size, width)
        self.block = nn.TransformerEncoderLayer(width, heads, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, vocab)
    def forward(self, idx, targets):
        mask = nn.Transformer.generate_square_subsequent_mask(idx.shape[1])
        x = self.block(self.wte(idx) + self.wpe(torch.arange(idx.shape[1])), src_mask=mask, is_causal=True)
        logits = self.head(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

def get_batch():
    ix = torch.randint(len(data) - block_size, (batch_size,))
    return (torch.stack([data[i:i + block_size] for i in ix]),
            torch.stack([data[i + 1:i + 1 + block_size] for i in ix]))

@torch.no_grad()
def estimate_loss():
    return {split: torch.stack([model(*get_batch())[1] for _ in range(3)]).mean()
            for split in ("train", "val")}

def get_lr(it):
    return learning_rate * 0.5 * (1 + math.cos(math.pi * it / max_iters))

model = GPT(len(chars))
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
if wandb_log:
    import wandb
    wandb.init(project=wandb_project, name=wandb_run_name, config=config)

reported, running_mfu = [], -1.0
X, Y = get_batch()
for iter_num in range(max_iters + 1):
    lr = get_lr(iter_num)
    for group in optimizer.param_groups:
        group["lr"] = lr
    if iter_num % eval_interval == 0:
        losses = estimate_loss()
        if wandb_log:
            wandb.log({
                "iter": iter_num,
                "train/loss": losses["train"],
                "val/loss": losses["val"],
                "lr": lr,
                "mfu": running_mfu * 100,
            })
        reported.append([iter_num, losses["train"].item(), losses["val"].item(), lr])
    logits, loss = model(X, Y)
    X, Y = get_batch()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
json.dump({"rows": reported, "name": wandb_run_name}, open("reported.json", "w"))
"""


def test_the_loop_logs_what_it_computed(client: Client) -> None:
    reported = client.run(SCRIPT)
    run = the_run("local/owt")
    assert run.name == reported["name"]
    assert run.state == "finished"
    logged = rows(run)
    assert [[row["iter"], row["train/loss"], row["val/loss"], row["lr"]] for row in logged] == reported[
        "rows"
    ]
    assert [row["mfu"] for row in logged] == [-100.0] * 5
    assert run.config["learning_rate"] == 1e-2
    assert run.config["wandb_log"] is True
    assert run.summary["val/loss"] == reported["rows"][-1][2]
    assert reported["rows"][-1][1] < reported["rows"][0][1]


def test_without_tracker_run_the_script_cannot_import_wandb(client: Client) -> None:
    (client.folder / "probe.py").write_text("import importlib.util as u; print(u.find_spec('wandb'))")
    done = subprocess.run(
        [client.python, "probe.py"],
        cwd=client.folder,
        env=scripts.environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "None\n"
