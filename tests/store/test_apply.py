"""Applying journals: twice, in pieces, by several processes, after kills, of resumed runs and many ranks."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import (
    HOST,
    START,
    Writer,
    all_rows,
    apply_all,
    dump,
    end_segments,
    get_run,
    problems,
    read_history,
    seal_all,
    segment_id,
    the_journal,
)
from sqlalchemy import select, text

from tracker.errors import StoreError
from tracker.ground.records import (
    COMMIT,
    ConfigChanged,
    MetricDefined,
    Row,
    RowsLost,
    RunFinished,
    SummaryChanged,
)
from tracker.ground.values import dumps
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Segment
from tracker.store.history.compaction import compact
from tracker.store.ingest import apply, seal
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.ingest.seal import spill
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


def write_everything(layout: Layout, segment: str = A) -> Writer:
    """Write a run with every kind of record, without the last record."""
    writer = Writer(layout, segment, name="calm-river-1", group="g", tags=["t"], config={"lr": 0.1})
    writer.put(MetricDefined("val/*", step_metric="epoch", step_sync=True, summary=["min"]))
    writer.put(ConfigChanged({"seed": 2**70, "nan": math.nan}))
    for at in range(5):
        writer.log({"loss": 1.0 / (at + 1), "epoch": at})
        writer.log({"val/acc": at / 10, "nested": {"a": [at, None]}})
    writer.log({"half": 1}, commit=False)
    writer.log({"other half": 2**65})
    writer.log({"far": 1}, step=100)
    writer.log({"aside": 1}, step=3)
    writer.file("media/images/x_0_abc.png", b"no real image", "image/png")
    writer.put(SummaryChanged({"best": "mine"}))
    writer.artifact("model", {"w.bin": b"first"}, ["best"], metadata={"score": math.inf})
    writer.artifact("model", {"w.bin": b"second"})
    writer.artifact("model", {"w.bin": b"second"}, ["stable"])  # the same content again
    writer.use("model", 0)
    writer.put(RowsLost(2, "No space left on device", START))
    return writer


def reference(tmp_path: Path) -> str:
    """Return the dump of a store with the run above: applied in one step, ended and sealed."""
    store = open_store(tmp_path / "reference")
    write_everything(store.layout).finish()
    apply_all(store)
    seal_all(store)
    try:
        return dump(store)
    finally:
        store.close()


# Every way of applying gives the same store


def test_every_kind_of_record_is_applied(store: Store) -> None:
    write_everything(store.layout).finish("failed", 3, "boom")
    assert apply_all(store) == 25
    run = get_run(store)
    assert (run.name, run.state, run.exit_code, run.error, run.last_step) == (
        "calm-river-1",
        "failed",
        3,
        "boom",
        100,
    )
    assert repr(run.config) == repr({"lr": 0.1, "seed": 2**70, "nan": math.nan})
    assert (run.group, run.tags, run.host, run.created_at) == ("g", ["t"], HOST, START)
    assert (run.summary["loss"], run.summary["val/acc"], run.summary["best"]) == (0.2, {"min": 0.0}, "mine")
    assert run.duration == run.updated_at - START
    rows = read_history(store)
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 100]
    assert rows[1]["epoch"] == 0  # synchronised
    assert {"half": 1, "other half": 2**65}.items() <= rows[11].items()
    assert {"aside": 1}.items() <= rows[4].items()
    assert problems(store, A) == [f"2 records were lost at {START:.0f}: No space left on device"]


def test_applying_again_changes_nothing(store: Store) -> None:
    write_everything(store.layout).finish()
    apply_all(store)
    before = dump(store)
    with store.reading() as session:
        revision = session.scalars(select(Segment)).one().state
    assert apply_all(store) == apply_all(store, final=True) == 0
    assert dump(store) == before
    with store.reading() as session:
        assert session.scalars(select(Segment)).one().state == revision
    seal_all(store)
    cold = dump(store)
    seal_all(store)
    assert dump(store) == cold


def test_a_journal_that_comes_back_after_sealing_is_ignored(store: Store, tmp_path: Path) -> None:
    write_everything(store.layout).finish()
    journal = the_journal(store)
    shutil.copy(journal.path, tmp_path / "copy")
    apply_all(store)
    seal_all(store)
    before = dump(store)
    shutil.copy(tmp_path / "copy", journal.path)
    assert apply_all(store, final=True) == 0
    seal_all(store)  # this removes the journal again
    assert dump(store) == before
    assert not journal.path.exists()


def test_a_journal_that_grows_record_by_record_gives_the_same_store(store: Store, tmp_path: Path) -> None:
    expected = reference(tmp_path)
    source = open_store(tmp_path / "source")
    write_everything(source.layout).finish()
    shutil.copytree(source.layout.blobs, store.layout.blobs, dirs_exist_ok=True)
    data = the_journal(source).path.read_bytes()
    frames = [
        frame for frame in read_frames(the_journal(source).path, A, final=True) if isinstance(frame, Frame)
    ]
    target = store.layout.journal(HOST, A, 0)
    target.parent.mkdir(parents=True)
    target.touch()
    assert apply_all(store) == 0
    for frame in frames:
        middle = (frame.offset + frame.end) // 2
        target.write_bytes(data[:middle])  # an incomplete frame does not count
        assert apply_all(store) == 0
        target.write_bytes(data[: frame.end])
        assert apply_all(store) == 1
    seal_all(store)
    source.close()
    assert dump(store) == expected


def test_small_batches_give_the_same_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reference(tmp_path)
    monkeypatch.setattr(apply, "BATCH_BYTES", 0)
    write_everything(store.layout).finish()
    journal = the_journal(store)
    done = apply_journal(store, journal)
    assert (done.records, done.more) == (1, True)
    while done.more or done.records:
        done = apply_journal(store, journal)
    seal_all(store)
    assert dump(store) == expected


def test_small_parts_become_one_and_keep_every_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write_everything(store.layout).finish()
    whole = open_store(store.root.parent / "whole")
    shutil.copytree(store.layout.journals, whole.layout.journals, dirs_exist_ok=True)
    shutil.copytree(store.layout.blobs, whole.layout.blobs, dirs_exist_ok=True)
    apply_all(whole)
    before = dumps([list(row) for row in all_rows(whole, A)], sort_keys=True)
    history = dumps(read_history(whole), sort_keys=True)
    whole.close()

    monkeypatch.setattr(apply, "HOT_ROWS", 2)
    monkeypatch.setattr(apply, "BATCH_BYTES", 100)
    folder = store.layout.run("team", "demo", "run1") / "history"
    apply_all(store)
    parts = list(folder.iterdir())
    assert len(parts) > 4
    # An unnamed part with the same rows, as a crash before the commit leaves it. Readers of the folder see
    # these rows twice until the segment is sealed.
    parts[0].with_name(f"{A}-000000000000-000000000001.parquet").write_bytes(parts[0].read_bytes())
    assert dumps([list(row) for row in all_rows(store, A)], sort_keys=True) == before
    assert dumps(read_history(store), sort_keys=True) == history
    while compact(store, segment_id(store, A)):  # as a recorder does while the run continues
        assert dumps(read_history(store), sort_keys=True) == history
    seal_all(store)
    assert dumps([list(row) for row in all_rows(store, A)], sort_keys=True) == before
    assert dumps(read_history(store), sort_keys=True) == history
    assert len(list(folder.iterdir())) == 1


APPLY = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/tests"]
from builders import apply_all, seal_all
from tracker.store.ingest import apply
from tracker.recorder.open_store import open_store
apply.BATCH_BYTES = 0
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
apply_all(store)
seal_all(store)
"""


@pytest.mark.slow
def test_several_processes_that_apply_give_the_same_store(store: Store, tmp_path: Path) -> None:
    expected = reference(tmp_path)
    write_everything(store.layout).finish()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPLY, str(store.root), str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert dump(store) == expected


KILL = """
import os, signal, sys
from pathlib import Path
source, root = Path(sys.argv[1]), sys.argv[2]
sys.path[:0] = [root, root + "/tests"]
import shutil
from builders import apply_all, seal_all
from sqlalchemy import event
from tracker.store.ingest import apply
from tracker.recorder.open_store import open_store

if sys.argv[3:]:
    apply.HOT_ROWS, apply.BATCH_BYTES = 4, 400

def work(folder, deadline):
    count = 0
    def step(name):
        nonlocal count
        count += 1
        if count == deadline:
            os.write(1, f"{deadline} {name}\\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
    def watch(name, arguments):
        if name in ("os.rename", "os.link", "os.remove"):
            path = str(arguments[0] if name == "os.remove" else arguments[1])
            if path.endswith((".json", ".parquet", ".journal")):
                name_of = path.rsplit("/store/", 1)[1]
                token = len("-12345678-0123456789abcdef-0123456789abcdef.parquet") * path.endswith(".parquet")
                step(f"before {name} {name_of[:len(name_of) - token]}")
    store = open_store(folder / "store")
    sys.addaudithook(watch)
    @event.listens_for(store._engine, "commit")
    def before(connection):
        if connection.get_execution_options().get("write"):
            step("before commit")
    apply_all(store)
    step("after applying")
    seal_all(store)
    return count

deadline = 0
while True:
    deadline += 1
    folder = source.parent / f"killed{deadline}"
    shutil.copytree(source, folder)
    child = os.fork()
    if child == 0:
        work(folder, deadline)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert status == 0
        break
"""


@pytest.mark.slow
def test_killed_at_every_step(tmp_path: Path) -> None:
    expected = reference(tmp_path)
    source = open_store(tmp_path / "source" / "store")
    write_everything(source.layout).finish()
    source.close()
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path / "source"), str(ROOT)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    points = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    model = "artifacts/team/demo/model"
    history = f"runs/team/demo/run1/history/{A}-000000000000-000000000012"
    assert points == [
        f"before os.link {model}/versions/0.json",
        f"before os.rename {model}/aliases/best.json",
        f"before os.rename {model}/aliases/latest.json",
        f"before os.link {model}/versions/1.json",
        f"before os.rename {model}/aliases/latest.json",
        f"before os.rename {model}/aliases/stable.json",
        f"before os.rename {model}/aliases/latest.json",
        "before os.rename runs/team/demo/run1/run.json",
        "before commit",
        "after applying",
        f"before os.rename {history}",
        "before commit",
        "before os.rename runs/team/demo/run1/run.json",
        "before commit",
        f"before os.remove journals/{HOST}/{A}-000000.journal",
    ]
    for at, point in enumerate(points, 1):
        store = open_store(tmp_path / f"killed{at}" / "store")
        apply_all(store)
        seal_all(store)
        assert dump(store) == expected, f"killed {point}"
        store.close()


@pytest.mark.slow
def test_killed_at_every_step_of_merging_parts(tmp_path: Path) -> None:
    expected = reference(tmp_path)
    source = open_store(tmp_path / "source" / "store")
    write_everything(source.layout).finish()
    source.close()
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path / "source"), str(ROOT), "small parts"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    points = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    assert sum("os.rename runs" in point and "history" in point for point in points) > 2
    assert sum("os.remove runs" in point for point in points) > 2  # the merged parts
    for at, point in enumerate(points, 1):
        store = open_store(tmp_path / f"killed{at}" / "store")
        apply_all(store)
        seal_all(store)
        assert dump(store) == expected, f"killed {point}"
        store.close()


def test_hot_rows_that_changed_but_not_in_number_are_not_spilled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading rows and naming their part, other code spills the rows, and equally many rows come."""
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    apply_all(store)
    plain = seal.write_part

    def slow(*arguments: Any) -> Any:
        part = plain(*arguments)
        monkeypatch.setattr(seal, "write_part", plain)
        assert spill(store, segment_id(store, A))
        writer.log({"x": 1})
        apply_all(store)
        return part

    monkeypatch.setattr(seal, "write_part", slow)
    assert spill(store, segment_id(store, A))
    assert [row[4] for row in all_rows(store, A)] == [{"x": 0}, {"x": 1}]
    writer.finish()
    apply_all(store)
    seal_all(store)
    assert [row["x"] for row in read_history(store)] == [0, 1]


# Several writers of one run


def test_resume_hides_rows_that_the_newer_attempt_logged_again(store: Store) -> None:
    first = Writer(store.layout, B)
    for at in range(6):
        first.log({"x": at})
    second = Writer(store.layout, A, attempt=1, start_step=3, start=START + 100)
    second.log({"x": 30})
    second.log({"x": 40})
    apply_all(store)
    assert [(row["_step"], row["x"]) for row in read_history(store)] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 30),
        (4, 40),
    ]
    third = Writer(store.layout, C, attempt=2, start_step=1, start=START + 200)
    third.log({"x": 100})
    apply_all(store)
    expected = [(0, 0), (1, 100)]
    assert [(row["_step"], row["x"]) for row in read_history(store)] == expected
    end_segments(store)
    seal_all(store)
    assert [(row["_step"], row["x"]) for row in read_history(store)] == expected
    assert len(all_rows(store, B)) == 6  # no row is deleted
    assert len(all_rows(store, A)) == 2
    assert get_run(store).last_step == 5


def test_resumed_run_is_running_again_until_the_newest_attempt_ends(store: Store) -> None:
    Writer(store.layout, B, config={"lr": 1, "old": 1}).finish("failed", 1, "boom")
    apply_all(store)
    assert (get_run(store).state, get_run(store).error) == ("failed", "boom")
    second = Writer(store.layout, A, attempt=1, start=START + 100, config={"lr": 2})
    apply_all(store)
    run = get_run(store)
    assert (run.state, run.error, run.exit_code, run.finished_at) == ("running", None, None, None)
    assert run.config == {"lr": 2, "old": 1}
    assert run.created_at == START
    second.finish()
    apply_all(store)
    assert (get_run(store).state, get_run(store).finished_at) == ("finished", START + 101)


@pytest.mark.parametrize("first", [A, C])
def test_other_ranks_never_decide_the_state(store: Store, first: str) -> None:
    main = Writer(store.layout, B, config={"lr": 1}, name="main")
    other = Writer(store.layout, first, rank=3, start=START + 50, config={"lr": 9, "rank": 3}, name="other")
    other.log({"x": -1, "only 3": 1})
    main.log({"x": 1})
    other.finish("failed", 1, "boom")
    apply_all(store)
    run = get_run(store)
    assert (run.state, run.error, run.name) == ("running", None, "main")
    assert run.config == {"lr": 1, "rank": 3}
    assert run.summary == {"x": 1, "only 3": 1}
    assert [row.get("x") for row in read_history(store)] == [1]
    main.finish()
    apply_all(store)
    assert get_run(store).state == "finished"
    assert len(all_rows(store, first)) == 1


def test_writer_that_counted_as_dead_continues_its_open_row(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"a": 1}, step=7)
    apply_all(store)
    finish_segment(store, A, "crashed")
    assert get_run(store).state == "crashed"
    assert [row["a"] for row in read_history(store)] == [1]
    finish_segment(store, A, "crashed")  # the second call changes nothing
    writer.log({"b": 2}, step=7)
    writer.log({"c": 3}, step=8)
    apply_all(store)
    assert get_run(store).state == "running"
    rows = read_history(store)
    assert [(row["_step"], row["a"], row["b"]) for row in rows] == [(7, 1, 2)]
    writer.finish()
    apply_all(store)
    assert [row["_step"] for row in read_history(store)] == [7, 8]


def test_row_that_is_logged_in_two_pieces_is_joined(store: Store) -> None:
    writer = Writer(store.layout, A)
    for number, data in ((5, {"a": 1}), (4, {"b": 1}), (5, {"c": 1})):
        writer.put(Row(number, number, COMMIT, START, data))
    apply_all(store)
    assert [(row[0], row[4]) for row in all_rows(store, A)] == [(4, {"b": 1}), (5, {"a": 1, "c": 1})]


def test_catalog_that_refuses_a_row_is_an_error_not_a_loop(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"a": 1})
    with store.writing() as session:  # a catalog with a constraint that tracker's catalogs do not have
        session.execute(
            text("CREATE TRIGGER no BEFORE INSERT ON hot_rows BEGIN SELECT RAISE(ABORT, 'no'); END")
        )
    with pytest.raises(StoreError, match=r"the catalog refuses the records of .*no"):
        apply_all(store)


@pytest.mark.parametrize(
    "stamp", [math.nan, math.inf, 10**400, "yesterday"], ids=["nan", "inf", "huge", "text"]
)
def test_any_time_stamp_can_be_applied(store: Store, stamp: Any) -> None:
    writer = Writer(store.layout, A)
    writer.log({"_timestamp": stamp, "x": 1})
    writer.log({"_timestamp": 12.5, "x": 2})
    apply_all(store)
    assert [row["_timestamp"] for row in read_history(store)] == [START + 1, 12.5]


def test_ending_an_unknown_segment_is_not_an_error(store: Store) -> None:
    finish_segment(store, A, "crashed")
    with store.reading() as session:
        assert session.scalars(select(Segment)).all() == []


def test_journal_with_only_a_header(store: Store) -> None:
    writer = Writer(store.layout, A)
    with writer.path.open("r+b") as file:
        file.truncate(HEADER.size)
    assert apply_all(store, final=True) == 0
    with store.reading() as session:
        assert session.scalars(select(Segment)).all() == []


def test_run_that_ends_without_a_row(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.put(RunFinished(START + 60, "finished"))
    apply_all(store)
    seal_all(store)
    assert (get_run(store).duration, get_run(store).last_step, read_history(store)) == (60.0, None, [])
    assert store.layout.list_journals() == []
