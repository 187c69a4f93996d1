"""Resuming a run: with ``resume="auto"``, from an earlier step, or as a fork of another run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scripts

import tracker
from tracker.ground.settings import load_settings

BEGIN = """
import tracker, os
code, *values = os.environ["VALUES"].split()
run = tracker.init(project="p", resume="auto", config={"lr": 1})
run.define_metric("loss", summary="min,mean")
for value in map(float, values):
    run.log({"loss": value})
print(run.id, run.resumed, run.starting_step, run.summary["loss"]["mean"])
run.finish(int(code))
"""


def test_auto_resumes_the_failed_run_and_its_aggregates(tmp_path: Path) -> None:
    first, second, third, fourth = (
        scripts.run(BEGIN, tmp_path, VALUES=values).stdout.split()
        for values in ("1 1 5", "1 3 3", "0 8", "0 2")
    )
    assert [each[1:] for each in (first, second, third, fourth)] == [
        ["False", "0", "3.0"],
        ["True", "2", "3.0"],
        ["True", "4", "4.0"],
        ["False", "0", "2.0"],
    ]
    assert first[0] == second[0] == third[0] != fourth[0]
    assert tracker.Api().run(f"p/{first[0]}").summary["loss"] == {"min": 1, "mean": 4}
    assert not (tmp_path / "wandb" / "wandb-resume.json").exists()


def test_auto_does_not_replace_a_given_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wandb").mkdir()
    memory = tmp_path / "wandb" / "wandb-resume.json"
    memory.write_text(json.dumps({"run_id": "other"}))
    run = tracker.init(project="p", id="given", resume="auto")
    assert run.id == "given" and json.loads(memory.read_text()) == {"run_id": "given"}
    assert "Ignoring ID other" in capsys.readouterr().err
    run.finish()
    memory.write_text("no json")
    tracker.init(project="p", resume=True).finish()
    memory.write_text(json.dumps({"run_id": "old"}))
    run = tracker.init(project="p")  # without resume, a new run starts
    assert run.id != "old" and not memory.exists()
    run.finish()


def a_run(run_id: str) -> None:
    run = tracker.init(project="p", id=run_id, config={"lr": 1, "depth": 2}, tags=["old"])
    for step in range(6):
        image = {"image": tracker.Image(np.zeros((2, 2, 3), np.uint8))} if step == 2 else {}
        run.log({"loss": 10 - step, f"only_{step}": step, **image})
    run.finish()


def test_a_run_is_rewound_to_a_step(tmp_path: Path) -> None:
    a_run("back")
    run = tracker.init(project="p", resume_from="back?_step=2", config={"lr": 5})
    assert (run.id, run.resumed, run.starting_step, run.step) == ("back", True, 3, 3)
    assert (run.config["lr"], run.config["depth"], run.tags, run.summary["loss"]) == (5, 2, ("old",), 8)
    run.log({"loss": -1})
    run.finish()
    public = tracker.Api().run("p/back")
    assert [row["loss"] for row in public.scan_history(["loss"])] == [10, 9, 8, -1]
    assert [row["_step"] for row in public.scan_history()] == [0, 1, 2, 3]
    assert public.summary["loss"] == -1


def test_a_fork_starts_with_the_rows_of_its_parent(tmp_path: Path) -> None:
    a_run("parent")
    run = tracker.init(project="p", id="child", fork_from="parent?_step=2")
    assert (run.resumed, run.starting_step, run.config["lr"], run.tags) == (False, 3, 1, ())
    assert run.summary["loss"] == 8
    run.log({"loss": 100})
    run.finish()
    parent, child = (tracker.Api().run(f"p/{name}") for name in ("parent", "child"))
    rows = list(child.scan_history())
    assert [row["_step"] for row in rows] == [0, 1, 2, 3]
    assert [row["loss"] for row in rows] == [10, 9, 8, 100]
    old = list(parent.scan_history())
    for name in ("_timestamp", "_runtime"):
        assert [row[name] for row in rows[:3]] == pytest.approx([row[name] for row in old[:3]])
    assert len(old) == 6
    assert child.rawconfig["_wandb"]["branch_point"] == {"run_id": "parent", "step": 2}
    (image,) = [each for each in child.files() if each.name.startswith("media/images")]
    assert image.size > 0
    assert load_settings().store.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"resume_from": "gone?_step=1"}, "does not exist"),
        ({"resume_from": "here?_step=9"}, "has no step 9. Its last step is 5"),
        ({"resume_from": "here"}, "expected format"),
        ({"fork_from": "here?loss=3"}, "expected format"),
        ({"fork_from": "here?_step=1", "id": "here"}, "use `resume_from`"),
        ({"resume_from": "here?_step=1", "id": "there"}, "different ids"),
        ({"fork_from": "here?_step=1", "resume": "allow"}, "mutually exclusive"),
        ({"resume": "sometimes"}, "Use one of allow, must, never, auto"),
    ],
)
def test_invalid_resume_and_fork_are_refused(arguments: dict[str, str], says: str, one_run: None) -> None:
    with pytest.raises(tracker.UsageError, match=says):
        tracker.init(project="p", **arguments)  # type: ignore[arg-type]


@pytest.fixture
def one_run(without_recorder: None) -> None:
    a_run("here")
