"""A run's state is the same in its process, in a resumed process, in the catalog and in published files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import end_segments, seal_all

import tracker
from tracker.ground.settings import load_settings
from tracker.reading.catalog_free_run import find_catalog_free_run
from tracker.reading.open_reader import layout_for
from tracker.reading.resume_state import find_run
from tracker.recorder.open_store import open_store
from tracker.runstate.merge import describe_run
from tracker.runstate.missing_aggregates import fill_aggregates
from tracker.sdk.process import active_runs

pytestmark = pytest.mark.usefixtures("without_recorder")

DERIVED = ("_step", "_runtime", "_timestamp", "_wandb")
PLACE = ("local", "p", "run")


def plain(summary: Any) -> dict[str, Any]:
    found = dict(summary)
    return {key: value for key, value in found.items() if key not in DERIVED}


def catalog() -> tuple[dict[str, Any], list[str]]:
    """Return summary and tags from a list of runs, which reads only the catalog."""
    (run,) = tracker.Api().runs("p")
    return plain(run.summary), list(run.tags)


def files() -> tuple[dict[str, Any], list[str]]:
    """Return summary and tags from the run's files and journals."""
    layout = layout_for(load_settings())
    found = find_run(layout, *PLACE, active_runs.segments_of_this_process())
    assert found is not None
    return found.merged.summary, found.merged.tags


def sealed() -> tuple[dict[str, Any], list[str]]:
    """Return summary and tags from published files and Parquet parts, after the journals were deleted."""
    settings = load_settings()
    store = open_store(settings.store)
    end_segments(store)
    seal_all(store)
    store.close()
    layout = layout_for(settings)
    assert not layout.list_journals()
    quick = find_catalog_free_run(layout, PLACE)
    assert quick is not None
    fill_aggregates(quick.segments, quick.read_rows)
    found = describe_run(*PLACE, quick.segments, quick.edits)
    assert files() == (found.summary, found.tags)
    return found.summary, found.tags


def attempt(log: Callable[[Any], None], **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Write an attempt of the run. Check that all readers agree with the process, and return its state."""
    arguments = {"id": "run", "resume": "allow", **arguments}
    if "resume_from" in arguments:
        del arguments["id"], arguments["resume"]
    run = tracker.init(project="p", **arguments)
    log(run)
    own = plain(run.summary), list(run.tags or ())
    assert files() == own
    run.finish()
    assert catalog() == own
    assert files() == own
    assert sealed() == own
    resumed = tracker.init(project="p", id="run", resume="must")
    assert (plain(resumed.summary), list(resumed.tags or ())) == own
    resumed.finish()
    return own


def logger(key: str, *values: Any, define: str | None = None, **more: Any) -> Callable[[Any], None]:
    def log(run: Any) -> None:
        if define is not None:
            run.define_metric(key, summary=define, **more)
        for value in values:
            run.log({key: value})

    return log


def test_aggregates_after_a_rewind_use_only_visible_rows() -> None:
    attempt(logger("loss", 0.5, 0.25, 0.2, 0.15, 0.1, define="min"))
    assert attempt(lambda run: None, resume_from="run?_step=3")[0] == {"loss": {"min": 0.15}}
    assert attempt(logger("loss", 0.5), resume_from="run?_step=1")[0] == {"loss": {"min": 0.25}}
    assert attempt(logger("loss", 0.125))[0] == {"loss": {"min": 0.125}}


def test_an_empty_list_of_tags_is_kept() -> None:
    assert attempt(logger("x", 1), tags=["a"])[1] == ["a"]
    assert attempt(logger("x", 1), tags=[])[1] == []
    assert attempt(logger("x", 1))[1] == []


def test_an_open_row_is_not_in_the_summary() -> None:
    run = tracker.init(project="p", id="run")
    run.define_metric("loss", summary="min")
    run.log({"loss": 0.2, "x": 1})
    run.log({"loss": 0.5, "x": 2}, commit=False)
    assert plain(run.summary) == files()[0] == catalog()[0] == {"loss": {"min": 0.2}, "x": 1}
    assert run.summary["_step"] == 0
    run.log({})
    assert plain(run.summary) == {"loss": {"min": 0.2}, "x": 2}
    run.finish()


def test_definitions_belong_to_the_run() -> None:
    attempt(logger("acc", 5, define="max"))
    assert attempt(logger("acc", 20))[0] == {"acc": {"max": 20}}
    assert attempt(logger("acc", 6, define="max"))[0] == {"acc": {"max": 20}}
    assert attempt(logger("acc", 7, define="min,mean,first,last"))[0] == {
        "acc": {"min": 5, "mean": 9.5, "first": 5, "last": 7}
    }
    assert attempt(logger("acc", define="copy", overwrite=True))[0] == {"acc": 7}
    assert attempt(logger("acc", 8, define="none", overwrite=True))[0] == {}


def test_earlier_rows_count_when_a_later_attempt_defines_the_metric() -> None:
    attempt(logger("acc", 20, 5))
    assert attempt(lambda run: run.define_metric("*", summary="max"))[0] == {"acc": {"max": 20}}
    assert attempt(lambda run: run.log({"acc": 1, "val": {"top5": 3}}))[0] == {
        "acc": {"max": 20},
        "val": {"top5": {"max": 3}},
    }


def test_nested_keys_are_merged_key_by_key() -> None:
    attempt(lambda run: run.log({"val": {"a": 1, "b": 2}, "gone": 1}))
    assert attempt(lambda run: run.log({"val": {"b": 3, "a": None}, "gone": None}))[0] == {"val": {"b": 3}}


def test_summary_values_that_a_script_sets_or_deletes_are_kept() -> None:
    attempt(logger("acc", 5, define="max"))

    def change(run: Any) -> None:
        run.log({"acc": 3, "x": 1, "d": {"a": 1}})
        run.summary["acc"] = "mine"
        run.summary["d"] = {"b": 2}

    assert attempt(change)[0] == {"acc": "mine", "x": 1, "d": {"b": 2}}

    def take_away(run: Any) -> None:
        del run.summary["x"]
        del run.summary["d"]

    assert attempt(take_away)[0] == {"acc": "mine"}
    assert attempt(logger("acc", 4))[0] == {"acc": {"max": 5}}


def test_a_rank_reads_its_own_values_from_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt(lambda run: run.log({"x": 1, "y": 1}))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = tracker.init(project="p", id="run", resume="allow")
    run.log({"x": 2})
    assert plain(run.summary) == {"x": 2, "y": 1}
    run.finish()
    assert catalog()[0] == {"x": 1, "y": 1}


def test_a_lost_part_loses_only_its_own_rows(tmp_path: Path) -> None:
    attempt(logger("acc", 20))
    for path in load_settings().store.rglob("*.parquet"):
        shutil.move(path, tmp_path)
    run = tracker.init(project="p", id="run", resume="allow")
    logger("acc", 5, define="max")(run)
    assert plain(run.summary) == {"acc": {"max": 5}}
    run.finish()
    assert catalog()[0] == {"acc": {"max": 5}}
