"""Unusual use: signals inside log, wrong types, forks, calls after the end, scripts that exit with a code."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import scripts
from sqlalchemy import select

import tracker
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import unpack_state
from tracker.store.catalog.models import Segment

pytestmark = pytest.mark.usefixtures("without_recorder")

INTERRUPTED = """
import os, random, signal, threading, tracker
random.seed(1)
run = tracker.init(project="p", id="interrupted")
acknowledged, value, interrupted, timers = [], 0, 0, []
for cell in range(15):
    try:
        # Python ignores an exception while it deletes an object, so no timer is deleted here.
        timers.append(threading.Timer(random.uniform(0.01, 0.03), os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()
        for _ in range(500_000):  # some seconds: the script ends even if an interrupt is lost
            run.log({"i": value})
            acknowledged.append(value)
            value += 1
    except KeyboardInterrupt:
        value, interrupted = value + 1, interrupted + 1
assert interrupted > 10, interrupted
run.finish()
rows = [row["i"] for row in tracker.Api().run("p/interrupted").history(keys=["i"], pandas=False)]
print(len(acknowledged), set(acknowledged) - set(rows), len(rows) - len(set(rows)))
"""


def test_ctrl_c_inside_log_costs_no_acknowledged_row(tmp_path: Path) -> None:
    """In a notebook, Ctrl-C interrupts a cell, and the run continues."""
    done = scripts.run(INTERRUPTED, tmp_path)
    logged, missing, doubled = done.stdout.split()
    assert int(logged) > 100
    assert (missing, doubled) == ("set()", "0")
    run = tracker.Api().run("p/interrupted")
    assert run.state == "finished"
    assert run._info.problems == []


HANDLER_LOGS = """
import signal, tracker
run = tracker.init(project="p", id="handled")
count = {"main": 0, "handler": 0}
def handler(*_):
    count["handler"] += 1
    run.log({"handler": count["handler"]})
    run.summary["handled"] = count["handler"]
    if count["handler"] < 2000:  # start the next timer here: on a slow machine, signals would accumulate
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003)
while count["handler"] < 2000:
    count["main"] += 1
    run.log({"main": count["main"]})
run.finish()
print(count["main"], count["handler"])
"""


@pytest.mark.slow
def test_a_signal_handler_may_log_while_log_runs(tmp_path: Path) -> None:
    done = scripts.run(HANDLER_LOGS, tmp_path)
    main, handled = map(int, done.stdout.split())
    run = tracker.Api().run("p/handled")
    rows = run.history(pandas=False)
    assert [row["main"] for row in rows if row.get("main") is not None] == list(range(1, main + 1))
    assert [row["handler"] for row in rows if row.get("handler") is not None] == list(range(1, handled + 1))
    assert len(rows) == main + handled, "two calls share a row"
    assert (run.state, run.summary["handled"], run._info.problems) == ("finished", handled, [])


HANDLER_FINISHES = """
import os, signal, tracker
from tracker.sdk.process import segment_writer
run = tracker.init(project="p", id="ended")
signal.signal(signal.SIGALRM, lambda *_: run.finish())
run.log({"x": 1})
{point}
run.finish()
print("over")
"""
POINTS = {
    "in log": """
real = os.write
def write(descriptor, data):
    os.write = real
    os.kill(os.getpid(), signal.SIGALRM)
    return real(descriptor, data)
os.write = write
run.log({"x": 2})
""",
    "in the last sync": """
real = os.fdatasync
def sync(descriptor):
    os.kill(os.getpid(), signal.SIGALRM)
    return real(descriptor)
os.fdatasync = sync
""",
    "in close": """
real = os.close
def close(descriptor):
    os.close = real
    os.kill(os.getpid(), signal.SIGALRM)
    return real(descriptor)
os.close = close
""",
}


@pytest.mark.parametrize("point", POINTS)
def test_a_signal_handler_may_finish_the_run(tmp_path: Path, point: str) -> None:
    done = scripts.run(HANDLER_FINISHES.replace("{point}", POINTS[point]), tmp_path)
    assert done.stdout == "over\n"
    run = tracker.Api().run("p/ended")
    assert run.state == "finished"
    assert len(run.history(pandas=False)) == (2 if point == "in log" else 1)
    assert run._info.problems == []


def test_a_descriptor_of_the_program_is_not_closed_after_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C arrives after the journal's descriptor was closed. Its number may then be another file's."""
    done = scripts.run(
        "import os, tracker\n"
        "run = tracker.init(project='p', id='closed')\n"
        "number, real = run._journal._writer._journal._fd, os.close\n"
        "def close(descriptor):\n"
        "    real(descriptor)\n"
        "    if descriptor == number:\n"
        "        os.close = real\n"
        "        raise KeyboardInterrupt\n"
        "os.close = close\n"
        "try:\n    run.finish()\nexcept KeyboardInterrupt:\n    pass\n"
        "mine = [os.open('mine', os.O_RDWR | os.O_CREAT | os.O_APPEND) for _ in range(8)]\n"
        "run.finish()\nfor each in mine: os.write(each, b'mine')\nprint(number in mine)\n",
        tmp_path,
    )
    assert done.stdout == "True\n"
    assert (tmp_path / "mine").read_bytes() == b"mine" * 8
    assert tracker.Api().run("p/closed").state == "finished"


def test_names_of_other_types_become_strings() -> None:
    run = tracker.init(project=5, id=7, name=5, group=6, job_type=8, notes=Path("n"), tags=[1, "b"])
    run.finish()
    found = tracker.Api().run("5/7")
    assert (found.name, found.group, found.job_type, found.notes) == ("5", "6", "8", "n")
    assert found.tags == ["1", "b"]


def test_unreadable_values_are_refused_immediately() -> None:
    run = tracker.init(project="p")
    run.log({"a": 1})
    with pytest.raises(tracker.Error, match="step_metric type: int"):
        run.define_metric("a", step_metric=5)
    with pytest.raises(tracker.UsageError, match="ArtifactLogged cannot be recorded"):
        run.log_artifact(tracker.Artifact("m", "model", description=5))
    itself: list = []
    itself.append(itself)
    with pytest.raises(TypeError, match="contains itself"):
        run.log({"a": itself})
    assert run.step == 1
    run.log({"a": 2})
    run.finish(exit_code="boom")
    found = tracker.Api().run(run.path)
    assert [row["a"] for row in found.history(pandas=False)] == [1, 2]
    assert found.state == "failed"


def test_a_record_that_is_too_large_uses_no_step() -> None:
    run = tracker.init(project="p")
    with pytest.raises(tracker.Error, match="the limit is 67108864"):
        run.log({"a": "x" * 70_000_000})
    run.log({"a": 1})
    run.finish()
    assert [row["_step"] for row in tracker.Api().run(run.path).history(pandas=False)] == [0]


def test_a_finished_run_refuses_changes() -> None:
    run = tracker.init(project="p")
    run.finish()
    with pytest.raises(tracker.UsageError, match="is finished"):
        run.config["a"] = 1
    with pytest.raises(tracker.UsageError, match="is finished"):
        run.summary["a"] = 1
    with pytest.raises(tracker.UsageError, match="is finished"):
        run.define_metric("a")


def test_a_resumed_run_knows_its_summary() -> None:
    run = tracker.init(project="p", id="r")
    run.log({"acc": 0.9})
    run.finish()
    again = tracker.init(project="p", id="r", resume="must")
    assert again.summary["acc"] == 0.9
    again.log({"acc": 0.8})
    assert again.summary["acc"] == 0.8


def test_negative_indices_of_runs() -> None:
    ids = []
    for _ in range(3):
        run = tracker.init(project="p")
        ids.append(run.id)
        run.finish()
    runs = tracker.Api().runs("p")
    assert [runs[-1].id, runs[-3].id] == [ids[2], ids[0]]
    with pytest.raises(IndexError):
        runs[-4]


def test_config_can_be_copied() -> None:
    run = tracker.init(project="p", config={"a": [1], "nan": float("nan")})
    assert copy.copy(run.config)["a"] == copy.deepcopy(run.config)["a"] == [1]
    assert pickle.loads(pickle.dumps(run.config))["a"] == [1]
    run.config.update({"nan": float("nan")})


def test_settings_and_arguments_together() -> None:
    run = tracker.init(project="named", settings={"project": "other", "mode": "offline", "entity": "team"})
    assert (run.entity, run.project, run.offline) == ("team", "named", True)


def test_a_file_and_a_folder_of_an_artifact_cannot_share_a_name(tmp_path: Path) -> None:
    tracker.init(project="p")
    artifact = tracker.Artifact("a", "dataset")
    (tmp_path / "file").write_text("x")
    artifact.add_file(tmp_path / "file", name="a/b")
    for name in ("a", "a/b/c", ".", "a/../b"):
        with pytest.raises(ValueError, match=r"Cannot add the file|Invalid path"):
            artifact.add_file(tmp_path / "file", name=name)


FORKED = """
import os, tracker
parent = tracker.init(project="p", id="parent")
parent.log({"a": 0})
pid = os.fork()
if pid == 0:
    child = tracker.init(project="p", id="child", config={"k": 1})
    child.log({"a": 1})
    child.finish()
    os._exit(0)
os.waitpid(pid, 0)
parent.log({"a": 2})
parent.finish()
"""


def test_init_in_a_forked_child_starts_a_new_run(tmp_path: Path) -> None:
    scripts.run(FORKED, tmp_path)
    api = tracker.Api()
    child, parent = api.run("p/child"), api.run("p/parent")
    assert (child.state, parent.state) == ("finished", "finished")
    assert child.config == {"k": 1}
    assert [row["a"] for row in child.history(pandas=False)] == [1]
    assert [row["a"] for row in parent.history(pandas=False)] == [0, 2]


NESTED = """
import os, tracker
first = tracker.init(project="p", id="first")
first.log({"parent": 0})
child = os.fork()
if child == 0:
    first.log({"child": 0})
    tracker.init(project="p", id="second", reinit="create_new").log({"x": 0})
    grandchild = os.fork()
    for at in range(5):
        first.log({"grandchild" if grandchild == 0 else "child": at + 1})
    if grandchild:
        os.waitpid(grandchild, 0)
    os._exit(0)
os.waitpid(child, 0)
first.finish()
"""


def test_a_grandchild_does_not_write_to_its_parents_segment(tmp_path: Path) -> None:
    """The child has started its own run, and has also logged to the run of its parent."""
    scripts.run(NESTED, tmp_path)
    store = open_store(tmp_path / "tracker-store")
    Follower(store).poll()
    with store.reading() as session:
        states = [unpack_state(segment.state) for segment in session.scalars(select(Segment))]
    store.close()
    assert sorted(state.rows for state in states) == [1, 1, 5, 6]
    assert tracker.Api().run("p/first")._info.problems == []


def test_a_forked_child_and_its_parent_share_one_summary(tmp_path: Path) -> None:
    code = """
import os, sys, tracker
run = tracker.init(project="p", id="run")
for at in range(100): run.log({"parent": at})
run.summary["parent"]
pid = os.fork()
if pid == 0:
    run.log({"child": 1})
    print(run.summary["child"], run.summary["parent"], flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("child" in run.summary)
"""
    assert scripts.run(code, tmp_path).stdout == "1 99\nTrue\n"


def test_a_script_that_exits_with_a_code_failed(tmp_path: Path) -> None:
    scripts.run("import sys, tracker\ntracker.init(project='p', id='x')\nsys.exit(3)", tmp_path, check=False)
    run = tracker.Api().run("p/x")
    assert (run.state, run._info.error) == ("failed", "SystemExit: 3")


def test_a_deleted_store_is_reported_once(tmp_path: Path) -> None:
    code = """
import shutil, sys, tracker
run = tracker.init(project="p", settings={"fsync_seconds": 0.05})
run.log({"a": 1})
shutil.rmtree("tracker-store/journals")
print("deleted", flush=True)
sys.stdin.readline()
"""
    process = scripts.start(code, tmp_path, TRACKER_JOURNAL_ONLY="1")
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("was deleted. Everything that this run logs" in line for line in lines)
    _, rest = process.communicate("\n", timeout=90)
    assert "was deleted" not in rest


def test_a_script_that_ignores_its_children_can_log(tmp_path: Path) -> None:
    code = """
import signal, tracker
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
run = tracker.init(project="p", id="x")
run.log({"a": 1})
run.finish()
"""
    done = scripts.run(code, tmp_path)
    assert "Traceback" not in done.stderr
    assert tracker.Api().run("p/x").state == "finished"
