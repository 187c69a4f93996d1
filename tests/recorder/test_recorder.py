"""The recorder process: writers start it, only one runs, it ends when idle, it is replaced when killed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import scripts
from sqlalchemy import select

from tracker.ground.processes import host_name
from tracker.recorder.election import RecorderLock, ensure_recorder
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run, Segment
from tracker.store.objects.layout import Layout

WRITER = """
import sys, tracker
run = tracker.init(project="p", id=sys.argv[1] if len(sys.argv) > 1 else "run")
run.log({"x": 0})
print("ready", flush=True)
for line in sys.stdin:
    run.log({"x": int(line)})
    print("logged", flush=True)
run.finish()
"""


def applied_rows(root: Path) -> int:
    """Return the number of rows in the catalog, without applying anything."""
    if not (root / "catalog.db").exists():
        return 0
    store = open_store(root, create=False)
    try:
        with store.reading() as session:
            from tracker.runstate.fold import unpack_state

            return sum(unpack_state(segment.state).rows for segment in session.scalars(select(Segment)))
    except Exception:
        return 0  # the catalog is being created
    finally:
        store.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tracker-store"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_recorder_survives_the_signals_of_a_job(tmp_path: Path, root: Path, number: signal.Signals) -> None:
    writer = scripts.start(WRITER, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    scripts.wait_for(lambda: applied_rows(root) == 1, "the first row")
    (pid,) = scripts.recorders(root)
    os.kill(pid, number)
    writer.stdin.write("1\n")
    writer.stdin.flush()
    scripts.wait_for(lambda: applied_rows(root) == 2, "the second row")
    assert scripts.recorders(root) == [pid]
    writer.communicate(timeout=90)


def test_a_recorder_follows_a_live_run_seals_it_and_ends(tmp_path: Path, root: Path) -> None:
    writer = scripts.start(WRITER, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    scripts.wait_for(lambda: applied_rows(root) == 1, "the first row")
    (pid,) = scripts.recorders(root)
    writer.stdin.write("1\n")
    writer.stdin.flush()
    scripts.wait_for(lambda: applied_rows(root) == 2, "the second row")
    assert scripts.recorders(root) == [pid]
    writer.communicate(timeout=90)
    assert writer.returncode == 0
    scripts.wait_for(lambda: not scripts.recorders(root), "the recorder to leave")
    assert not list(root.rglob("*.journal"))
    assert len(list(root.rglob("history/*.parquet"))) == 1
    with open_store(root).reading() as session:
        assert session.scalars(select(Run.state)).all() == ["finished"]


@pytest.mark.slow
def test_many_writers_share_one_recorder(tmp_path: Path, root: Path) -> None:
    writers = [scripts.start(WRITER.replace('"run"', f'"run{at}"'), tmp_path) for at in range(4)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    scripts.wait_for(lambda: applied_rows(root) == 4, "a row of each")
    assert len(scripts.recorders(root)) == 1
    for writer in writers:
        writer.communicate(timeout=90)
    scripts.wait_for(lambda: not scripts.recorders(root), "the recorder to leave")
    with open_store(root).reading() as session:
        assert session.scalars(select(Run.state)).all() == ["finished"] * 4


@pytest.mark.slow
def test_a_running_writer_replaces_a_killed_recorder(tmp_path: Path, root: Path) -> None:
    writer = scripts.start(WRITER, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    scripts.wait_for(lambda: applied_rows(root) == 1, "the first row")
    (first,) = scripts.recorders(root)
    os.kill(first, signal.SIGKILL)
    writer.stdin.write("1\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "logged\n"  # a killed recorder does not stop logging
    scripts.wait_for(lambda: applied_rows(root) == 2, "the row that was logged after the kill")
    assert first not in scripts.recorders(root)
    writer.communicate(timeout=90)


def test_a_killed_writer_is_a_crashed_run_with_all_its_rows(tmp_path: Path, root: Path) -> None:
    writer = scripts.start(WRITER, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    for value in range(1, 50):
        writer.stdin.write(f"{value}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "logged\n"
    writer.kill()
    writer.communicate()
    scripts.wait_for(lambda: not scripts.recorders(root), "the recorder to leave")
    import tracker

    run = tracker.Api().run("p/run")
    assert run.state == "crashed"
    assert [row["x"] for row in run.history(pandas=False)] == list(range(50))
    scripts.wait_for(lambda: not list(root.rglob("*.journal")), "its journal to be sealed")


def test_writer_and_recorder_killed_lose_nothing(tmp_path: Path, root: Path) -> None:
    writer = scripts.start(WRITER, tmp_path)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    scripts.wait_for(lambda: scripts.recorders(root), "a recorder")
    for value in range(1, 20):
        writer.stdin.write(f"{value}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "logged\n"
    for pid in scripts.recorders(root):
        os.kill(pid, signal.SIGKILL)
    writer.kill()
    writer.communicate()
    import tracker  # reading applies the records that no recorder has applied

    rows = tracker.Api().run("p/run").history(pandas=False)
    assert [row["x"] for row in rows] == list(range(20))


def test_a_recorder_keeps_nothing_of_the_process_that_started_it(tmp_path: Path, root: Path) -> None:
    """It keeps no descriptor, terminal or working folder, and is not a child of the process."""
    code = WRITER.replace(
        "import sys, tracker", "import os, sys, tracker; os.set_inheritable(os.pipe()[1], True)"
    )
    writer = scripts.start(code, tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    scripts.wait_for(lambda: applied_rows(root) == 1, "the first row")
    (pid,) = scripts.recorders(root)
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    assert all(link == "/dev/null" or link.startswith(str(root)) for link in links), links
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getsid(pid) != os.getsid(writer.pid)
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent != writer.pid
    writer.communicate(timeout=90)


def test_a_script_next_to_the_run_cannot_shadow_a_module(tmp_path: Path, root: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong json')")
    (tmp_path / "sqlalchemy.py").write_text("raise RuntimeError('the wrong sqlalchemy')")
    layout = Layout(root)
    layout.make()
    writer = scripts.start("import sys; sys.path.pop(0)\n" + WRITER, tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    scripts.wait_for(lambda: applied_rows(root) == 1, "the first row")
    writer.communicate(timeout=90)


def test_the_lock_allows_one_recorder(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "store")
    layout.make()
    first, second = RecorderLock(layout), RecorderLock(layout)
    assert first.acquire()
    assert not second.acquire()
    assert not ensure_recorder(layout)
    first.release()
    assert second.acquire()
    second.release()
    assert layout.recorder_lock(host_name()).exists()


def test_only_one_of_many_threads_starts_a_recorder(root: Path) -> None:
    layout = Layout(root)
    layout.make()
    barrier = threading.Barrier(16)
    started: list[bool] = []

    def look() -> None:
        barrier.wait()
        started.append(ensure_recorder(layout))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The recorder holds the lock from its start, long before it has loaded its code.
    assert sorted(started) == [False] * 15 + [True]
    assert not RecorderLock(layout).acquire()
    scripts.wait_for(RecorderLock(layout).acquire, "the recorder to end: there is no writer")


FORKS_MEANWHILE = """
import os, threading
from pathlib import Path
from tracker.recorder.election import ensure_recorder
from tracker.store.objects.layout import Layout

def holds_a_lock():
    names = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            pass  # the descriptor that listed them
    return any(name.endswith(".lock") for name in names)

inside, forked, spawn = threading.Event(), threading.Event(), os.posix_spawn
def slow_spawn(*arguments, **options):
    inside.set()
    forked.wait()
    return spawn(*arguments, **options)
os.posix_spawn = slow_spawn

layout = Layout(Path("tracker-store"))
thread = threading.Thread(target=ensure_recorder, args=(layout,))
thread.start()
inside.wait()
pid = os.fork()
if pid == 0:
    os._exit(holds_a_lock())
forked.set()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_child_forked_while_a_recorder_starts_does_not_keep_its_lock(tmp_path: Path, root: Path) -> None:
    Layout(root).make()
    assert scripts.run(FORKS_MEANWHILE, tmp_path).stdout == "0\n"


FORKS = """
import os, sys, tracker
run = tracker.init(project="p", id="fork")
run.log({"x": 0})
pid = os.fork()
if pid == 0:
    run.log({"x": 1, "child": True})
    sys.exit(0)  # atexit handlers run: the parent's run must not end
os.waitpid(pid, 0)
run.log({"x": 2})
print(run.summary["x"])
run.finish()
"""


def test_a_forked_child_neither_writes_to_nor_ends_its_parents_segment(tmp_path: Path, root: Path) -> None:
    done = scripts.run(FORKS, tmp_path)
    assert done.stdout == "2\n"
    import tracker

    run = tracker.Api().run("p/fork")
    assert run.state == "finished"
    assert [row["x"] for row in run.history(pandas=False)] == [0, 1, 2]
    with open_store(root).reading() as session:
        segments = session.scalars(select(Segment).order_by(Segment.rank)).all()
        from tracker.runstate.fold import unpack_state

        assert [unpack_state(segment.state).rows for segment in segments] == [
            2,
            1,
        ]  # the child's row is kept too


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        ("", "finished", None),
        ("run.finish()", "finished", None),
        ("run.finish(exit_code=3)", "failed", None),
        ("raise ValueError('went wrong')", "failed", "ValueError: went wrong"),
        ("import os; os._exit(0)", "crashed", None),
        ("import os; os.kill(os.getpid(), 9)", "crashed", None),
        ("import sys; sys.exit(0)", "finished", None),
    ],
)
def test_the_end_of_a_script_decides_the_state_of_its_run(
    tmp_path: Path, ending: str, state: str, error: str | None
) -> None:
    code = f"import tracker\nrun = tracker.init(project='p', id='run')\nrun.log({{'x': 1}})\n{ending}\n"
    scripts.run(code, tmp_path, check=False)
    import tracker

    api = tracker.Api()
    run = api.run("p/run")
    assert (run.state, run._info.error) == (state, error)
    assert len(run.history(pandas=False)) == 1


def test_pyarrow_works_while_pandas_is_hidden(tmp_path: Path) -> None:
    code = """
import sys
from tracker.recorder.main import hide_pandas
hide_pandas()
import pyarrow as pa, pyarrow.parquet as pq
assert pa.array([1, 2, None]).to_pylist() == [1, 2, None]
assert pa.array(["a"]).to_pylist() == ["a"]
pq.write_table(pa.table({"a": [1.0, 2.0]}), "x.parquet")
assert pq.read_table("x.parquet").column("a").to_numpy().tolist() == [1.0, 2.0]
assert "pandas" not in sys.modules
"""
    scripts.run(code, tmp_path)
