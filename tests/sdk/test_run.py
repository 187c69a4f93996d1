"""Logging in a script, and reading the values back with ``Api``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scripts

import tracker


def rows(run: tracker.Run) -> list[dict]:
    return tracker.Api().run(run.path).history(pandas=False)


def test_everything_logged_comes_back_with_its_type() -> None:
    run = tracker.init(project="p", config={"lr": 0.1, "layers": [1, 2], "big": 2**70})
    logged = {
        "float": 0.5,
        "nan": math.nan,
        "inf": -math.inf,
        "int": 2**60,
        "huge": 2**70,
        "bool": True,
        "text": "ä",
        "none": None,
        "nested": {"a": {"b": 1}},
        "list": [1, 2.5, "x"],
    }
    run.log(logged)
    run.log({"float": 1})
    run.finish()
    first, second = rows(run)
    assert math.isnan(first.pop("nan"))
    assert {key: first[key] for key in first if not key.startswith("_")} == {
        key: value for key, value in logged.items() if key != "nan"
    }
    assert type(first["bool"]) is bool
    assert type(second["float"]) is int
    assert [first["_step"], second["_step"]] == [0, 1]
    found = tracker.Api().run(run.path)
    assert found.config == {"lr": 0.1, "layers": [1, 2], "big": 2**70}
    assert found.state == "finished"
    assert found.summary["float"] == 1
    assert found.lastHistoryStep == 1


@pytest.mark.usefixtures("without_recorder")
def test_wandb_step_rules_but_a_smaller_step_is_kept() -> None:
    run = tracker.init(project="p")
    run.log({"a": 1})
    run.log({"b": 1}, commit=False)
    run.log({"c": 1})
    run.log({"d": 1}, step=10)
    run.log({"e": 1}, step=10)
    run.log({"f": 1}, step=5)
    run.log({"g": 1})
    assert run.step == 11
    run.finish()
    seen = [({key for key in row if not key.startswith("_")}, row["_step"]) for row in rows(run)]
    assert seen == [({"a"}, 0), ({"b", "c"}, 1), ({"f"}, 5), ({"d", "e", "g"}, 10)]


def test_an_uncommitted_row_is_there_after_finish() -> None:
    run = tracker.init(project="p")
    run.log({"a": 1}, commit=False)
    run.finish()
    assert rows(run)[0]["a"] == 1


def test_rows_can_be_read_while_the_run_is_running() -> None:
    run = tracker.init(project="p")
    for at in range(10):
        run.log({"a": at})
        assert [row["a"] for row in rows(run)] == list(range(at + 1))
    assert tracker.Api().run(run.path).state == "running"


def test_summary_follows_define_metric() -> None:
    run = tracker.init(project="p")
    run.define_metric("val/*", summary="min,max")
    run.define_metric("secret", summary="none")
    run.define_metric("acc", summary="best", goal="maximize")
    for value in (3, 1, 2):
        run.log({"val/loss": value, "secret": value, "acc": value, "plain": value})
    expected = {"val/loss": {"min": 1, "max": 3}, "acc": {"best": 3}, "plain": 2}
    assert {key: run.summary[key] for key in expected} == expected
    assert "secret" not in run.summary
    run.summary["note"] = "mine"
    run.summary["plain"] = 99
    run.finish()
    found = tracker.Api().run(run.path).summary
    assert {key: found[key] for key in expected} == {**expected, "plain": 99}
    assert found["note"] == "mine"
    assert run.summary["note"] == "mine"


@pytest.mark.usefixtures("without_recorder")
def test_step_metric_is_filled_in_as_lightning_needs_it() -> None:
    run = tracker.init(project="p")
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    run.log({"loss": 1.0, "trainer/global_step": 5})
    run.log({"y": 2})
    run.finish()
    assert rows(run)[1]["trainer/global_step"] == 5


@pytest.mark.usefixtures("without_recorder")
def test_config_follows_wandbs_rules() -> None:
    run = tracker.init(project="p", config={"a": 1})
    run.config["b"] = np.float32(0.5)
    run.config.c = "x"
    with pytest.raises(tracker.ConfigError, match="allow_val_change=True"):
        run.config["a"] = 2
    run.config.update({"a": 2}, allow_val_change=True)
    run.config.setdefaults({"a": 9, "d": 4})
    with pytest.raises(TypeError):
        run.config["bad"] = object()
    run.finish()
    assert (
        tracker.Api().run(run.path).config == {"a": 2, "b": 0.5, "c": "x", "d": 4} == dict(run.config.items())
    )


@pytest.mark.usefixtures("without_recorder")
def test_arrays_become_lists_or_histograms() -> None:
    run = tracker.init(project="p")
    run.log({"small": np.arange(3), "large": np.arange(100.0), "scalar": np.int64(7)})
    run.finish()
    (row,) = rows(run)
    assert row["small"] == [0, 1, 2]
    assert row["scalar"] == 7
    assert row["large"]["_type"] == "histogram"
    assert sum(row["large"]["values"]) == 100
    assert len(row["large"]["bins"]) == len(row["large"]["values"]) + 1


@pytest.mark.usefixtures("without_recorder")
def test_images_and_tables_are_files_of_the_run() -> None:
    run = tracker.init(project="p")
    pixels = np.zeros((4, 6), dtype=np.uint8)
    image = tracker.Image(pixels, caption="zeros")
    pixels[:] = 255  # the image was copied when it was created
    run.log({"one": image, "many": [image, tracker.Image(np.ones((2, 2)))]})
    run.log({"table": tracker.Table(columns=["n", "image"], data=[[1, image], [float("nan"), None]])})
    run.finish()
    first, second = rows(run)
    assert (first["one"]["width"], first["one"]["height"]) == (6, 4)
    assert first["one"]["caption"] == "zeros"
    assert first["many"]["count"] == 2
    assert first["many"]["captions"] == ["zeros", None]
    assert (second["table"]["ncols"], second["table"]["nrows"]) == (2, 2)
    from tracker.ground.settings import load_settings
    from tracker.store.blobs.content import BlobStore
    from tracker.store.objects.layout import Layout

    content = BlobStore(Layout(load_settings().store)).read(first["one"]["sha256"])
    import io

    import PIL.Image

    assert PIL.Image.open(io.BytesIO(content)).getextrema() == (0, 0)


@pytest.mark.usefixtures("without_recorder")
def test_init_in_init_returns_the_active_run() -> None:
    run = tracker.init(project="p")
    assert tracker.init(project="other") is run is tracker.run
    other = tracker.init(project="other", reinit="create_new")
    assert other is not run
    assert tracker.run is run
    third = tracker.init(project="third", reinit="finish_previous")
    assert tracker.run is third
    with pytest.raises(tracker.UsageError, match="is finished"):
        run.log({"a": 1})
    tracker.finish()
    assert tracker.run is None
    other.finish()


def test_resume_continues_after_the_last_step() -> None:
    run = tracker.init(project="p", id="abc", config={"a": 1}, name="first")
    for value in range(5):
        run.log({"x": value})
    run.finish()
    with pytest.raises(tracker.UsageError, match="resume='never'"):
        tracker.init(project="p", id="abc", resume="never")
    with pytest.raises(tracker.UsageError, match="resume='must'"):
        tracker.init(project="p", id="unknown", resume="must")
    again = tracker.init(project="p", id="abc", resume="must", config={"b": 2})
    assert again.resumed
    assert again.starting_step == again.step == 5
    assert again.name == "first"
    assert again.config.as_dict() == {"a": 1, "b": 2}
    again.log({"x": 5})
    again.finish()
    assert [row["x"] for row in rows(again)] == [0, 1, 2, 3, 4, 5]


def test_an_id_used_again_without_resume_loses_nothing() -> None:
    first = tracker.init(project="p", id="abc")
    for value in range(5):
        first.log({"x": value})
    first.finish()
    second = tracker.init(project="p", id="abc")
    second.log({"x": 100})
    second.finish()
    assert [row["x"] for row in rows(second)] == [100]  # the newest branch is shown
    run = tracker.Api().run("p/abc")
    older, newer = run.segments
    assert (older.shown_before, newer.shown_before) == (0, None)
    kept = run.history(pandas=False, segment=older.id)
    assert [row["x"] for row in kept] == [0, 1, 2, 3, 4]  # the older branch is still stored


def test_a_disabled_run_stores_nothing() -> None:
    run = tracker.init(project="p", mode="disabled")
    run.log({"a": 1, "image": tracker.Image(np.zeros((2, 2)))})
    assert run.summary["a"] == 1
    assert run.name == f"dummy-{run.id}"
    run.log_artifact(tracker.Artifact("x", "model"))
    run.finish()
    from tracker.ground.settings import load_settings

    journals = load_settings().store / "journals"
    assert not journals.exists() or not any(journals.iterdir())


@pytest.mark.usefixtures("without_recorder")
def test_module_functions_need_a_run() -> None:
    with pytest.raises(tracker.Error, match=r"You must call wandb\.init\(\) before wandb\.log\(\)"):
        tracker.log({"a": 1})
    with pytest.raises(tracker.Error, match=r"before wandb\.config"):
        _ = tracker.config["lr"]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = tracker.Nothing
    tracker.finish()
    run = tracker.init(project="p")
    tracker.log({"a": 1})
    assert tracker.summary["a"] == 1
    tracker.config["k"] = 1
    tracker.finish()
    assert tracker.Api().run(run.path).config == {"k": 1}


def test_scan_history_and_runs() -> None:
    ids = []
    for number in range(3):
        run = tracker.init(project="many", config={"n": number})
        run.log({"a": number})
        run.log({"b": number})
        ids.append(run.id)
        run.finish()
    api = tracker.Api()
    runs = api.runs("many")
    assert len(runs) == 3
    assert [run.id for run in runs] == ids
    assert runs[0].id == ids[0]
    for per_page in (0, 1, 2, 3, 10**6):
        assert [run.id for run in api.runs("many", per_page=per_page)] == ids
    assert [run.config["n"] for run in api.runs("local/many", order="-config.n")] == [2, 1, 0]
    assert list(runs[1].scan_history(keys=["b"])) == [{"b": 1}]
    assert [row["_step"] for row in runs[1].scan_history(min_step=1)] == [1]


def test_a_run_resumed_from_an_earlier_checkpoint_is_a_new_branch() -> None:
    first = tracker.init(project="p", id="back")
    for step in range(10):
        first.log({"x": step}, step=step)
    first.finish()
    second = tracker.init(project="p", id="back", resume="must")
    assert second.starting_step == 10
    for step in range(6, 9):
        second.log({"x": -step}, step=step)
    second.log({"late": 1}, step=2)  # within an attempt, a smaller step adds a row
    second.finish()
    run = tracker.Api().run("p/back")
    shown = [(row["_step"], row.get("x")) for row in run.history(pandas=False)]
    assert shown == [(0, 0), (1, 1), (2, 2), (2, None), (3, 3), (4, 4), (5, 5), (6, -6), (7, -7), (8, -8)]
    older, newer = run.segments
    assert (older.shown_before, newer.start_step) == (6, 6)
    kept = [row["x"] for row in run.history(pandas=False, segment=older.id)]
    assert kept == list(range(10))
    listed = tracker.Api().runs("p")[0]  # the catalog returns the same rows
    assert [(row["_step"], row.get("x")) for row in listed.history(pandas=False)] == shown


def test_init_replaces_a_config_that_was_assigned_before(tmp_path: Path) -> None:
    done = scripts.run(
        "import tracker as wandb\n"
        "wandb.config = {'lr': 1}\n"
        "with wandb.init(project='p', settings={'silent': True}) as run:\n"
        "    wandb.config.update({'a': 2})\n"
        "    print(dict(run.config), wandb.config is run.config)\n",
        tmp_path,
    )
    assert done.stdout == "{'a': 2} True\n"


def test_a_change_of_the_wall_clock_does_not_change_runtimes(tmp_path: Path) -> None:
    code = """
import time
real, shift = time.time, 0.0
time.time = lambda: real() + shift
import tracker
run = tracker.init(project="p", id="r")
for at, shift in enumerate((0.0, -10 * 365 * 86400.0, 3 * 86400.0, 0.0)):
    run.log({"x": at})
run.finish()
shift = 0.0
"""
    scripts.run(code, tmp_path)
    run = tracker.Api().run("p/r")
    rows = run.history(pandas=False)
    runtimes = [row["_runtime"] for row in rows]
    assert runtimes == sorted(runtimes)
    assert 0 <= runtimes[0] <= runtimes[-1] < 100
    stamps = [row["_timestamp"] for row in rows]
    assert stamps == sorted(stamps)
    assert 0 <= run.summary["_runtime"] < 100


def test_the_wall_clock_is_read_again_for_each_run(tmp_path: Path) -> None:
    code = """
import time
real, shift = time.time, 0.0
time.time = lambda: real() + shift
import tracker
for name in ("early", "late"):
    with tracker.init(project="p", id=name) as run: run.log({"x": 1})
    shift = -86400.0
shift = 0.0
"""
    scripts.run(code, tmp_path)
    early, late = (tracker.Api().run(f"p/{name}").history(pandas=False)[0] for name in ("early", "late"))
    assert early["_timestamp"] - late["_timestamp"] == pytest.approx(86400, abs=600)
