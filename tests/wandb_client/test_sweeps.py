"""``wandb sweep`` and ``wandb agent`` of the real client: the sweeps are those of ``tracker sweep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tracker
from tracker.store.objects.layout import Layout
from tracker.sweeps.files import Sweep

if TYPE_CHECKING:
    from wandb_client.conftest import Client

pytestmark = pytest.mark.wandb_client


@pytest.fixture
def client(own_client: Client) -> Client:
    """Return the client of a new store."""
    return own_client


# The agent asks every 5 seconds; the client has this attribute for tests.
FAST = """
import wandb, wandb.agents.pyagent as agents
agents.Agent.HEARTBEAT_SLEEP_SECONDS = 0.2
"""


def test_grid_with_a_function(client: Client) -> None:
    found = client.ask(f"""{FAST}
config = {{"method": "grid", "name": "named", "metric": {{"name": "loss", "goal": "minimize"}}}}
config["parameters"] = {{"lr": {{"values": [0.1, 1e-5]}}, "inner": {{"parameters": {{"a": {{"value": 3}}}}}}}}
sweep = wandb.sweep(config, project="s", entity="local")
def train():
    with wandb.init() as run:
        run.log({{"loss": run.config.lr * 2}})
wandb.agent(sweep, function=train, project="s", entity="local")
with wandb.init(project="s", entity="local", id="other"):
    pass
api = wandb.Api()
read = api.sweep(f"local/s/{{sweep}}")
show(dict(
    id=sweep, state=read.state, config=read.config, name=read.name, expected=read.expected_run_count,
    runs=[[run.id, run.config, run.sweep_name] for run in read.runs],
    best=read.best_run().config["lr"], best_loss=read._attrs["bestLoss"],
    all=[each.id for each in api.project("s").sweeps()],
    of_run=api.run("local/s/" + read.runs[0].id).sweep.id,
    without=[run.id for run in api.runs("local/s", {{"sweep": None}})],
    within=len(api.runs("local/s", {{"sweep": {{"$in": [sweep, "none"]}}}})),
    agents=[[run.id for run in agent.runs()] for agent in read.agents()],
))
""")
    own = tracker.Api({"store": str(client.store)}).sweep(f"local/s/{found['id']}")
    assert (found["state"], own.state) == ("FINISHED", "FINISHED")
    assert (found["config"], found["name"], found["expected"]) == (own.config, "named", 2)
    runs = [[run.id, run.config, found["id"]] for run in own.runs]
    assert found["runs"] == runs
    assert [config for _, config, _ in runs] == [{"lr": rate, "inner": {"a": 3}} for rate in (0.1, 1e-5)]
    best = own.best_run()
    assert best is not None
    assert found["best"] == best.config["lr"] == 1e-5
    assert found["best_loss"] == 2e-5
    assert (found["all"], found["of_run"]) == ([found["id"]], found["id"])
    assert (found["without"], found["within"]) == (["other"], 2)
    assert found["agents"] == [[run for run, _, _ in runs]]


def test_random_and_bayes(client: Client) -> None:
    pytest.importorskip("sklearn")
    found = client.ask(f"""{FAST}
def train():
    with wandb.init() as run:
        run.log({{"loss": (run.config.x - 0.3) ** 2}})
made = []
for method, most in (("random", 2), ("bayes", 5)):
    sweep = wandb.sweep({{"method": method, "run_cap": most, "metric": {{"name": "loss", "goal": "minimize"}},
                         "parameters": {{"x": {{"min": 0.0, "max": 1.0}}}}}}, project="s", entity="local")
    wandb.agent(sweep, function=train, project="s", entity="local", count=most)
    made.append([sweep, [run.config["x"] for run in wandb.Api().sweep(f"local/s/{{sweep}}").runs]])
show(made)
""")
    for sweep, values in found:
        assert len(set(values)) in (2, 5), sweep
        assert all(0 <= each <= 1 for each in values)


def test_hyperband_stops_a_function(client: Client) -> None:
    found = client.ask(
        f"""{FAST}
import time
stopped = []
def train():
    settings = wandb.Settings(x_file_stream_transmit_interval=0.5)
    with wandb.init(settings=settings) as run:
        try:
            # Only an exception of the agent ends the loop of the second trial.
            for at in range(10**6 if run.config.x else 5):
                run.log({{"loss": run.config.x + 1 / (at + 1)}})
                time.sleep(0.05)
        except Exception:
            stopped.append(run.config.x)
            raise
sweep = wandb.sweep({{"method": "grid", "metric": {{"name": "loss", "goal": "minimize"}},
                     "early_terminate": {{"type": "hyperband", "min_iter": 2, "eta": 2}},
                     "parameters": {{"x": {{"values": [0, 5]}}}}}}, project="s", entity="local")
wandb.agent(sweep, function=train, project="s", entity="local", count=2)
show([stopped, len(wandb.Api().sweep(f"local/s/{{sweep}}").runs)])
""",
    )
    assert found == [[5], 2]


def test_commands(client: Client) -> None:
    (client.folder / "train.py").write_text(
        "import wandb, sys\n"
        "with wandb.init() as run:\n"
        "    run.log({'loss': run.config['x'], 'same': sys.argv[1:] == [f\"--x={run.config['x']}\"]})\n"
    )
    (client.folder / "sweep.yaml").write_text(
        "program: train.py\nmethod: grid\nmetric: {name: loss, goal: maximize}\n"
        "parameters:\n  x: {values: [1, 2]}\n"
    )
    place = ("-p", "s", "-e", "local")
    made = client.command("sweep", *place, "sweep.yaml", WANDB_SILENT="")
    path = made.stderr.partition("wandb agent ")[2].split()[0]
    ended = client.command("agent", "--count", "1", path, WANDB_SILENT="")
    assert ended.returncode == 0, ended.stderr
    states = []
    for option in ("--pause", "--resume"):
        ended = client.command("sweep", option, path)
        assert ended.returncode == 0, ended.stderr
        states.append(Sweep(Layout(client.store), *path.split("/")).requested_state)
    assert states == ["PAUSED", "RUNNING"]
    ended = client.command("agent", path, WANDB_SILENT="")
    assert ended.returncode == 0, ended.stderr
    own = tracker.Api({"store": str(client.store)}).sweep(path)
    assert [(run.config, run.summary["same"]) for run in own.runs] == [({"x": 1}, True), ({"x": 2}, True)]
    best = own.best_run()
    assert best is not None
    assert (own.state, best.config) == ("FINISHED", {"x": 2})
    (client.folder / "sweep.yaml").write_text(
        "program: train.py\nmethod: grid\nparameters:\n  x: {values: [1, 2, 3]}\n"
    )
    assert client.command("sweep", *place, "--update", path, "sweep.yaml").returncode == 0
    assert client.command("sweep", "--cancel", path).returncode == 0
    ended = client.command("agent", path, WANDB_SILENT="")
    assert "exit command" in ended.stderr
    again = Sweep(Layout(client.store), *path.split("/"))
    assert (again.requested_state, len(again.trials())) == ("CANCELED", 2)
    assert again.config["parameters"] == {"x": {"values": [1, 2, 3]}}
    (client.folder / "sweep.yaml").write_text(
        "program: train.py\nmethod: grid\nparameters: {x: {min: 0.0, max: 1.0}}\n"
    )
    wrong = client.command("sweep", *place, "sweep.yaml", WANDB_SILENT="")
    assert wrong.returncode != 0
    assert "Parameter 'x' has too many values for a grid." in wrong.stderr
