"""A server that is killed again and again loses and doubles nothing of what real clients log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import Server

import tracker

pytestmark = pytest.mark.wandb_client

# The client posts every 15 s; these settings make it post, and try again, without long pauses.
LOG = """
import sys, time, wandb
run = wandb.init(project="p", id=sys.argv[1], settings=wandb.Settings(
    x_file_stream_transmit_interval=0.2, x_file_stream_retry_wait_min_seconds=0.1,
    x_file_stream_retry_wait_max_seconds=0.5, x_graphql_retry_wait_min_seconds=0.1,
    x_graphql_retry_wait_max_seconds=0.5, x_file_transfer_retry_wait_min_seconds=0.1,
    x_file_transfer_retry_wait_max_seconds=0.5))
print("started", flush=True)
for step in range(int(sys.argv[2])):
    run.log({"x": step, "text": f"row {step}"})
    print("line", step)
    time.sleep(0.01)
run.finish()
"""


@pytest.mark.parametrize(
    ("clients", "rows", "kills"),
    [pytest.param(4, 300, 4, id="4"), pytest.param(32, 1000, 10, id="32", marks=pytest.mark.nightly)],
)
def test_nothing_is_lost_or_doubled(
    client: Any, wandb_server: Server, clients: int, rows: int, kills: int
) -> None:
    names = [f"kill{clients}-{at}" for at in range(clients)]
    running = [client.start("-c", LOG, name, str(rows)) for name in names]
    server = wandb_server
    for process in running:
        assert process.stdout.readline() == "started\n", process.stderr.read()
    for _ in range(kills):
        known = applied(client.store, names)
        # Each kill comes after the server has received more.
        scripts.wait_for(lambda known=known: applied(client.store, names) > known, "more rows")
        server.kill()
        server = server.again()
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    api = tracker.Api(overrides={"store": str(client.store)})
    for name in names:
        run = api.run(f"local/p/{name}")
        assert [(row["_step"], row["x"], row["text"]) for row in run.history(pandas=False)] == [
            (step, step, f"row {step}") for step in range(rows)
        ]
        output = run._reader.console("local", "p", name)
        assert [line.text for line in output.lines][1:] == [f"line {step}" for step in range(rows)]
        assert run.state == "finished"
    server.stop()


def applied(store: Path, names: list[str]) -> int:
    """Return the number of rows that have arrived."""
    runs = tracker.Api(overrides={"store": str(store)}).runs("local/p", {"name": {"$in": names}})
    return sum((run.lastHistoryStep or 0) + 1 for run in runs)
