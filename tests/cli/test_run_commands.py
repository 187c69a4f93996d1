"""The commands that list, show, follow, compare, export and change runs: in a folder, and on a server."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from forking import Forked, fork_command
from scripts import environment, wait_for
from scripts import run as run_script
from serving import COMMAND, Server, command, serving

import tracker
from tracker.cli import output
from tracker.cli.following import Poller
from tracker.cli.main import main
from tracker.cli.run_overview import _time_limit
from tracker.cli.run_tail import _Rows
from tracker.ground.export_formats import FORMATS
from tracker.ground.records import ConsoleLines

QUIET = {"silent": True, "x_disable_stats": True}
SWEEP = 6


def begin(store: Path, **given: Any) -> Any:
    return tracker.init(reinit="create_new", settings={**QUIET, "store": store}, **given)


def log_runs(store: Path) -> None:
    """Log a sweep, three tasks of a Slurm array, a distributed run, and a run with hostile texts."""
    for at in range(SWEEP):
        config = {"lr": 0.1 * (at + 1), "model": {"depth": at % 2}, "seed": 7}
        run = begin(store, project="sweep", id=f"trial{at}", name=f"trial {at}", config=config)
        for step in range(3000 if at in (4, 5) else 20):
            acc = step / 20 + at / 100
            same = at == 5 and step < 2345
            run.log({"val/acc": acc, "loss": (1.0 if same or at == 4 else 2.0) / (step + 1)})
        run.finish(exit_code=3 if at == 1 else 0)
    with pytest.MonkeyPatch.context() as given:
        given.setenv("WORLD_SIZE", "2")
        ranks = []
        for rank in (0, 1):
            given.setenv("RANK", str(rank))
            ranks.append(begin(store, project="ddp", id="ddp0", name="ddp", tags=["old"]))
            ranks[rank].log({"loss": 1.0 + rank})
        for run in ranks:
            run.finish()
    run = begin(store, project="printed", id="printer")
    run.record(ConsoleLines(1.0, [(0, 1, "one"), (1, 1, "two"), (2, 1, "\x1b[31mthree\x1b[0m")]))
    run.finish()
    run = begin(
        store, project="ddp", id="evil", name="a\x1b[2J\x07b\nc", config={"k\x1b[1m": "v\x1b]0;t\x07"}
    )
    run.finish()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("runs") / "tracker-store"
    with pytest.MonkeyPatch.context() as given:
        given.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
        given.setenv("TRACKER_X_DISABLE_META", "true")
        log_runs(store)
        given.setenv("TRACKER_X_DISABLE_META", "false")
        given.setenv("SLURM_ARRAY_JOB_ID", "900")
        given.setenv("SLURM_JOB_NAME", "train")
        for task in range(3):
            given.setenv("SLURM_JOB_ID", str(905 + task))
            given.setenv("SLURM_ARRAY_TASK_ID", str(task))
            run = begin(store, project="array", id=f"task{task}")
            run.log({"loss": float(task)})
            run.finish()
    apply(store)
    with serving(store, key=True) as server:
        yield server


def apply(store: Path) -> None:
    """Apply everything that was logged to the store, so that its server answers with it."""
    tracker.Api({"store": store}).projects()


class Commands:
    """Runs commands that read a store, or ask its server.

    Attributes:
        errors: The error output of the last command.
    """

    errors = ""

    def __init__(self, server: Server, folder: Path, *, remote: bool) -> None:
        self.server, self.folder = server, folder
        self.variables = {"TRACKER_STORE": str(server.store)}
        if remote:
            elsewhere = str(folder / "elsewhere")
            self.variables = {"TRACKER_BASE_URL": server.url, "TRACKER_API_KEY": server.key or ""}
            self.variables["TRACKER_STORE"] = elsewhere
        self.variables["COLUMNS"] = "200"

    def __call__(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Run a command in this process, and return its output."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        err = io.StringIO()
        ended = 0
        with (
            patch.dict(os.environ, {**self.variables, **variables}),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main(list(arguments))
            except SystemExit as error:
                ended = error.code if isinstance(error.code, int) else 1
                if isinstance(error.code, str):  # Python prints it at the end of a process
                    err.write(error.code + "\n")
        out.flush()
        self.errors = err.getvalue()
        text = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
        assert ended == code, (text, self.errors)
        return text

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))

    def start(self, *arguments: str) -> Forked:
        return fork_command(arguments, self.folder, environment(**self.variables))


@pytest.fixture(params=["store", "server"])
def do(request: pytest.FixtureRequest, served: Server, tmp_path: Path) -> Commands:
    return Commands(served, tmp_path, remote=request.param == "server")


@pytest.fixture
def new_run(served: Server, without_recorder: None, request: pytest.FixtureRequest) -> Any:
    """A run in the store of the server that is still being written. It has the name of the test."""
    run = begin(served.store, project="new", name=request.node.name)
    yield run
    run.finish()
    assert run.id is not None


def ids(answer: dict[str, Any]) -> list[str]:
    return [run["id"] for run in answer["runs"]]


def test_ls_lists_the_newest_runs_of_all_projects(do: Commands) -> None:
    lines = do("ls", "-n", "3", "-e", "local").splitlines()
    assert lines[0].split()[:4] == ["NAME", "ID", "PROJECT", "STATE"]
    assert len(lines) == 4
    assert do.errors.startswith("3 of ")
    assert do.errors.endswith(" runs (-n 0 lists all)\n")


def test_ls_of_a_project_shows_states_metrics_and_settings_that_differ(do: Commands) -> None:
    lines = [line.split() for line in do("ls", "-p", "sweep", "-s", "name").splitlines()]
    assert lines[0] == [
        "NAME",
        "ID",
        "STATE",
        "AGE",
        "DURATION",
        "STEP",
        "val/acc",
        "loss",
        "lr",
        "model.depth",
    ]
    assert lines[1][:4] == ["trial", "0", "trial0", "finished"]
    assert lines[2][:6] == ["trial", "1", "trial1", "failed", "(exit", "status"]
    assert lines[2][-5:] == ["19", "0.96", "0.1", "0.2", "1"]
    assert len(lines) == 1 + SWEEP
    assert do.errors == f"{SWEEP} of {SWEEP} runs\n"


def test_ls_has_the_answer_of_the_rest_api_as_json(do: Commands, served: Server) -> None:
    answer = do.json("ls", "-p", "sweep", "-n", "2")
    with served.client() as client:
        page = client.get("/projects/local/sweep/runs", params={"limit": 2}).json()
    assert answer == {"total": page["total"], "runs": page["runs"]}


QUERIES = {
    "state:failed": {"trial1"},
    "lr>0.45": {"trial4", "trial5"},
    "config.lr>0.45 -loss>0.0005": {"trial4"},
    "model.depth:1 val/acc<1": {"trial1", "trial3"},
    "lr!=0.1 has:lr seed:7 last_step<100": {"trial1", "trial2", "trial3"},
    '"trial [12]"': {"trial1", "trial2"},
    "tag:old": {"ddp0"},
}


def test_ls_knows_the_query_language_with_short_keys(do: Commands) -> None:
    for query, found in QUERIES.items():
        assert set(do("ls", query, "-c", "id").split()) == {"ID", *found}, query


def test_an_unknown_key_in_a_query_is_an_error(do: Commands) -> None:
    for arguments in (
        ("ls", "lrr>0.1"),
        ("ls", "-c", "lrr"),
        ("ls", "-s", "lrr"),
        ("rm", "-y", "-q", "NOT lrr:1"),
    ):
        do(*arguments, code=1)
        assert do.errors.startswith("tracker: Unknown field 'lrr': no run has it")
        assert do.errors.count("\n") == 1
    do("ls", "state:", code=1)
    assert do.errors == "tracker: query, character 7: a value is missing after :\n"


def test_ls_sorts_by_metrics_over_projects(do: Commands) -> None:
    query = "has:loss last_step<100 state:finished"
    ordered = ids(do.json("ls", query, "-s", "loss,id"))
    assert ordered == ["task0", *(f"trial{at}" for at in (0, 2, 3)), "ddp0", "task1", "task2"]
    assert ids(do.json("ls", query, "-s", "loss,id", "-r"))[:2] == ["task2", "task1"]
    assert ids(do.json("ls", query, "--sort=-loss", "-n", "2")) == ["task2", "task1"]


def test_a_query_may_begin_with_a_minus_sign(do: Commands) -> None:
    rest = ("-p", "sweep", "--ids", "-s", "-name")
    not_failed = do("ls", *rest, "NOT state:failed")
    assert "trial1" not in not_failed
    assert do("ls", "-state:failed", *rest) == do("ls", *rest, "--", "-state:failed") == not_failed
    assert do("ls", *rest, "-state:failed lr>0.3") == do("ls", *rest, "NOT state:failed lr>0.3")
    assert do("ls", *rest, "--", "-trial") == ""
    for option in (("-q", "-lr>0.1"), ("--query", "-lr>0.1"), ("-q-lr>0.1",), ("-qlr<=0.1",)):
        assert do.json("show", "-p", "sweep", *option)["id"] == "trial0"
    do("wait", "trial0", "-u", "-loss>1", "-t", "0")


def test_ls_fits_into_the_terminal(do: Commands) -> None:
    for width in (40, 60, 80, 100):
        lines = do("ls", "-p", "sweep", COLUMNS=str(width)).splitlines()
        assert len(lines) == 1 + SWEEP
        assert all(len(line) <= width for line in lines)
        assert all(f"trial{at}" in lines[-1 - at] for at in range(SWEEP))


def test_ls_keeps_the_order_and_the_ends_of_names_in_a_narrow_terminal(
    tmp_path: Path, served: Server
) -> None:
    store = tmp_path / "narrow"
    for at in range(4):
        name = f"a-long-study-trial-{at}-of-the-sweep"
        config = {"model": f"net{at}", "trial_number": at, "seed": at, "lr": 0.1 * at}
        run = begin(store, project="study", id=f"id{at}", name=name, config=config)
        run.log({"val/acc": at / 4, "other": -at})
        run.finish()
    do = Commands(served, tmp_path, remote=False)
    do.variables["TRACKER_STORE"] = str(store)
    lines = do("ls", "-s", "-other", "-p", "study", COLUMNS="60").splitlines()
    assert "other" in lines[0].split()
    assert [line.split()[0][:3] for line in lines[1:]] == ["…0-", "…1-", "…2-", "…3-"]
    head, first, *_ = do("ls", "-s", "name", "-p", "study").splitlines()
    # Numbers of trials and seeds are the last choice, and texts are left-aligned.
    assert head.split()[-3:] == ["lr", "model", "seed"]
    assert first.index("net0") == head.index("model")
    assert do("ls", "-s", "-lr", "-n", "2", "--ids") == "local/study/id3\nlocal/study/id2\n"
    assert ids(do.json("ls", "--sort", "-lr", "-n", "1", "-p", "study")) == ["id3"]
    do("ls", "-s", code=2)


def test_a_value_with_parts_is_not_compared(tmp_path: Path, served: Server) -> None:
    store = tmp_path / "parts"
    run = begin(store, project="parts", id="one", config={"optimizer": {"name": "adam", "lr": 0.1}})
    run.define_metric("val/loss", summary="min")
    for loss in (0.5, 0.1, 0.4):
        run.log({"val/loss": loss})
    run.finish()
    do = Commands(served, tmp_path, remote=False)
    do.variables["TRACKER_STORE"] = str(store)
    for arguments in (("val/loss<0.2",), ("-s", "val/loss"), ("NOT (val/loss:1 OR state:failed)",)):
        do("ls", *arguments, code=1)
        assert do.errors == "tracker: The values of 'val/loss' have parts. Name a part: val/loss.min.\n"
    do("ls", "optimizer:adam", code=1)
    assert "optimizer.lr, optimizer.name" in do.errors
    for query in ("val/loss.min<0.2", "has:val/loss", "optimizer.name:adam"):
        assert do("ls", query, "--ids") == "local/parts/one\n"
    # In a condition, the key is still the last value.
    assert do.json("wait", "one", "-u", "val/loss<0.2", code=3)["result"] == "ended"
    assert do.json("wait", "one", "-u", "val/loss>0.3 min.val/loss<0.2")["result"] == "met"


def test_a_wrong_name_is_told_with_what_it_may_mean(do: Commands) -> None:
    do("ls", "val/ac>0", code=1)
    assert "in its config or summary. Did you mean val/acc? Fields of all runs are" in do.errors
    do("ls", "-c", "reasn", code=1)
    assert "Did you mean reason?" in do.errors
    for query in ("state:fail", "NOT state:finished,fail"):
        do("ls", query, code=1)
        assert do.errors.startswith("tracker: Unknown state 'fail'. The states are running, preempting,")
    do("rm", "trial*", code=4)
    assert do.errors == "tracker: No run matches 'trial*'. Select several runs with: -q QUERY\n"


def test_runs_are_found_by_their_slurm_job(do: Commands) -> None:
    for job, found in (("900", [2, 1, 0]), ("906", [1]), ("900_2", [2]), ("90", [])):
        assert ids(do.json("ls", "--job", job)) == [f"task{task}" for task in found]
    assert do.json("show", "--job", "906")["metadata"]["slurm"]["job_name"] == "train"
    assert "Slurm job  906 (900_1)  train" in do("show", "--job", "906")
    head, first, *_ = do("ls", "--job", "900").splitlines()
    assert dict(zip(head.split(), first.split(), strict=False))["JOB"] == "900_2"


def test_a_run_that_two_jobs_wrote_is_found_by_both(
    served: Server, without_recorder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_X_DISABLE_META", "false")
    for job in ("7001", "7002"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        begin(served.store, project="again", id="requeued", resume="allow").finish()
    do = Commands(served, tmp_path, remote=False)
    assert ids(do.json("ls", "--job", "7001")) == ids(do.json("ls", "--job", "7002")) == ["requeued"]


def test_show_tells_the_time_limit_of_a_run_that_has_not_ended(
    served: Server, without_recorder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_X_DISABLE_META", "false")
    monkeypatch.setenv("SLURM_JOB_ID", "8001")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 7300))
    run = begin(served.store, project="limit", id="limited")
    do = Commands(served, tmp_path, remote=False)
    # A thread records the facts of the start.
    wait_for(lambda: re.search(r"Time limit +\S+ \S+  \(in 2h\)", do("show", "limited")), "the time limit")
    run.finish()
    assert "Time limit" not in do("show", "limited")


@pytest.mark.parametrize("end", ["", "Unknown", "9" * 20])
def test_an_unknown_time_limit_is_left_out(end: str) -> None:
    assert _time_limit({"job_end_time": end}, 0.0) == ""
    assert _time_limit({"job_end_time": "1000"}, 2000.0).endswith("  (over)")


def test_an_empty_list_tells_why(do: Commands) -> None:
    assert do("ls", "-p", "nothing") == ""
    assert "No run in project local/nothing" in do.errors
    assert do("ls", "-e", "nobody") == ""
    assert "Entities with runs: local" in do.errors
    assert do("ls", "state:failed", "-p", "ddp") == ""
    assert do.errors == "No run of project local/ddp matches.\n"


def test_a_run_is_named_in_all_these_ways(do: Commands) -> None:
    for name in ("trial3", "sweep/trial3", "local/sweep/trial3", "sweep:trial3", "trial 3", "sweep/trial 3"):
        assert do.json("show", name)["id"] == "trial3"


def test_a_run_is_named_by_a_unique_beginning(do: Commands) -> None:
    assert do.json("show", "ddp/e")["id"] == do.json("show", "ev")["id"] == "evil"
    do("show", "sweep/tri", code=4)
    assert f"{SWEEP} runs match 'tri'" in do.errors
    assert "local/sweep/trial5 (trial 5), local/sweep/trial4" in do.errors
    assert "and 1 more" in do.errors
    assert do.json("show", "dd")["id"] == "ddp0"
    do("show", "rial0", code=4)
    assert do.errors == "tracker: No run matches 'rial0'. List the runs with: tracker ls\n"


def test_show_prints_the_facts_of_a_run(do: Commands, served: Server) -> None:
    text = do("show", "trial1")
    assert text.startswith("trial 1  local/sweep/trial1\n")
    for words in ("State      failed: exit status 3", "Last step  19", "model.depth  1", "val/acc  0.96"):
        assert words in text
    with served.client() as client:
        detail = client.get("/projects/local/sweep/runs/trial1").json()
    answer = do.json("show", "trial1")
    assert {key: answer[key] for key in detail} == detail
    assert set(answer) - set(detail) == {"url", "metadata", "artifacts", "files"}
    assert [run["id"] for run in do.json("show", "trial1", "trial2")] == ["trial1", "trial2"]


def test_show_tells_why_a_run_failed(tmp_path: Path, served: Server) -> None:
    store = tmp_path / "failing"
    failing = begin(store, project="failing", id="failing", name="the failing one")
    failing.record(ConsoleLines(1.0, [(at, 1, f"line {at}") for at in range(30)]))
    failing.alert("Loss is NaN", "at\nstep 3", level="ERROR")
    error = RuntimeError("CUDA out of memory")
    failing.__exit__(RuntimeError, error, None)
    do = Commands(served, tmp_path, remote=False)
    do.variables["TRACKER_STORE"] = str(store)
    text = do("show", "the failing")  # a beginning of the name
    assert [" ".join(line.split()) for line in text.splitlines()[2:4]] == [
        "State failed: exception",
        "Error RuntimeError: CUDA out of memory",
    ]
    assert "\nLast output\n  line 15\n" in text
    assert "\n  line 29\n" in text
    assert "ERROR  Loss is NaN: at step 3\n" in text
    assert "failed (RuntimeError)" in do("ls", "-p", "failing")
    assert "failed (RuntimeError)" in do("wait", "failing", code=3)


def test_control_characters_do_not_reach_the_terminal(do: Commands) -> None:
    for arguments in (
        ("ls", "-p", "ddp"),
        ("show", "evil"),
        ("compare", "evil", "ddp0"),
        ("tag", "evil", "+x"),
    ):
        text = do(*arguments)
        assert "ab" in text
        assert not any(ord(each) < 32 and each != "\n" for each in text)
    assert output.for_terminal("\x1b[31mred\x1b[0m\x1b[2J\tx\x07") == "\x1b[31mred\x1b[0m\tx"


def test_tail_prints_the_last_rows(do: Commands) -> None:
    lines = do("tail", "trial0", "-n", "2").splitlines()
    assert lines == ["step 18  val/acc=0.9  loss=0.1053", "step 19  val/acc=0.95  loss=0.1"]
    assert do("tail", "trial0", "-m", "val/*", "-n", "1") == "step 19  val/acc=0.95\n"
    assert do("tail", "trial0", "-m", "nothing*") == do("tail", "trial0", "-n", "0") == ""
    assert len(do("tail", "trial4", "-n", "2500").splitlines()) == 2500
    row = json.loads(do("tail", "trial2", "-n", "1", "--json"))
    assert row["run"] == "local/sweep/trial2"
    assert (row["row"]["_step"], row["row"]["loss"]) == (19, 0.1)
    both = do("tail", "trial0", "trial2", "-n", "1").splitlines()
    assert [line.partition(" | ")[0] for line in both] == ["trial 0", "trial 2"]


def read_line(process: Forked) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.readline() or process.stderr.read()


def test_tail_follows_until_the_run_ends(do: Commands, served: Server, new_run: Any) -> None:
    new_run.log({"x": 1.0})
    apply(served.store)
    process = do.start("tail", "-f", f"new/{new_run.id}")
    assert read_line(process) == "step 0  x=1\n"
    for step in range(1, 4):
        new_run.log({"x": 1.0 + step})
        assert read_line(process) == f"step {step}  x={step + 1}\n"
    new_run.log({"x": 9.0})
    new_run.finish()
    assert read_line(process) == "step 4  x=9\n"
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == f"local/new/{new_run.id} finished\n"


def test_new_rows_of_a_run_that_logs_steps_again_are_found(without_recorder: None, tmp_path: Path) -> None:
    store = tmp_path / "tracker-store"
    first = begin(store, project="new", id="again")
    for step in range(5):
        first.log({"x": step})
    first.finish()
    found = tracker.Api({"store": store}).run("new/again")
    rows = _Rows(found, None, None)
    assert [row["x"] for row in rows.last(1)] == [4]
    second = begin(store, project="new", id="again", resume="must")
    found.load()
    assert rows.more() == []
    for step, x in ((2, 20), (3, 30)):
        second.log({"x": x}, step=step, commit=True)
        found.load()
        assert [row["x"] for row in rows.more()] == [x]
    second.finish()


def test_tail_and_export_read_single_ranks(do: Commands) -> None:
    assert do("tail", "ddp0", "--rank", "1") == "step 0  loss=2\n"
    assert do("tail", "ddp0", "--rank", "all").splitlines() == [
        "ddp rank 0 | step 0  loss=1",
        "ddp rank 1 | step 0  loss=2",
    ]
    assert json.loads(do("tail", "ddp0", "--rank", "1", "--json"))["rank"] == 1
    (do.folder / "out").mkdir()
    files = do.json("export", "ddp0", "--rank", "all", "-o", "out")["files"]
    assert [Path(file["path"]).name for file in files] == ["ddp0.rank0.csv", "ddp0.rank1.csv"]
    assert "2.0" in (do.folder / files[1]["path"]).read_text()
    do("tail", "ddp0", "--rank", "7", code=1)
    assert "Its ranks are 0, 1." in do.errors


def test_tail_prints_the_output(do: Commands) -> None:
    assert do("tail", "-c", "printer", "-n", "2") == "two\n\x1b[31mthree\x1b[0m\n"
    line = json.loads(do("tail", "-c", "printer", "-n", "1", "--json"))["line"]
    assert (line["line"], line["stream"], line["text"]) == (2, "stdout", "\x1b[31mthree\x1b[0m")
    do("tail", "-c", "-m", "x", "printer", code=1)


WAITS: list[tuple[tuple[str, ...], int, str]] = [
    (("trial0",), 0, "met"),
    (("trial0", "trial1"), 3, "ended"),
    (("trial0", "trial1", "--any"), 0, "met"),
    (("trial1", "--until", "val/acc>=0.9"), 0, "met"),
    (("trial0", "--until", "val/acc>=0.96"), 3, "ended"),
    (("trial0", "--until", "max.loss>=2 min.loss<=0.1 min.val/acc:0"), 0, "met"),
    (("trial0", "--until", "max.loss>2 OR min.loss>0.1"), 3, "ended"),
    (("trial0", "--until", "NOT has:max.nothing state:finished config.lr<0.2"), 0, "met"),
    (("--query", "state:finished", "-p", "sweep"), 0, "met"),
    (("--job", "900"), 0, "met"),
    (("absent", "--missing", "--timeout", "0"), 4, "missing"),
]


def test_wait_of_ended_runs(do: Commands) -> None:
    for arguments, code, result in WAITS:
        assert do.json("wait", *arguments, code=code)["result"] == result, arguments
    assert do("wait", "trial0", "-u", "loss<1") == (
        "trial 0  local/sweep/trial0: finished at step 19, loss<1 is true\n"
    )
    assert do("wait", "trial1", code=3) == "trial 1  local/sweep/trial1: failed (exit status 3) at step 19\n"


def test_wait_refuses_what_it_cannot_wait_for(do: Commands) -> None:
    do("wait", "absent", code=4)
    do("wait", "-q", "state:preempted", code=4)
    do("wait", code=1)
    do("wait", "trial0", "-u", "val/acc>", code=1)
    do("wait", "trial0", "-u", "max.loss~x", code=1)
    do("wait", "trial0", "-t", "soon", code=2)
    assert "val/ac was never logged" in do("wait", "trial0", "-u", "max.val/ac>1 loss<9", code=3)
    do("wait", "--missing", "tri", "-p", "sweep", code=4)
    assert "runs match" in do.errors


def test_wait_ends_when_the_condition_becomes_true(do: Commands, served: Server, new_run: Any) -> None:
    new_run.log({"acc": 0.95, "loss": 1.0})
    new_run.log({"acc": 0.1, "loss": 0.5})
    apply(served.store)
    assert do.json("wait", f"new/{new_run.id}", "-u", "acc>0.9", "-t", "0", code=124)["result"] == "timeout"
    assert do.json("wait", f"new/{new_run.id}", "-u", "max.acc>0.9", "-t", "0")["result"] == "met"
    do("wait", f"new/{new_run.id}", "-u", "max.ac>0.9 loss<9", "-t", "0", code=124)
    assert f"tracker: {new_run.name} has not logged ac yet. Waiting for it.\n" in do.errors
    process = do.start("wait", f"new/{new_run.id}", "--until", "loss<0.3", "--json")
    extremes = do.start("wait", f"new/{new_run.id}", "--until", "min.loss<0.3")
    new_run.log({"loss": 0.4})
    assert process.poll() is extremes.poll() is None
    new_run.log({"loss": 0.2})
    assert (process.wait(60), extremes.wait(60)) == (0, 0)
    assert process.stdout is not None
    (run,) = json.load(process.stdout)["runs"]
    assert (run["id"], run["state"], run["last_step"]) == (new_run.id, "running", 3)


def test_wait_begins_before_the_run_exists_and_ends_with_its_failure(
    do: Commands, served: Server, without_recorder: None
) -> None:
    run_id = f"later{len(do.variables)}"
    process = do.start("wait", run_id, "--missing")
    run = begin(served.store, project="new", id=run_id)
    run.log({"x": 1})
    assert process.poll() is None
    run.finish(exit_code=1)
    assert process.wait(60) == 3


def test_wait_begins_before_the_store_exists(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do, store = Commands(served, tmp_path, remote=False), tmp_path / "later"
    wait = ("wait", "first", "--store", str(store))
    do(*wait, code=1)
    assert do(*wait, "--missing", "-t", "0", code=4) == "first: does not exist\n"
    pauses = []

    def log_the_first_run(poller: Poller, *, changed: bool) -> None:
        pauses.append(changed)
        if not store.exists():
            script = 'import tracker\ntracker.init(project="new", id="first").finish()'
            run_script(script, tmp_path, TRACKER_STORE=str(store), TRACKER_SILENT="1")

    monkeypatch.setattr(Poller, "pause", log_the_first_run)
    assert do.json(*wait, "--missing")["result"] == "met"
    assert len(pauses) == 1


def test_compare_shows_what_differs_first(do: Commands) -> None:
    text = do("compare", "trial4", "trial5")
    assert text.split("\n")[:2] == ["  trial 4  trial 5", "  trial4   trial5"]
    assert "Config (1 equal)\n  lr           0.5  0.6\n  model.depth  0    1\n" in text
    assert text.endswith("trial 5: differs from step 0 in val/acc; differs from step 2345 in loss\n")
    answer = do.json("compare", "trial4", "trial5")
    assert [(row["key"], row["differs"]) for row in answer["config"]] == [
        ("lr", True),
        ("model.depth", True),
        ("seed", False),
    ]
    assert answer["config"][0]["values"] == [0.5, pytest.approx(0.6)]
    # 3,000 rows are more than one line has points: the range is searched until the step is exact.
    parted = {each["metric"]: (each["step"], each["before"]) for each in answer["partings"]}
    assert parted == {"loss": (2345, None), "val/acc": (0, None)}
    do("compare", "trial4", code=1)
    assert do.json("compare", "trial4", "array/task0")["partings"][0]["metric"] == "loss"


def test_export_writes_the_rows_as_the_rest_api_does(do: Commands, served: Server) -> None:
    with served.client() as client:
        for format in FORMATS:
            path = "/projects/local/sweep/runs/trial2/history/export"
            wanted = client.get(path, params={"format": format}).content
            (file,) = do.json("export", "trial2", "-o", f"x.{FORMATS[format].ending}")["files"]
            written = (do.folder / file["path"]).read_bytes()
            assert written == wanted or format == "parquet"
    assert pq.read_table(do.folder / "x.parquet").num_rows == 20
    # The text of the output has the line ends of the platform.
    assert list(csv.reader(io.StringIO(do("export", "trial2", "-m", "loss"))))[1][-1] == "2.0"
    assert len(do("export", "trial2", "--format", "jsonl").splitlines()) == 20
    do("export", "trial2", "-m", "nothing", code=1)
    do("export", "-q", "lr>0.1", code=1)
    assert "Use --output DIR" in do.errors
    do("export", "-q", "state:preempted", code=4)
    files = do.json("export", "-q", "lr>0.35", "-o", "out")["files"]
    assert [file["path"] for file in files] == [f"out/local/sweep/trial{at}.csv" for at in (5, 4, 3)]
    assert all((do.folder / file["path"]).stat().st_size > 100 for file in files)


def test_export_writes_a_table_of_runs(do: Commands, served: Server) -> None:
    rows = list(csv.DictReader(io.StringIO(do("export", "--runs", "-q", "has:lr"))))
    assert [row["id"] for row in rows] == [f"trial{at}" for at in reversed(range(SWEEP))]
    assert (rows[-1]["config.model.depth"], rows[-2]["reason"]) == ("0", "exit status 3")
    lines = do("export", "--runs", "-q", "has:lr", "--format", "jsonl").splitlines()
    with served.client() as client:
        assert [json.loads(line) for line in lines] == client.get("/projects/local/sweep/runs").json()["runs"]
    do("export", "--runs", "-q", "has:loss", "-o", "runs.parquet")
    table = pq.read_table(do.folder / "runs.parquet")
    cells = dict(zip(table.column("id").to_pylist(), table.column("summary.loss").to_pylist(), strict=True))
    assert (cells["task2"], cells["trial0"], str(table.schema.field("config.lr").type)) == (
        2.0,
        0.1,
        "double",
    )
    do("export", "--runs", "trial0", "--format", "arrow", code=1)


def test_rm_deletes_only_what_was_confirmed_and_undo_restores_it(do: Commands, served: Server) -> None:
    waste = f"waste{len(do.variables)}"
    for at in range(3):
        begin(served.store, project=waste, id=f"w{at}", config={"at": at}).finish()
    apply(served.store)
    do("rm", "-p", waste, "-q", "at<2", code=1)
    assert do.errors == "tracker: 2 runs would be deleted. Use --yes to delete without a question.\n"
    assert f"local/{waste}/w0" in do("rm", "-p", waste, "-q", "at<2", "--dry-run")
    assert do.json("ls", "-p", waste)["total"] == 3
    text = do("rm", "-p", waste, "-q", "at<2", "--yes")
    assert "2 of 2 runs deleted. Restore with: tracker rm --undo ENTITY/PROJECT/ID" in text
    assert ids(do.json("ls", "-p", waste)) == ["w2"]
    do("rm", "w1", "-y", code=4)
    assert do.json("rm", "--undo", f"{waste}/w1") == {
        "restored": [{"entity": "local", "project": waste, "id": "w1"}]
    }
    assert set(ids(do.json("ls", "-p", waste))) == {"w1", "w2"}
    do("rm", "--undo", f"{waste}/w9", code=4)
    answer = do.json("rm", f"{waste}/w1", f"{waste}/w2", "-y")
    assert (answer["total"], answer["changed"]) == (2, 2)


def test_rm_reports_a_run_that_is_running(do: Commands, served: Server, new_run: Any) -> None:
    new_run.log({"x": 1})
    apply(served.store)
    answer = do.json("rm", f"new/{new_run.id}", "--yes", code=1)
    assert (answer["changed"], answer["results"][0]["id"]) == (0, new_run.id)
    assert "running" in answer["results"][0]["error"]
    assert do.json("show", f"new/{new_run.id}")["state"] == "running"


def test_rm_asks_on_a_terminal(served: Server, tmp_path: Path) -> None:
    begin(served.store, project="asked", id="asked").finish()
    for answer, total in (("n", 1), ("", 1), ("y", 0)):
        code, text = in_terminal(
            ["rm", "asked/asked"], tmp_path, f"{answer}\n", TRACKER_STORE=str(served.store)
        )
        assert "Delete 1 run? [y/N]" in text
        assert (code == 0) == (total == 0)
        listed = command("ls", "-p", "asked", "--json", folder=tmp_path, TRACKER_STORE=str(served.store))
        assert json.loads(listed.stdout)["total"] == total


def in_terminal(arguments: list[str], folder: Path, typed: str, **variables: str) -> tuple[int, str]:
    """Run a command in a pseudo-terminal; return its exit code and its output."""
    master, slave = os.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        os.write(master, typed.encode())
        text = b""
        with suppress(OSError):  # the end of the process closes the terminal
            while piece := os.read(master, 4096):
                text += piece
    os.close(master)
    return process.returncode, text.decode()


def test_tag_adds_and_removes_single_tags(do: Commands, served: Server) -> None:
    run = begin(served.store, project="tagged", tags=["a", "pending"])
    run.finish()
    apply(served.store)
    name = f"tagged/{run.id}"
    (answer,) = do.json("tag", name, "+b", "-pending", "+e", "-query")
    assert answer == {"entity": "local", "project": "tagged", "id": run.id, "tags": ["a", "b", "e"]}
    assert do("tag", name, "-e", "-a").endswith("  b\n")
    assert do("tag", "-q", "tag:b", "+c", "-c", "--project", "tagged").endswith("  b\n")
    with served.client() as client:
        assert client.get(f"/projects/local/tagged/runs/{run.id}").json()["tags"] == ["b"]
    do("tag", name, code=1)
    do("tag", "+x", code=1)
    do("tag", "tagged/none", "+x", code=4)


def test_a_reader_that_ends_early_is_not_an_error(do: Commands) -> None:
    process = do.start("export", "trial4")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""


def test_the_option_store_names_a_folder_even_with_a_server(served: Server, tmp_path: Path) -> None:
    variables = {"TRACKER_BASE_URL": "http://127.0.0.1:9", "TRACKER_API_KEY": "local-x"}
    done = command("ls", "--json", "--store", str(served.store), folder=tmp_path, **variables)
    assert json.loads(done.stdout)["total"] > SWEEP
    assert command("ls", folder=tmp_path, **variables).returncode == 1


def test_settings_choose_the_project_and_an_option_lists_all(do: Commands) -> None:
    do.variables["TRACKER_PROJECT"] = "array"
    assert len(ids(do.json("ls"))) == 3
    assert len(ids(do.json("ls", "-a", "-n", "0"))) > 3
    assert do.json("show", "trial3")["id"] == "trial3"
