"""The rows, the samples and the output of each rank of a distributed run, through ``Api``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import Server, serving

import tracker
from tracker.api.api import Api
from tracker.api.run import Run
from tracker.errors import ApiUsageError
from tracker.ground.records import ConsoleLines, SystemSample


def log_ranks(store: Path) -> None:
    """Log three ranks of a run, and a run of one process. Rank 1 resumes, and logs again from step 2 on."""
    settings = {"store": store, "silent": True, "x_disable_stats": True, "console": "off"}
    given: dict[str, Any] = {"project": "ddp", "id": "job", "reinit": "create_new", "settings": settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "3")
        for attempt, ranks in enumerate(((0, 1, 2), (1,))):
            runs = []
            for rank in ranks:
                patch.setenv("RANK", str(rank))
                runs.append(tracker.init(**given, resume="allow"))
            for rank, run in zip(ranks, runs, strict=True):
                for step in range(2 * attempt, 4):
                    run.log({"loss": float(10 * rank + step + attempt)}, step=step)
                run.record(SystemSample(1000.0 + attempt, {"cpu": float(rank)}))
                run.record(ConsoleLines(1000.0, [(0, 1, f"rank {rank}"), (1, 1, f"attempt {attempt}")]))
                run.finish()
    tracker.init(project="ddp", id="alone", reinit="create_new", settings=settings).finish()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("ranks") / "tracker-store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda *_: False)
        log_ranks(store)
    Api({"store": store}).projects()  # applies the records
    with serving(store, key=True) as server:
        yield server


@pytest.fixture(params=["store", "server"])
def run(request: pytest.FixtureRequest, served: Server) -> Run:
    if request.param == "store":
        return Api({"store": served.store}).run("ddp/job")
    overrides = {"base_url": served.url, "store": served.store.parent / "elsewhere"}
    return Api(overrides, api_key=served.key).run("ddp/job")


def test_the_rows_of_a_rank_are_those_of_its_newest_branch(run: Run) -> None:
    assert run.ranks == [0, 1, 2]
    rows = {rank: run.history(keys=["loss"], rank=rank, pandas=False) for rank in run.ranks}
    losses = {rank: [row["loss"] for row in found] for rank, found in rows.items()}
    assert losses == {0: [0, 1, 2, 3], 1: [10, 11, 13, 14], 2: [20, 21, 22, 23]}
    assert run.history(keys=["loss"], pandas=False) == rows[0]
    assert [row["loss"] for row in run.scan_history(keys=["loss"], rank=1, min_step=1)] == [11, 13, 14]


def test_rows_of_all_ranks_have_their_rank(run: Run) -> None:
    rows = run.history(keys=["loss"], rank="all", pandas=False)
    assert [(row["_step"], row["_rank"], row["loss"]) for row in rows[:6]] == [
        *[(0, 0, 0), (0, 1, 10), (0, 2, 20)],
        *[(1, 0, 1), (1, 1, 11), (1, 2, 21)],
    ]
    assert list(run.scan_history(keys=["loss"], rank="all", max_step=1)) == [
        {"loss": 10 * rank, "_rank": rank} for rank in range(3)
    ]


def test_system_metrics_and_output_of_a_rank(run: Run) -> None:
    samples = run.history(stream="system", rank=1, pandas=False)
    assert [(row["_timestamp"], row["system.cpu"]) for row in samples] == [(1000.0, 1), (1001.0, 1)]
    samples = run.history(stream="system", keys=["system.cpu"], rank="all", pandas=False)
    assert [(row["_rank"], row["system.cpu"]) for row in samples] == [(0, 0), (1, 1), (1, 1), (2, 2)]
    assert [line.content for line in run.console_logs(rank=2)] == ["rank 2", "attempt 0"]
    assert [line.content for line in run.console_logs(rank=1)] == [
        "rank 1",
        "attempt 0",
        "rank 1",
        "attempt 1",
    ]
    assert [line.content for line in run.console_logs(rank=1, last=3)] == ["attempt 0", "rank 1", "attempt 1"]


def test_an_unknown_rank_is_named(run: Run) -> None:
    for call in (run.history, run.scan_history, run.console_logs):
        with pytest.raises(ApiUsageError, match=r"no rank 7\. Its ranks are 0, 1, 2\. Use one"):
            call(rank=7)
    with pytest.raises(ApiUsageError, match="not both"):
        run.history(rank=0, segment=run.segments[0].id)


def test_a_run_of_one_process_has_one_rank(served: Server) -> None:
    assert Api({"store": served.store}).run("ddp/alone").ranks == [0]


def test_the_documented_code_reads_ranks(served: Server) -> None:
    pytest.importorskip("pandas")
    text = (scripts.ROOT / "docs" / "cluster.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace("Api()", f"Api({{'store': {str(served.store)!r}}})").replace(
        "cluster/job-123", "ddp/job"
    )
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["run"].ranks == [0, 1, 2]
    assert names["one"]["loss"].tolist() == [20, 21, 22, 23]
    assert names["spread"].loc[2].tolist() == [
        pytest.approx((2 + 13 + 22) / 3),
        pytest.approx(10.016652),
        2,
        22,
    ]
    assert len(names["samples"]) == 1
    assert [line.content for line in names["lines"]] == ["rank 2", "attempt 0"]
