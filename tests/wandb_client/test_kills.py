"""A server that is killed again and again loses and doubles nothing of what real clients log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import Server

import tracker

pytestmark = pytest.mark.wandb_client

# The client posts its lines every 15 s and at the end of a run, so each process logs several short runs.
LOG = """
import sys, time, wandb
settings = wandb.Settings(
    x_file_stream_retry_wait_min_seconds=0.1, x_file_stream_retry_wait_max_seconds=0.5,
    x_graphql_retry_wait_min_seconds=0.1, x_graphql_retry_wait_max_seconds=0.5,
    x_file_transfer_retry_wait_min_seconds=0.1, x_file_transfer_retry_wait_max_seconds=0.5)
for number in range(int(sys.argv[2])):
    with wandb.init(project="p", id=f"{sys.argv[1]}-{number}", settings=settings) as run:
        for step in range(50):
            run.log({"x": step, "text": f"row {step}"})
            print("line", step)
        run.summary["best"] = number
"""


@pytest.mark.parametrize(
    ("clients", "runs", "kills"),
    [
        pytest.param(3, 4, 5, id="3 clients"),
        pytest.param(32, 6, 20, id="32 clients", marks=pytest.mark.nightly),
    ],
)
def test_nothing_is_lost_or_doubled(
    client: Any, wandb_server: Server, clients: int, runs: int, kills: int
) -> None:
    names = [f"kill{clients}-{at}" for at in range(clients)]
    running = [client.start("-c", LOG, name, str(runs)) for name in names]
    server, total = wandb_server, clients * runs * 50
    for kill in range(kills):
        # Each kill comes after more data has arrived.
        scripts.wait_for(lambda share=kill / kills: applied(client.store) > share * total, "rows", 300)
        server.kill()
        server = server.again()
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    api = tracker.Api(overrides={"store": str(client.store)})
    for name in names:
        for number in range(runs):
            run = api.run(f"local/p/{name}-{number}")
            assert [(row["_step"], row["x"], row["text"]) for row in run.history(pandas=False)] == [
                (step, step, f"row {step}") for step in range(50)
            ]
            output = run._reader.console("local", "p", run.id)
            assert [line.text for line in output.lines] == [f"line {step}" for step in range(50)]
            assert {each.name for each in run.files()} >= {"wandb-metadata.json", "requirements.txt"}
            assert (run.state, run.summary["best"]) == ("finished", number)
    server.stop()


def applied(store: Path) -> int:
    """Return the number of rows that have arrived."""
    runs = (
        tracker.Api(overrides={"store": str(store)}).runs("local/p")
        if (store / "catalog.db").exists()
        else []
    )
    return sum((run.lastHistoryStep or 0) + 1 for run in runs if run.lastHistoryStep >= 0)
