"""The rows, the samples and the output of each rank of a distributed run: ``Api``, REST and commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import scripts
from distributed import log_ranks
from serving import Server, serving

from tracker.api.api import Api
from tracker.api.run import Run
from tracker.cli.main import main
from tracker.errors import ApiUsageError


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


def test_columns_and_files_of_ranks_have_the_rows_of_the_list(run: Run, tmp_path: Path) -> None:
    for rank in (1, "all"):
        rows = run.history(keys=["loss"], rank=rank, pandas=False)
        table = run.history_arrow(["loss"], rank=rank)
        assert table.to_pylist() == [{name: row[name] for name in table.column_names} for row in rows]
        assert ("_rank" in table.column_names) == (rank == "all")
        path = run.export_history(tmp_path / "rows.jsonl", ["loss"], rank=rank)
        assert list(map(json.loads, path.read_text().splitlines())) == rows
        path = run.export_history(tmp_path / "rows.csv", ["loss"], rank=rank)
        assert len(path.read_text().splitlines()) == len(rows) + 1
    assert run.history_arrow(rank="all").schema.field("_rank").type == pa.int64()


def test_an_unknown_rank_is_named(run: Run) -> None:
    for call in (run.history, run.scan_history, run.console_logs, run.history_arrow):
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


@pytest.fixture
def ask(served: Server) -> Iterator[Callable[..., Any]]:
    """Yield a function that asks the server: it returns the answer in JSON, or the status and the error."""
    with served.client() as client:

        def ask(path: str, body: dict[str, Any] | None = None, **params: Any) -> Any:
            url = f"/projects/local/ddp/{path}"
            answer = (
                client.get(url, params=params)
                if body is None
                else client.post(url, json=body, headers={"Accept": "application/json"})
            )
            return answer.json() if answer.is_success else (answer.status_code, answer.json()["detail"])

        yield ask


def test_routes_of_one_run_take_a_rank(ask: Callable[..., Any], served: Server) -> None:
    rows = ask("runs/job/history", key="loss", rank=1)["rows"]
    assert [(row["_step"], row["loss"]) for row in rows] == [(0, 10), (1, 11), (2, 13), (3, 14)]
    rows = ask("runs/job/history", key="loss", complete=True, rank="all")["rows"]
    assert [row["_rank"] for row in rows] == [0, 1, 2] * 4
    lines = ask("runs/job/console", rank=1)
    assert [(line["line"], line["text"]) for line in lines["lines"]] == [
        *[(0, "rank 1"), (1, "attempt 0")],
        *[(2, "rank 1"), (3, "attempt 1")],
    ]
    with served.client() as client:
        url = "/projects/local/ddp/runs/job"
        table = pa.ipc.open_stream(client.get(f"{url}/history.arrow?key=loss&rank=all").content).read_all()
        assert table.column("_rank").to_pylist() == [0, 1, 2] * 4
        text = client.get(f"{url}/history/export?format=csv&key=loss&rank=2&min_step=3").text
        assert text.splitlines()[1].endswith("23.0")
        found = client.get(f"{url}/chart?key=loss&rank=all").content
        header = json.loads(found[4 : 4 + int.from_bytes(found[:4], "little")])
        assert [(each["key"], each["rank"], each["length"]) for each in header["series"]] == [
            ("loss", rank, 4) for rank in range(3)
        ]


def test_lines_and_curves_of_ranks(ask: Callable[..., Any]) -> None:
    lines = ask("chart", {"runs": ["job", "alone"], "keys": ["loss"], "rank": "all"})["series"]
    found = [(each["run"], each["rank"], each["columns"]["y"]) for each in lines]
    by_rank = [[0, 1, 2, 3], [10, 11, 13, 14], [20, 21, 22, 23]]
    assert found == [*[("job", rank, by_rank[rank]) for rank in range(3)], ("alone", 0, [])]
    lines = ask("chart", {"runs": ["job", "alone"], "keys": ["loss"], "rank": 2})["series"]
    assert [(each["run"], each["columns"]["y"]) for each in lines] == [("job", by_rank[2]), ("alone", [])]

    asked = {"groups": {"both": ["job", "alone"]}, "keys": ["loss"]}
    (curve,) = ask("curves", asked)["series"]
    assert (curve["runs"], curve["rank"], curve["columns"]["mean"]) == (1, None, by_rank[0])
    (curve,) = ask("curves", asked | {"rank": "all"})["series"]
    columns = curve["columns"]
    assert (curve["runs"], columns["n"], columns["mean"][2]) == (3, [3] * 4, pytest.approx(37 / 3))
    assert (columns["min"], columns["max"]) == (by_rank[0], by_rank[2])
    curves = ask("curves", asked | {"rank": "all", "by_rank": True})["series"]
    assert [(each["rank"], each["columns"]["mean"]) for each in curves] == list(enumerate(by_rank))


def test_bad_ranks_in_requests_have_one_clear_line(ask: Callable[..., Any]) -> None:
    missing = "The run has no rank 7. Its ranks are 0, 1, 2. Use one, or 'all'."
    for path in ("history", "history.arrow", "history/export?format=csv", "chart?key=loss", "console"):
        place, _, query = path.partition("?")
        params = dict(part.split("=") for part in query.split("&") if part)
        assert ask(f"runs/job/{place}", **params, rank=7) == (400, missing), path
        status, text = ask(f"runs/job/{place}", **params, rank="first")
        assert status in (400, 422) and "\n" not in text, path
    for body in ({"runs": ["job"]}, {"groups": {"a": ["job"]}}):
        path = "chart" if "runs" in body else "curves"
        assert ask(path, body | {"keys": ["loss"], "rank": 7}) == (400, missing)
        assert ask(path, body | {"keys": ["loss"], "rank": "x"}) == (
            400,
            "Invalid rank 'x'. Use a number, or 'all'.",
        )
    assert ask("curves", {"groups": {"a": ["job"]}, "keys": ["loss"], "by_rank": True})[0] == 400
    segment = ask("runs/job")["segments"][0]["id"]
    assert ask("runs/job/history", rank=0, segment=segment)[1].endswith("not both.")


def test_keys_name_the_number_of_other_ranks(ask: Callable[..., Any]) -> None:
    wanted = {"loss": 2, "lr": 0, "last stage": 1}
    keys = ask("runs/job")["keys"]
    assert {each["key"]: each["other_ranks"] for each in keys} == wanted
    metrics = ask("metrics", {"runs": ["job", "alone"]})["metrics"]
    assert {each["key"]: each["other_ranks"] for each in metrics} == wanted


def test_commands_read_all_attempts_of_a_rank(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKER_STORE", str(served.store))

    def lines(*arguments: str) -> list[str]:
        main(list(arguments))
        return capsys.readouterr().out.splitlines()

    assert lines("tail", "ddp/job", "--rank", "1", "-m", "loss", "-n", "3") == [
        *["step 1  loss=11", "step 2  loss=13", "step 3  loss=14"],
    ]
    assert lines("tail", "ddp/job", "--rank", "1", "--console", "-n", "3") == [
        *["attempt 0", "rank 1", "attempt 1"],
    ]
    rows = lines("export", "ddp/job", "--rank", "1", "-m", "loss", "--format", "jsonl")
    assert [json.loads(row)["loss"] for row in rows] == [10, 11, 13, 14]
