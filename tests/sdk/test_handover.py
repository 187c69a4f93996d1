"""A run that is passed between processes, as Lightning's ``ddp_spawn`` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import scripts

import tracker

SCRIPT = """
import multiprocessing, pathlib
import tracker
from tracker.sdk.start.attach import attach

def child(attach_id, number):
    run = attach(attach_id)
    for row in range(2):
        run.log({"in child": 10 * number + row})
    run.config[f"child {number}"] = True
    run.summary[f"child {number}"] = True

if __name__ == "__main__":
    run = tracker.init(project="p", id="handed")
    run.log({"before": 1})
    for number in range(2):
        process = multiprocessing.get_context("spawn").Process(target=child, args=(run._attach_id, number))
        process.start()
        process.join()
    run.summary["parent"] = True
    run.log({"after": 1}, commit=False)
    run.log({"more": 2})
    assert run._attach_id and run.step == 6
    run.log({"after the children": 3})
    run.finish()
"""


def test_history_continues_at_the_step_of_the_other_process(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=scripts.environment(), check=True)
    run = tracker.Api().run("p/handed")
    rows = run.history(pandas=False)
    assert [{key: row[key] for key in row if not key.startswith("_")} for row in rows] == [
        {"before": 1},
        {"in child": 0},
        {"in child": 1},
        {"in child": 10},
        {"in child": 11},
        {"after": 1, "more": 2},
        {"after the children": 3},
    ]
    assert [row["_step"] for row in rows] == list(range(7))
    assert run.state == "finished"
    expected = {"child 0", "child 1"}
    assert expected <= run.config.keys()
    assert expected | {"parent"} <= run.summary.keys()
    assert [(each.rank, each.attempt, each.child) for each in run.segments] == [
        (0, 0, False), (0, 0, True), (0, 0, True)
    ]  # fmt: skip
