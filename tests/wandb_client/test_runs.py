"""Runs that the real client logs to the server are those that tracker's own client logs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripts
from playwright.sync_api import expect

import tracker
from tests.browser.conftest import launched

pytestmark = pytest.mark.wandb_client

# A key that each client writes itself.
OWN_CONFIG = ("_wandb",)
TIMES = ("_runtime", "_timestamp", "_wandb")  # the last one has the seconds of the run in a summary
LOG = """
import sys, wandb
run = wandb.init(project="p", id="plain", name="first", config={"lr": 0.1, "deep": {"a": [1, None]}},
                 tags=["x"], notes="some notes", group="g", job_type="train")
run.define_metric("epoch")
run.define_metric("val/*", step_metric="epoch", summary="max")
for step in range(10):
    run.log({"loss": 1 / (step + 1), "epoch": step // 2, "val/acc": step / 10, "odd": float("nan"),
             "deep": {"inner": {"value": step}}, "text": f"step {step}"})
print("to stdout")
print("to stderr", file=sys.stderr)
run.config.update({"later": 5})
run.summary["best"] = {"score": 7}
run.alert("Title", "Text", level="WARN")
run.log({"loss": 0.01}, step=20)
run.tags += ("y",)
run.name = "second"
run.finish()
"""


def answers(store: Path, *, path: str = "local/p/plain") -> dict[str, Any]:
    """Return what ``Api`` and readers answer about a run, without times and what depends on the client."""
    api = tracker.Api(overrides={"store": str(store)})
    run = api.run(path)
    rows = [
        {key: value for key, value in row.items() if key not in TIMES} for row in run.history(pandas=False)
    ]
    detail = run._reader.run(*path.split("/"))
    return {
        "state": run.state,
        "name": run.name,
        "notes": run.notes,
        "tags": sorted(run.tags),
        "group": run.group,
        "job_type": run.job_type,
        "config": {key: value for key, value in run.config.items() if key not in OWN_CONFIG},
        "summary": {key: value for key, value in dict(run.summary).items() if key not in TIMES},
        "rows": rows,
        "last_step": run.lastHistoryStep,
        "keys": [(key.key, key.kind, key.count, key.last_step) for key in detail.keys],
        "alerts": [(alert.title, alert.text, alert.level) for alert in detail.alerts],
    }


RESUME = """
import sys, wandb
def log(values, **options):
    with wandb.init(project="p", **options) as run:
        begin = run.starting_step
        for value in values:
            run.log({"x": value})
        return begin
def fails(**options):
    try:
        log([0], **options)
    except wandb.errors.UsageError as error:
        return str(error).splitlines()[0]
    raise AssertionError(options)
assert log([1, 2, 3], id="a", config={"one": 1}) == 0
assert log([4, 5], id="a", resume="must", config={"two": 2}) == 3
assert log([6], id="a", resume="allow") == 5
assert log([7], id="b", resume="allow") == 0
assert log([8], id="c", resume="never") == 0
assert log([9], id="d", resume="auto") == 0
assert log([60, 70], resume_from="a?_step=2") == 3
assert log([600], fork_from="a?_step=3", id="forked") == 4
assert log([1, 2], id="again") == 0
assert log([10], id="again") == 0
assert "already exists" in fails(id="c", resume="never")
assert "does not exist" in fails(id="nothing", resume="must")
"""


def rows_of(store: Path, run: str) -> list[tuple[int, float]]:
    rows = tracker.Api(overrides={"store": str(store)}).run(f"local/p/{run}").history(pandas=False)
    assert all(row["_runtime"] >= 0 for row in rows)
    return [(row["_step"], row["x"]) for row in rows]


def test_a_run_is_resumed_rewound_and_forked(client: Any) -> None:
    client.run(RESUME)
    store = client.store
    assert rows_of(store, "a") == [(0, 1), (1, 2), (2, 3), (3, 60), (4, 70)]
    assert rows_of(store, "forked") == [(0, 1), (1, 2), (2, 3), (3, 60), (4, 600)]
    assert rows_of(store, "again") == [(0, 10)]
    api = tracker.Api(overrides={"store": str(store)})
    # A resume keeps the config, a fork inherits it, and the rows that a rewind hides are kept.
    for name in ("a", "forked"):
        assert {key: api.run(f"local/p/{name}").config[key] for key in ("one", "two")} == {"one": 1, "two": 2}
    hidden = api.run("local/p/a")._reader.run("local", "p", "a").segments
    assert [(each.rows, each.shown_before) for each in hidden] == [(3, 3), (2, 3), (1, 3), (2, None)]


SHARED = """
import sys, wandb
name = sys.argv[1]
first = name == "w0"
settings = wandb.Settings(mode="shared", x_label=name, x_primary=first, x_update_finish_state=first)
run = wandb.init(project="p", id="shared", config={name: 1}, settings=settings)
for step in range(20):
    run.log({f"{name}/x": step, "both": step})
run.finish()
"""


def test_several_writers_share_a_run(client: Any) -> None:
    running = [client.start("-c", SHARED, name) for name in ("w0", "w1")]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    client.run(SHARED, "w2")  # after the run has ended
    run = tracker.Api(overrides={"store": str(client.store)}).run("local/p/shared")
    rows = run.history(pandas=False)
    for name in ("w0", "w1", "w2"):
        assert [row[f"{name}/x"] for row in rows if f"{name}/x" in row] == [*range(20)]
    assert len(rows) == 60
    assert run.summary["w2/x"] == 19
    assert {name: run.config.get(name) for name in ("w0", "w1", "w2")} == {"w0": 1, "w1": 1, "w2": 1}


OFFLINE = """
import os, signal, sys, wandb
run = wandb.init(project="p", id=sys.argv[1], mode="offline", config={"lr": 0.1})
for step in range(5):
    run.log({"x": step})
print("printed")
run.finish()
"""


def test_offline_runs_are_synced_and_nothing_doubles(client: Any) -> None:
    client.run(OFFLINE, "offline")
    (folder,) = (client.folder / "wandb").glob("offline-run-*")
    for arguments in ((), ("--include-synced",)):
        done = client.command("sync", *arguments, str(folder))
        assert "Finished syncing" in done.stdout + done.stderr
        assert rows_of(client.store, "offline") == [(step, step) for step in range(5)]
    run = tracker.Api(overrides={"store": str(client.store)}).run("local/p/offline")
    assert (run.state, run.config["lr"]) == ("finished", 0.1)
    assert [line.text for line in run._reader.console("local", "p", "offline", tail=1).lines] == ["printed"]


MEDIA = """
import os, numpy, wandb
run = wandb.init(project="p", id="media")
pixels = numpy.arange(48, dtype="uint8").reshape(4, 4, 3)
image = wandb.Image(pixels, caption="one")
run.log({"image": image, "images": [wandb.Image(pixels), wandb.Image(pixels + 1)]})
run.log({"histogram": wandb.Histogram([1, 2, 2, 3]), "html": wandb.Html("<p>text</p>")})
os.makedirs("out/deep")
open("out/deep/kept.txt", "w").write("kept")
run.save("out/deep/kept.txt", base_path="out", policy="now")
open("live.txt", "w").write("before")
run.save("live.txt", policy="live")
open("end.txt", "w").write("before")
run.save("end.txt", policy="end")
open("end.txt", "w").write("after")
run.finish()
"""


def test_media_and_files_arrive(client: Any, tmp_path: Path) -> None:
    client.run(MEDIA)
    native = tmp_path / "native"
    code = MEDIA.replace("numpy, wandb", "numpy; import tracker as wandb").replace("out/deep", "out2/deep")
    scripts.run(code.replace('"out"', '"out2"'), tmp_path, TRACKER_STORE=str(native))
    answers = []
    for store in (client.store, native):
        run = tracker.Api(overrides={"store": str(store)}).run("local/p/media")
        files = {each.name: each for each in run.files()}
        rows = run.history(pandas=False)
        image = rows[0]["image"]
        content = {}
        for name in ("deep/kept.txt", "live.txt", "end.txt", image["path"]):
            saved = Path(files[name].download(root=str(tmp_path / store.name), replace=True).name)
            content[name.replace(image["path"], "image")] = saved.read_bytes()
        answers.append(
            (
                content,
                {key: image[key] for key in ("_type", "width", "height", "format", "caption", "sha256")},
                rows[0]["images"]["_type"],
                rows[0]["images"]["count"],
                rows[1]["histogram"],
                rows[1]["html"]["_type"],
            )
        )
    assert same(answers[0]) == same(answers[1])


CHANGED = """
import time, wandb
run = wandb.init(project="p", id="changed", name="first", resume="allow")
run.log({"x": 1})
api = wandb.Api()
while api.run("p/changed").lastHistoryStep < 0:
    time.sleep(0.1)
    api.flush()
run.tags += ("a",)
run.notes = "text"
run.log({"x": 2})
run.finish()
"""


def test_a_change_of_tags_begins_no_attempt(client: Any) -> None:
    client.run(CHANGED)
    client.run(CHANGED)
    run = tracker.Api(overrides={"store": str(client.store)}).run("local/p/changed")
    assert rows_of(client.store, "changed") == [(0, 1), (1, 2), (2, 1), (3, 2)]
    segments = run._reader.run("local", "p", "changed").segments
    assert sorted((each.attempt, each.rows) for each in segments) == [(0, 2), (1, 2)]
    assert (run.state, run.tags, run.notes) == ("finished", ["a"], "text")


TABLE = """
import datetime, numpy, wandb
run = wandb.init(project="p", id="table")
pixels = numpy.arange(48, dtype="uint8").reshape(4, 4, 3)
for step in range(2):
    table = wandb.Table(columns=["name", "image", "when", "vector"])
    for at in range(3):
        when = datetime.datetime(2026, 1, 1 + at)
        table.add_data(f"row {at}", wandb.Image(pixels + at), when, numpy.arange(300.0) + at)
    run.log({"table": table, "plain": wandb.Table(columns=["a"], data=[["Image"], ["b"]])})
grown = wandb.Table(columns=["name", "image"], log_mode="INCREMENTAL")
for at in range(3):
    grown.add_data(f"row {at}", wandb.Image(pixels + at))
    run.log({"grown": grown})
run.finish()
"""


def test_media_in_cells_of_tables_are_shown(client: Any, tmp_path: Path) -> None:
    client.run(TABLE)
    native = tmp_path / "native"
    scripts.run(
        TABLE.replace("numpy, wandb", "numpy; import tracker as wandb"), tmp_path, TRACKER_STORE=str(native)
    )
    answers = []
    for store in (client.store, native):
        run = tracker.Api(overrides={"store": str(store)}).run("local/p/table")
        files = {each.name: each for each in run.files()}
        shown: dict[str, Any] = {}
        for key in ("table", "plain", "grown"):
            page = run._reader.table_page("local", "p", "table", key, None)
            shown[key] = page.columns, page.total, page.rows
            for cell in (cell for row in page.rows for cell in row if isinstance(cell, dict)):
                saved = Path(files[cell["path"]].download(root=str(tmp_path / store.name), replace=True).name)
                assert hashlib.sha256(saved.read_bytes()).hexdigest() == cell["sha256"]
                for name in ("path", "size", "caption"):  # the client leaves them out, or has other names
                    cell.pop(name, None)
        answers.append(shown)
    assert answers[0]["table"][2][1][1]["width"] == 4
    assert same(answers[0]) == same(answers[1])


STOPPED = """
import sys, time, wandb
settings = wandb.Settings(x_file_stream_transmit_interval=0.5)  # by default 15 seconds
run = wandb.init(project="p", id="stopped", resume=sys.argv[1], settings=settings)
if sys.argv[1] == "must":
    run.log({"x": -1})
    run.finish()
    sys.exit(5)
print("started", flush=True)
try:
    while True:
        run.log({"x": 1})
        time.sleep(0.1)
except KeyboardInterrupt:
    print("interrupted")
"""
STOP = """
import wandb
wandb.Api().run("local/p/stopped").stop()
"""


def stop_with_api(client: Any) -> None:
    client.run(STOP)


def stop_on_page(client: Any) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"{client.server.url}/local/p?run=stopped")
        page.get_by_role("button", name="Stop the script of the run").click()
        page.get_by_role("button", name="Stop the script of the run, confirmed").click()
        expect(page.get_by_text("The script learns within")).to_be_visible()
        # A run that has ended is not stopped.
        expect(page.get_by_role("button", name="Stop the script of the run")).to_have_count(0)


@pytest.mark.parametrize("stop", [stop_with_api, pytest.param(stop_on_page, marks=pytest.mark.browser)])
def test_a_stop_reaches_the_script_once(own_client: Any, stop: Callable[[Any], None]) -> None:
    process = own_client.start("-c", STOPPED, "never")
    assert process.stdout.readline() == "started\n"
    stop(own_client)
    output, errors = process.communicate(timeout=120)
    assert "interrupted" in output, errors
    assert own_client.run(STOPPED, "must", check=False).returncode == 5  # a new attempt is not stopped
    with own_client.server.client() as http:
        refused = http.post("/projects/local/p/runs/stopped/stop")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        409,
        "No wandb client logs the run stopped to this server now.",
    )


LATE = """
import time, wandb
before = time.time()
run = wandb.init(project="p", id="late")
run.log({"x": 1})
time.sleep(2)
run.log({"x": 2})
run.finish()
show(before)
"""


def test_a_run_begins_when_its_script_began_it(client: Any) -> None:
    """The client counts the time of a row until the next one, and the start is not that much earlier."""
    before = client.ask(LATE)
    run = tracker.Api(overrides={"store": str(client.store)}).run("local/p/late")
    assert run._info.created_at >= before - 0.001


def test_a_run_is_the_same_through_both_doors(client: Any, tmp_path: Path) -> None:
    client.run(LOG)
    found = answers(client.store)
    native = tmp_path / "native"
    scripts.run(LOG.replace("wandb", "tracker as wandb", 1), tmp_path, TRACKER_STORE=str(native))
    for name, expected in answers(native).items():
        assert same(found[name]) == same(expected), name


def same(value: Any) -> Any:
    """Return a value that can be compared: the client sends 1.0 as 1, and NaN differs from itself."""
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [same(item) for item in value]
    return "NaN" if value != value else value
