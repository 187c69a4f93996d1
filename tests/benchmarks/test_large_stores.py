"""A store of ``benchmarks.large_stores`` equals the store that a recorder wrote of the same runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scripts
from builders import ENTITY, all_rows, dump
from rebuilding import again, everything
from sqlalchemy import select

from benchmarks.large_stores import SealedRun, main, make_sweep, write_runs
from benchmarks.product import wait_sealed
from tracker.ground.records import ConfigChanged, MetricDefined, SummaryChanged
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import unpack_state
from tracker.store.catalog.models import Part, Run, Segment
from tracker.store.recovery.verify import list_items, verify
from tracker.store.store import Store

# The runs: how they end, and the number of their rows. The rows of `long` are merged and have a ladder.
RUNS = {
    "short": ("finished", 5),
    "long": ("finished", 70_000),
    "failed": ("failed", 7),
    "killed": ("crashed", 40),
    "empty": ("finished", 0),
}
LOG = """
import json, os, signal, sys, tracker
name, ends, rows = sys.argv[1], sys.argv[2], json.loads(sys.stdin.read())
run = tracker.init(
    entity="team", project="demo", id=name, name="run " + name, group="g", job_type="train", tags=["a", name],
    notes="some notes", config={"lr": 0.1, "net": {"depth": 3}, "name": name},
    settings=tracker.Settings(console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True),
)
run.config.update({"seed": 2})
run.define_metric("val/*", step_metric="epoch")
for row in rows:
    run.log(row)
run.summary["best"] = 0.25
if ends == "crashed":
    os.kill(os.getpid(), signal.SIGKILL)
if ends == "failed":
    raise ValueError("wrong")
"""


def columns_of(name: str) -> dict[str, np.ndarray]:
    """Return the values of a run: floats, also those that are not finite, whole numbers and bools."""
    count = RUNS[name][1]
    walk = np.random.default_rng(count).normal(size=count).cumsum()
    odd = walk.copy()
    odd[1:2], odd[3:4] = math.nan, math.inf
    rows = np.arange(count)
    return {"loss": walk, "val/odd": odd, "epoch": rows // 3, "good": rows % 2 == 0}


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Store]:
    """Yield a store with runs that scripts logged and a recorder sealed."""
    for name, (ends, count) in RUNS.items():
        columns = {key: values.tolist() for key, values in columns_of(name).items()}
        rows = [{key: values[at] for key, values in columns.items()} for at in range(count)]
        script = scripts.start(LOG.replace("sys.argv[1], sys.argv[2]", f"{name!r}, {ends!r}"), tmp_path)
        script.communicate(json.dumps(rows), timeout=100)
    wait_sealed(tmp_path / "tracker-store", len(RUNS))
    with closing(open_store(tmp_path / "tracker-store")) as store:
        yield store


def same_runs(recorded: Store) -> Iterator[SealedRun]:
    """Yield the runs of a store with the same ids and times, and the values that were logged."""
    with recorded.reading() as session:
        segments = session.execute(select(Run.run_id, Segment).join(Segment).order_by(Run.id)).all()
    for name, segment in segments:
        state = unpack_state(segment.state)
        assert state.started is not None
        before = [ConfigChanged({"seed": 2}), MetricDefined("val/*", "epoch", step_sync=True)]
        times = np.array([time for _, _, time, _, _ in all_rows(recorded, segment.segment)])
        after = [SummaryChanged({"best": 0.25}), *([state.finished] if state.finished else [])]
        yield SealedRun(segment.segment, state.started, after, times, columns_of(name), before, state.gone)


@pytest.fixture
def written(recorded: Store, tmp_path: Path) -> Iterator[Store]:
    """Yield a generated store with the same runs."""
    with closing(open_store(tmp_path / "written")) as store:
        write_runs(store, same_runs(recorded))
        yield store


def dumped(store: Store) -> dict[str, Any]:
    """Return the content of a store, without rows and without offsets in journals, which are deleted."""
    content: dict[str, Any] = json.loads(dump(store, with_rows=False))
    for segment in content["segments"].values():
        segment["at"] = segment["at"][2]
    return content


def answered(store: Store) -> str:
    """Return the answers of all queries, without revisions and the tokens in the names of parts."""
    found = everything(store)
    found["rungs"] = [(path.rsplit("-", 3)[0], *rung) for path, *rung in found["rungs"]]
    reader = LocalReader(store, follows=False)
    place, names, keys = (ENTITY, "demo"), ["short", "long", "killed"], ["loss", "val/odd", "epoch"]
    found["groups"] = reader.run_groups(*place, by=["state"], metrics=["best", "loss", "val/odd"])
    found["lines"] = [
        reader.run_lines(*place, names, keys, x=x, points=100) for x in ("_step", "_runtime", "epoch")
    ]
    found["curves"] = reader.grouped_curves(*place, {"all": names}, keys, points=50)
    filters = {"config.net.depth": 3, "tags": "long"}
    found["filtered"] = reader.runs(*place, limit=9, offset=0, order="summary.loss", filters=filters)
    plain = msgspec.to_builtins(found, enc_hook=lambda column: column.tolist())
    return re.sub(r'"revision": \d+', "", json.dumps(plain, sort_keys=True))


def contents(store: Store) -> dict[str, bytes]:
    """Return the contents of all parts, by their names without the tokens."""
    with store.reading() as session:
        paths = session.scalars(select(Part.path)).all()
    return {path.rsplit("-", 3)[0]: (store.root / path).read_bytes() for path in paths}


@pytest.mark.slow
def test_generated_store_equals_a_recorded_one(recorded: Store, written: Store) -> None:
    assert contents(written) == contents(recorded)
    assert dumped(written) == dumped(recorded)
    assert answered(written) == answered(recorded)


def test_aggregates_are_refused(store: Store) -> None:
    (run,) = make_sweep(1, 1, 10)
    asked = run._replace(before=[MetricDefined("train/*", summary=["min"])])
    with pytest.raises(ValueError, match="aggregates of train/loss need all rows"):
        write_runs(store, [asked])


@pytest.mark.slow
def test_command_writes_a_valid_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sweep"
    sizes = ["--runs", "120", "--metrics", "12", "--steps", "20", str(folder)]
    assert main(sizes) == 0
    assert "120 runs in project local/sweep" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(sizes)
    assert main(["--project", "more", *sizes]) == 0
    store = open_store(folder)
    faults: list[str] = []
    verified = verify(store, list_items(store), faults.append, lambda size: None)
    assert (faults, verified.files) == ([], {"part": 240, "published": 240})
    before = dumped(store)
    assert len(before["runs"]) == 240
    assert {run["state"] for run in before["runs"].values()} == {"finished", "failed", "crashed"}
    assert len({run["group"] for run in before["runs"].values()}) == 24
    keys = before["segments"][min(before["segments"])]["state"]["keys"]
    assert (len(keys), {"train/loss", "val/accuracy"} <= keys.keys()) == (12, True)
    store, rebuilt = again(store)
    assert rebuilt.broken == []
    assert dumped(store) == before
    store.close()
