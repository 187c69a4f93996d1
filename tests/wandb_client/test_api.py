"""``wandb.Api()`` of the real client against a server: what it reads is what ``tracker.Api`` reads."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from serving import serving

import tracker
from tracker.cli.main import main

if TYPE_CHECKING:
    from wandb_client.conftest import Client

pytestmark = pytest.mark.wandb_client


@pytest.fixture
def client(own_client: Client) -> Client:
    """Return the client of a new store."""
    return own_client


LOG = """
import wandb
for at in range(3):
    config = {"lr": 0.1 * (at + 1), "nested": {"a": at}, "opt": "adam" if at else "sgd"}
    with wandb.init(project="reads", id=f"r{at}", name=f"run {at}", config=config, tags=["x", f"t{at}"],
                    group=f"g{at % 2}", job_type="train", notes="about") as run:
        for step in range(20):
            run.log({"loss": (at + 1) / (step + 1), "acc": step / 20, "nest": {"v": step},
                     "odd": float("nan")})
            if step == 3:
                run.log({"rare": 1})
        print("printed")
"""
FILTERS: list[dict[str, Any]] = [
    {"config.lr": {"$gt": 0.15}},
    {"config.opt.value": "adam"},
    {"config.opt": {"$ne": "adam"}},
    {"config.nested.value.a": {"$in": [1, 2]}},
    {"$or": [{"group": "g1"}, {"display_name": "run 0"}]},
    {"$and": [{"jobType": "train"}, {"tags": {"$nin": ["t1"]}}]},
    {"tags": "t1"},
    {"state": "finished"},
    {"state": {"$ne": "running"}},
    {"display_name": {"$regex": "run [01]"}},
    {"name": "r1"},
    {"created_at": {"$gt": "2020-01-01T00:00:00Z"}},
    {"createdAt": {"$lt": "2020-01-01T00:00:00Z"}},
    {"summary_metrics.loss": {"$lte": 0.1}},
    {"config.nope": {"$exists": False}},
    {"config.lr": {"$not": {"$gt": 0.15}}},
]
ORDERS = ["+created_at", "-created_at", "-config.lr.value", "+summary_metrics.loss", "-heartbeat_at"]


def test_reading_runs(client: Client) -> None:
    client.run(LOG)
    found = client.ask(f"""
import wandb
api = wandb.Api()
runs = lambda **options: [run.id for run in api.runs("local/reads", **options)]
run = api.run("local/reads/r1")
scan = list(run.scan_history())
show(dict(
    filters=[runs(filters=each) for each in {FILTERS!r}],
    orders=[runs(order=each) for each in {ORDERS!r}],
    pages=runs(per_page=2), length=len(api.runs("local/reads", {{"tags": "t1"}})),
    own=[runs(filters={{"username": api.viewer.username}}), runs(filters={{"username": "other"}})],
    lines=[each.historyLineCount for each in api.runs("local/reads")],
    full=[each.config for each in api.runs("local/reads", lazy=False)],
    shown=[run.name, run.state, run.tags, run.group, run.job_type, run.notes, run.path, run.lastHistoryStep],
    config=run.config, summary=run.summary._json_dict,
    scan=[[row["_step"], row.get("loss"), row.get("rare")] for row in scan],
    odd=repr(scan[0]["odd"]), nested=scan[3]["nest"],
    part=list(run.scan_history(keys=["loss", "nest.v"], min_step=3, max_step=6)),
    small=len(list(run.scan_history(page_size=3))),
    rare=list(run.scan_history(keys=["rare"])),
    samples=run.history(samples=5, pandas=False), frame=len(run.history()),
    by_acc=run.history(keys=["loss"], x_axis="acc", samples=3, pandas=False),
    system=sorted(run.history(stream="system", pandas=False)[0])[:1],
    typed=run.history_keys["keys"]["nest.v"],
    files=[[file.name, file.size > 0] for file in run.files()],
    yaml=run.file("config.yaml").download("down", replace=True).read().splitlines()[0],
    output=run.file("output.log").download("down", replace=True).read(),
    metadata=run.metadata["python"][:2],
    console=[line.content for line in run.console_logs()],
    projects=[project.name for project in api.projects()],
    reports=len(api.reports("local/reads")), sweeps=len(api.project("reads").sweeps()),
))
""")
    own = tracker.Api({"store": str(client.store)})
    for test, ids in zip(FILTERS, found["filters"], strict=True):
        assert ids == [run.id for run in own.runs("local/reads", test)], test
    assert sorted({len(ids) for ids in found["filters"]}) == [0, 1, 2, 3]
    for order, ids in zip(ORDERS, found["orders"], strict=True):
        assert ids == [run.id for run in own.runs("local/reads", order=order)], order
    assert found["pages"] == ["r0", "r1", "r2"]
    assert (found["length"], found["own"]) == (1, [["r0", "r1", "r2"], []])
    assert found["lines"] == [21, 21, 21]
    assert found["full"] == [run.config for run in own.runs("local/reads")]
    run = own.run("local/reads/r1")
    assert found["shown"] == [
        "run 1", "finished", ["x", "t1"], "g1", "train", "about", ["local", "reads", "r1"], 20,
    ]  # fmt: skip
    assert found["config"] == run.config
    assert {key: found["summary"][key] for key in ("loss", "acc", "nest", "_step")} == {
        key: run.summary[key] for key in ("loss", "acc", "nest", "_step")
    }
    rows = list(run.scan_history())
    assert found["scan"] == [[row["_step"], row.get("loss"), row.get("rare")] for row in rows]
    assert (found["odd"], found["nested"]) == ("nan", {"v": 3})
    assert found["part"] == [{"_step": at, "loss": 2 / (at + 1), "nest.v": at} for at in (3,)] + [
        {"_step": at, "loss": 2 / at, "nest.v": at - 1} for at in (5,)
    ]
    assert (found["small"], found["rare"]) == (len(rows), [{"_step": 4, "rare": 1}])
    assert [row["_step"] for row in found["samples"]][::4] == [0, rows[-1]["_step"]]
    assert found["frame"] == len(rows)
    assert [row["acc"] for row in found["by_acc"]][::2] == [0, 0.95]
    assert found["system"] == ["_runtime"]
    assert found["typed"]["typeCounts"][0]["type"] == "number"
    assert found["typed"]["previousValue"] == 19
    assert [name for name, _ in found["files"]] == [file.name for file in run.files()]
    assert all(has_content for _, has_content in found["files"])
    assert (found["yaml"], found["output"], found["console"]) == (
        "wandb_version: 1",
        "printed\n",
        ["printed"],
    )
    assert (found["metadata"], found["projects"]) == ("CP", ["reads"])
    assert (found["reports"], found["sweeps"]) == (0, 0)


def test_changing_runs(client: Client) -> None:
    client.run(LOG)
    (client.folder / "data.txt").write_text("some data")
    found = client.ask("""
import wandb
api = wandb.Api()
run = api.run("local/reads/r1")
run.name, run.notes, run.tags, run.group = "new name", "new notes", ["a", "b"], "new group"
run.config["added"] = {"deep": [1, 2]}
del run.config["opt"]
run.summary["best"] = 9
run.update()
run.summary.update({"more": 1.5})
again = wandb.Api().run("local/reads/r1")
api.run("local/reads/r0").upload_file("data.txt")
file = api.run("local/reads/r0").file("data.txt")
text = file.download("down").read()
file.delete()
made = api.create_run(project="reads", run_id="made")
made_state = api.run("local/reads/made").state
failed = api.run("local/reads/made").update_state("failed")
api.run("local/reads/r2").delete()
running = api.create_run(project="reads", run_id="running")
running.delete()
running.delete()
secret = api.viewer.generate_api_key("laptop")
with_key = wandb.Api().viewer.api_keys
revoked = api.viewer.delete_api_key(secret)
try:
    wandb.restore("none.txt", run_path="local/reads/r1")
except ValueError as error:
    restored = str(error)
api.create_project("later", "local")
again.wait_until_finished()
show(dict(
    again=[again.name, again.notes, again.tags, again.group, again.config, again.summary._json_dict],
    text=text, files=[file.name for file in wandb.Api().run("local/reads/r0").files(pattern="data%")],
    made=[made.id, made_state, failed, wandb.Api().run("local/reads/made").state],
    left=sorted(run.id for run in wandb.Api().runs("local/reads")),
    keys=[len(secret) > 40, "laptop" in with_key, revoked, "laptop" in wandb.Api().viewer.api_keys],
    restored=restored,
))
""")
    own = tracker.Api({"store": str(client.store)})
    run = own.run("local/reads/r1")
    *shown, config, summary = found["again"]
    assert shown == [run.name, run.notes, run.tags, run.group]
    assert shown == ["new name", "new notes", ["a", "b"], "new group"]
    assert config == run.config == {"lr": 0.2, "nested": {"a": 1}, "added": {"deep": [1, 2]}}
    assert (summary["best"], summary["more"], summary["loss"]) == (9, 1.5, 0.1)
    assert (run.summary["best"], run.summary["more"]) == (9, 1.5)
    assert (found["text"], found["files"]) == ("some data", [])
    assert found["made"] == ["made", "running", True, "failed"]
    assert found["left"] == sorted(run.id for run in own.runs("local/reads")) == ["made", "r0", "r1"]
    assert found["keys"] == [True, True, True, False]
    assert found["restored"] == "File none.txt not found in local/reads/r1."


def test_a_scan_after_a_resume_is_never_old(client: Client) -> None:
    code = """
import wandb
for part in range(2):
    with wandb.init(project="p", id="r", resume="allow") as run:
        for _ in range(5):
            run.log({"loss": part})
    print("\\n" + str([row["loss"] for row in wandb.Api().run("local/p/r").scan_history()]))
run = wandb.Api().run("local/p/r")
try:
    run.download_history_exports("exports")
except wandb.apis.public.runhistory.IncompleteRunHistoryError:
    print("\\n[incomplete]")
print("\\n" + str([row["loss"] for row in run.scan_history(use_cache=True)]))
"""
    lines = [line for line in client.run(code).stdout.splitlines() if line.startswith("[")]
    both = "[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]"
    assert lines == ["[0, 0, 0, 0, 0]", both, "[incomplete]", both]


def test_keys_and_roles(client: Client) -> None:
    secret = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9"
    store = client.store
    client.run(LOG.replace("range(3)", "range(1)"))
    client.server.stop()
    for number, name in enumerate(("ann", "viv", "eve")):
        command("user", store, "add", name, "--api-key-stdin", text=f"{secret}0{number}\n")
    for name, role in (("ann", "writer"), ("viv", "viewer")):
        command("member", store, "local/reads", name, role)
    command("private", store, "local/reads", "on")
    keys = {name: f"{secret}0{number}" for number, name in enumerate(("ann", "viv", "eve"))}
    keys["reading"] = command("key", store, "--user", "ann", "--read-only").strip()
    keys["bound"] = command("key", store, "--user", "ann", "--project", "local/other").strip()
    code = """
import wandb
def tried(function):
    try:
        return function()
    except Exception as error:
        return type(error).__name__ + ": " + str(error).partition("Ask ")[0].strip()
def edit():
    run = wandb.Api().run("local/reads/r0")
    run.tags = ["edited"]
    run.update()
show([tried(lambda: wandb.Api().viewer.username), tried(lambda: len(wandb.Api().runs("local/reads"))),
      tried(edit), tried(lambda: [project.name for project in wandb.Api().projects("local")])])
"""
    with serving(store, key=True) as server:
        client.server = server
        found = {name: client.ask(code, WANDB_API_KEY=key) for name, key in keys.items()}
        viewer = "CommError: You are viewer of local/reads. This needs the role writer."
        no_run = "CommError: Could not find run <Run local/reads/r0 (not found)>"
        no_project = "ValueError: Could not find project reads"
        assert found == {
            "ann": ["ann", 1, None, ["reads"]],
            "viv": ["viv", 1, viewer, ["reads"]],
            "eve": ["eve", no_project, no_run, []],
            "reading": [
                "ann", 1, "CommError: This API key can only read. Use a key with the scope write.", ["reads"],
            ],
            "bound": ["ann", no_project, no_run, []],
        }  # fmt: skip
        wrong = client.ask(code, WANDB_API_KEY=f"{secret}99")
        assert "Invalid API key. Run `wandb login --relogin`" in wrong[0]
        options = ("--verify", "--relogin", "--host", server.url)
        good = client.command("login", *options, keys["ann"], WANDB_API_KEY="", WANDB_SILENT="")
        assert "logged in as: ann" in good.stderr + good.stdout
        assert keys["ann"] in (client.folder / ".netrc").read_text()
        bad = client.command("login", *options, f"{secret}99", WANDB_API_KEY="", WANDB_SILENT="")
        assert bad.returncode != 0
        assert not any(key in "".join(server.errors) for key in keys.values())


def command(name: str, store: Path, *arguments: str, text: str = "") -> str:
    """Run a command of tracker for a store, and return its output."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown):
        patch.setattr(sys, "stdin", io.StringIO(text))
        main([name, "--store", str(store), *arguments])
    return shown.getvalue()
