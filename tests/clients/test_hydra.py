"""hydra and omegaconf: configs as ``config=`` and ``wandb.config``, and a multirun."""

from __future__ import annotations

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

import tracker

pytestmark = pytest.mark.clients

CONFIG = """
project: hydra
seed: 3
model:
  name: mlp
  layers: [8, 4]
  width: ${.layers.0}
optimizer:
  lr: 0.1
  nesterov: false
  schedule: null
"""
SCRIPT = """
import hydra
import wandb
from omegaconf import DictConfig, OmegaConf

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    wandb.config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    run = wandb.init(entity=None, project=cfg.project, dir=hydra.utils.get_original_cwd(), reinit=True,
                     settings=wandb.Settings(start_method="thread"), CONFIG)
    wandb.config.update({"run_dir": "unknown"}, allow_val_change=True)
    wandb.log({"loss": cfg.optimizer.lr * 2, "width": cfg.model.width})
    run.finish()

main()
"""
PLAIN = {
    "project": "hydra",
    "seed": 3,
    "model": {"name": "mlp", "layers": [8, 4], "width": 8},
    "optimizer": {"lr": 0.1, "nesterov": False, "schedule": None},
}


def start(client: Client, config: str, *arguments: str) -> None:
    (client.folder / "conf").mkdir()
    (client.folder / "conf" / "config.yaml").write_text(CONFIG)
    client.run(SCRIPT.replace("CONFIG", config), *arguments)


def test_a_container_as_config_with_an_override(client: Client) -> None:
    start(
        client, "config=OmegaConf.to_container(cfg, resolve=True)", "optimizer.lr=0.25", "+model.dropout=0.5"
    )
    run = the_run("local/hydra")
    expected = {**PLAIN, "model": {**PLAIN["model"], "dropout": 0.5}, "run_dir": "unknown"}
    assert run.config == {**expected, "optimizer": {**PLAIN["optimizer"], "lr": 0.25}}
    assert rows(run) == [{"loss": 0.5, "width": 8}]


def test_the_config_object_itself_is_resolved(client: Client) -> None:
    start(client, "config=cfg")
    run = the_run("local/hydra")
    assert run.config == {**PLAIN, "run_dir": "unknown"}


def test_wandb_config_from_before_init_is_replaced_by_the_run_config(client: Client) -> None:
    start(client, "name='set before'")
    run = the_run("local/hydra")
    assert run.name == "set before"
    assert run.config == {"run_dir": "unknown"}


def test_a_multirun_is_one_run_for_each_job(client: Client) -> None:
    start(
        client, "config=OmegaConf.to_container(cfg, resolve=True)", "--multirun", "optimizer.lr=0.1,0.2,0.3"
    )
    runs = list(tracker.Api().runs("local/hydra"))
    assert sorted(run.config["optimizer"]["lr"] for run in runs) == [0.1, 0.2, 0.3]
    assert sorted(run.summary["loss"] for run in runs) == [0.2, 0.4, 0.6]
    assert {run.state for run in runs} == {"finished"}
