"""Rows and runs that users of other trackers could not find. Each test names the public report."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")


def test_a_training_that_starts_at_a_late_step_is_read_completely() -> None:
    """wandb/wandb#12067 and #11924: scans of such runs were empty."""
    first, count = 61_010, 2500
    with tracker.init(project="late", id="r") as run:
        for at in range(count):
            run.log({"loss": at, **({"val": at} if at % 100 == 0 else {})}, step=first + 3 * at)
    found = tracker.Api().run("late/r")
    steps = [row["_step"] for row in found.scan_history(page_size=7)]
    assert steps == list(range(first, first + 3 * count, 3))
    assert found.lastHistoryStep == steps[-1]
    assert [row["loss"] for row in found.beta_scan_history(keys=["loss"])] == list(range(count))
    assert [row["val"] for row in found.scan_history(keys=["val", "loss"], page_size=10)] == list(
        range(0, count, 100)
    )
    # The last step is excluded, as the documentation of wandb describes.
    assert [row["_step"] for row in found.scan_history(min_step=first, max_step=first + 30)] == steps[:10]
    assert len(list(found.scan_history(keys=["loss"], min_step=first + 3, max_step=first + 31))) == 10
    assert len(found.history(samples=10**6, pandas=False)) == count


def test_keys_of_different_rows_are_all_found() -> None:
    """wandb/wandb#5391, #2266, #1742, #5063, #5426, #8252: rows were missing, NaN was something else."""
    with tracker.init(project="sparse", id="r") as run:
        for at in range(1200):
            values = {"train": at, "val": -at} if at % 10 == 0 else {"lr": 0.1}
            run.log({"train": at} if at % 2 else values)
        run.log({"test/f1": 0.8})
        run.log({"null": None})
        run.log({"nan": math.nan})
    found = tracker.Api().run("sparse/r")

    def scanned(*keys: str) -> int:
        return len(list(found.scan_history(keys=list(keys))))

    assert (scanned("train"), scanned("val"), scanned("train", "val")) == (720, 120, 120)
    assert (scanned("lr", "val"), scanned("never logged"), scanned("nan")) == (0, 0, 1)
    assert len(list(found.scan_history())) == 1203
    assert math.isnan(next(iter(found.scan_history(keys=["nan"])))["nan"])
    frame = found.history(samples=10**6)
    assert frame["test/f1"].dropna().tolist() == [0.8]
    assert (frame["val"].count(), frame["train"].dtype.kind) == (120, "i")


CONFIGS: dict[str, dict[str, Any]] = {
    "a": {"model.type": "R18", "plain": 1, "opt": {"lr": 0.1, "sched": {"name": "cos"}}},
    "b": {"model": {"type": "R18"}, "plain": 2, "opt": {"lr": 0.01}},
    "c": {"model.type": "R50", "plain": None, "encoder.0": "linear", "flag": True},
}
LOSSES = {"a": 0.5, "b": 1.5, "c": math.nan}
AN_HOUR_AGO = datetime.now(timezone.utc) - timedelta(hours=1)
TOMORROW = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()


def test_filters_find_the_runs_that_match_and_no_others() -> None:
    """wandb/wandb#2819, #3087, #6222 (keys with dots), #6635 (names); opentensor/validators#136 (times)."""
    for run_id, config in CONFIGS.items():
        tags = [] if run_id == "c" else ["t1", f"only-{run_id}"]
        run = tracker.init(project="f", id=run_id, name=f"exp_{run_id}.1", config=config, tags=tags)
        run.log({"loss": LOSSES[run_id], "val": {"acc": 3}})
        run.finish()
    wanted: list[tuple[dict[str, Any], str]] = [
        ({"config.model.type": "R18"}, "ab"),
        ({"config.opt.sched.name": "cos"}, "a"),
        ({"config.encoder.0": "linear"}, "c"),
        ({"config.plain.value": 1}, "a"),
        ({"config.plain": None}, "c"),
        ({"config.opt.lr": {"$gte": 0.01, "$lt": 0.1}}, "b"),
        ({"config.never": 1}, ""),
        ({"config.never": {"$exists": False}}, "abc"),
        ({"displayName": {"$regex": "^exp_[ab]"}}, "ab"),
        ({"display_name": "exp_a.1"}, "a"),
        ({"tags": {"$all": ["t1", "only-a"]}}, "a"),
        ({"tags": {"$nin": ["t1"]}}, "c"),
        ({"$or": [{"config.plain": 1}, {"display_name": "exp_c.1"}]}, "ac"),
        ({"summary_metrics.loss": {"$lt": 1}}, "a"),
        ({"summary_metrics.val.acc": 3}, "abc"),
        ({"state": {"$ne": "finished"}}, ""),
        ({"created_at": {"$gt": TOMORROW}}, ""),
    ]
    for when in (AN_HOUR_AGO.isoformat(), AN_HOUR_AGO.strftime("%Y-%m-%dT%H:%M:%S")):
        wanted.append(({"$and": [{"createdAt": {"$gt": when}}, {"tags": {"$all": ["t1"]}}]}, "ab"))
    for filters, ids in wanted:
        found = "".join(sorted(run.id for run in tracker.Api().runs("f", filters=filters)))
        assert found == ids, filters
    with pytest.raises(tracker.Error):  # an unknown field is an error; it must not match all runs
        list(tracker.Api().runs("f", filters={"Name": {"$regex": ".*"}}))
