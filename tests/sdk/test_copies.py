"""Values, artifacts and runs that are deep-copied, pickled, and passed to other processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scripts

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")

PIXELS = np.zeros((4, 4, 3), dtype=np.uint8)
VALUES: dict[str, Callable[[], Any]] = {
    "image": lambda: tracker.Image(PIXELS, caption="c"),
    "table": lambda: tracker.Table(columns=["a"], data=[[1]]),
    "table of images": lambda: tracker.Table(columns=["a"], data=[[tracker.Image(PIXELS)]]),
    "incremental table": lambda: tracker.Table(columns=["a"], data=[[1]], log_mode="INCREMENTAL"),
    "histogram": lambda: tracker.Histogram(np.arange(10)),
    "html": lambda: tracker.Html("<p>x</p>"),
    "points": lambda: tracker.Object3D(np.zeros((5, 3))),
    "plot": lambda: tracker.plot.line(tracker.Table(columns=["x", "y"], data=[[1, 2]]), "x", "y"),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_copied_before_and_after_it_was_logged(name: str, how: str) -> None:
    with tracker.init(project="p") as run:
        value = VALUES[name]()
        before = COPIES[how]({"loss": 1.0, "v": value})["v"]
        run.log({"v": value})
        after = COPIES[how]({"loss": 1.0, "v": value})["v"]
        for made in (before, after):
            assert type(made) is type(value)
            run.log({"v": made})
    rows = tracker.Api().run(run.path).history(pandas=False)
    assert len([row for row in rows if row.get("v") or any(key.startswith("v_") for key in row)]) == 3


@pytest.mark.parametrize("how", COPIES)
def test_a_logged_artifact_is_copied(how: str, tmp_path: Path) -> None:
    artifact = tracker.Artifact("data", "dataset", metadata={"a": 1})
    with artifact.new_file("f.txt") as file:
        file.write("content")
    with pytest.raises(TypeError, match=r"cannot be copied or pickled before it is logged"):
        COPIES[how](artifact)
    with tracker.init(project="p", settings={"store": tmp_path / "elsewhere"}) as run:
        run.log_artifact(artifact)
        copied = COPIES[how](artifact)
        assert copied is not artifact
        copied.wait()
        copied.metadata["a"] = 2
        assert artifact.metadata == {"a": 1}
        assert copied.qualified_name == artifact.qualified_name == "local/p/data:v0"
        assert Path(copied.download(tmp_path / how), "f.txt").read_text() == "content"


@pytest.mark.parametrize("mode", ["offline", "disabled"])
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_run_is_the_run_itself(how: str, mode: str) -> None:
    run = tracker.init(project="p", mode=mode)
    holder = COPIES[how]({"run": run, "log": run.log})
    assert holder["run"] is run
    holder["log"]({"x": 1})
    assert copy.copy(run) is run
    run.finish()
    assert COPIES[how](run) is run
    if mode == "offline":
        assert [row["x"] for row in tracker.Api().run(run.path).history(pandas=False)] == [1]


SCRIPT = """
import multiprocessing, sys
import tracker

def child(run, log, artifact, number):
    assert isinstance(run, tracker.Run), type(run)
    if number == 0:
        return  # a process that does not use the run writes no segment
    log({"in child": number})
    run.summary["child"] = number
    assert run.id == "handed"
    with open(artifact.download("downloaded") + "/f.txt") as file:
        assert file.read() == "content"

def disabled(run):
    run.log({"x": 1})
    assert run.disabled

if __name__ == "__main__":
    def start(target, *given):
        process = multiprocessing.get_context("spawn").Process(target=target, args=given)
        process.start()
        process.join()
        assert process.exitcode == 0

    run = tracker.init(project="p", id="handed", settings={"store": "elsewhere"})
    artifact = tracker.Artifact("data", "dataset")
    with artifact.new_file("f.txt") as file:
        file.write("content")
    run.log_artifact(artifact)
    run.log({"before": 1})
    for number in range(3):
        start(child, run, run.log, artifact, number)
    run.log({"after": 1})
    run.finish()
    start(disabled, tracker.init(mode="disabled"))
"""


@pytest.mark.slow
def test_a_run_can_be_passed_to_a_spawned_process(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=scripts.environment(), check=True)
    run = tracker.Api({"store": tmp_path / "elsewhere"}).run("p/handed")
    rows = run.history(pandas=False)
    assert [{key: row[key] for key in row if not key.startswith("_")} for row in rows] == [
        {"before": 1},
        {"in child": 1},
        {"in child": 2},
        {"after": 1},
    ]
    assert run.summary["child"] == 2
    assert run.state == "finished"


def test_a_finished_run_is_not_continued_in_another_process(tmp_path: Path) -> None:
    with tracker.init(project="p") as run:
        run.log({"x": 1})
    (tmp_path / "run.pickle").write_bytes(pickle.dumps(run))
    found = scripts.run(
        """
import pickle, tracker
run = pickle.load(open("run.pickle", "rb"))
try:
    run.log({"x": 2})
except tracker.UsageError as error:
    print(error)
""",
        tmp_path,
    )
    assert found.stdout.strip() == f"Run ({run.path}) is finished. Start a new run with init()."
    assert [row["x"] for row in tracker.Api().run(run.path).history(pandas=False)] == [1]
