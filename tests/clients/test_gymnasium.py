"""gymnasium: ``monitor_gym=True`` logs the videos that ``RecordVideo`` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_scripts import Client
from reading_runs import rows, the_run

pytestmark = pytest.mark.clients

SCRIPT = """
import gymnasium as gym
import wandb
from gymnasium.wrappers import RecordVideo

run = wandb.init(project="gym", monitor_gym=True)
env = RecordVideo(gym.make("CartPole-v1", render_mode="rgb_array"), "videos", episode_trigger=lambda e: True)
for episode in range(2):
    env.reset(seed=episode)
    done, total = False, 0.0
    while not done:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        done, total = terminated or truncated, total + reward
    wandb.log({"return": total})
env.close()
run.finish()
"""


def test_each_recorded_episode_is_a_video(client: Client) -> None:
    client.run(SCRIPT, SDL_VIDEODRIVER="dummy")
    run = the_run("local/gym")
    videos = [row["videos"] for row in rows(run, "videos")]
    recorded = sorted(Path("videos").glob("*.mp4"))
    assert len(recorded) == 2
    assert [video["_type"] for video in videos] == ["video-file"] * 2
    assert [video["size"] for video in videos] == [path.stat().st_size for path in recorded]
    assert len(rows(run, "return")) == 2
    with next(file for file in run.files() if file.name == videos[0]["path"]).download(root="got") as copy:
        assert Path(copy.name).read_bytes() == recorded[0].read_bytes()
