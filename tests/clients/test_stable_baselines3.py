"""stable-baselines3 with wandb's callback pattern: ``sync_tensorboard=True`` and ``WandbCallback``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from client_scripts import Client
from reading_runs import rows, the_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.clients

SCRIPT = """
import json
import gymnasium as gym
import wandb
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from wandb.integration.sb3 import WandbCallback

config = {"policy_type": "MlpPolicy", "total_timesteps": 512, "env_name": "CartPole-v1"}
run = wandb.init(project="sb3", config=config, sync_tensorboard=True, save_code=True)

def make_env():
    return Monitor(gym.make(config["env_name"]))

model = PPO(config["policy_type"], DummyVecEnv([make_env]), n_steps=128, batch_size=32, n_epochs=2, seed=0,
            verbose=1, tensorboard_log=f"runs/{run.id}")
model.learn(
    total_timesteps=config["total_timesteps"],
    callback=WandbCallback(gradient_save_freq=10, model_save_path=f"models/{run.id}", verbose=2),
)
json.dump({"id": run.id, "timesteps": model.num_timesteps, "gamma": model.gamma}, open("reported.json", "w"))
run.finish()
"""


def test_tensorboard_events_of_the_library_are_in_the_run(client: Client) -> None:
    reported = client.run(SCRIPT)
    run = the_run("local/sb3")
    assert (run.id, run.state) == (reported["id"], "finished")
    assert run.config["policy_type"] == "MlpPolicy"
    assert run.config["algo"] == "PPO"
    assert run.config["gamma"] == reported["gamma"]
    (folder,) = Path("runs", run.id).iterdir()
    written = EventAccumulator(str(folder)).Reload()
    tags = written.Tags()["scalars"]
    assert {"rollout/ep_rew_mean", "train/loss", "time/fps"} <= set(tags)
    for tag in tags:
        expected = [(event.step, event.value) for event in written.Scalars(tag)]
        found = [(row["global_step"], row[tag]) for row in rows(run, "global_step", tag)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        for (_, value), (_, float32) in zip(found, expected, strict=True):
            assert value == float32 or abs(value - float32) <= 1e-7 * abs(float32)
    assert reported["timesteps"] == 512


def test_gradients_and_the_model_are_stored(client: Client) -> None:
    client.run(SCRIPT)
    run = the_run("local/sb3")
    keys = {key for row in rows(run) for key in row}
    assert any(key.startswith("gradients/") for key in keys)
    assert any(key.startswith("parameters/") for key in keys)
    files = {file.name: file for file in run.files()}
    assert any("tfevents" in name for name in files)
    files["model.zip"].download(root="got", replace=True)
    with zipfile.ZipFile("got/model.zip") as model:
        assert "policy.pth" in model.namelist()
