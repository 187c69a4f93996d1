"""Programs that other trackers broke: their processes, output, streams and debugger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker

WORKERS = """
import sys
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def begin(barrier):
    barrier.wait()  # otherwise one worker may take both calls

def work(number):
    import tracker
    run = tracker.init(project="kids", id=f"r{number}")
    for at in range(20):
        run.log({"x": at})
    if sys.argv[2] == "raise":
        raise ValueError("boom")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2] == "executor":
        barrier = context.Barrier(2)
        with ProcessPoolExecutor(2, context, initializer=begin, initargs=(barrier,)) as executor:
            list(executor.map(work, range(2)))
    else:
        workers = [context.Process(target=work, args=(number,)) for number in range(2)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
"""


@pytest.mark.parametrize("how", ["return", "raise", "executor"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_start_a_run_without_finishing_it(tmp_path: Path, method: str, how: str) -> None:
    """wandb/wandb#1927 and #1771: such a program did not end, or the error of a worker was lost."""
    (tmp_path / "script.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, "script.py", method, how],
        cwd=tmp_path,
        env=scripts.environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert ("ValueError: boom" in done.stderr) == (how == "raise")
    for number in range(2):
        run = tracker.Api().run(f"kids/r{number}")
        assert run.state == ("failed" if how == "raise" else "finished")
        assert [row["x"] for row in run.history(pandas=False)] == list(range(20))


BARS = """
import sys
import tracker
run = tracker.init(project="bar", id="r", settings={"silent": True})

def bar(name, count, stream):
    for at in range(count + 1):
        stream.write(f"\\r{name}: {100 * at // count:3d}%|{'#' * (20 * at // count):<20}| {at}/{count}")
        stream.flush()
    stream.write("\\n")

print("first line")
bar("train", 3000, sys.stderr)
print("between")
bar("val", 500, sys.stdout)
for epoch in range(3):
    bar(f"epoch{epoch}", 200, sys.stderr)
    print(f"loss of {epoch}")
print("last line é 日本")
print("x" * 5000)
print("no newline at the end", end="")
run.finish()
"""


def test_a_progress_bar_is_one_line_in_its_last_state(tmp_path: Path) -> None:
    """wandb/wandb#1265 and #9425, SwanHubX/SwanLab#1327: thousands of lines, or only the first state."""
    scripts.run(BARS, tmp_path)
    with tracker.Api().run("bar/r").file("output.log").download(root="got") as file:
        lines = file.read().splitlines()
    full = "#" * 20
    assert lines == [
        "first line",
        f"train: 100%|{full}| 3000/3000",
        "between",
        f"val: 100%|{full}| 500/500",
        *(line for at in range(3) for line in (f"epoch{at}: 100%|{full}| 200/200", f"loss of {at}")),
        "last line é 日本",
        "x" * 5000,
        "no newline at the end",
    ]


IMPORTS = """
import contextlib, faulthandler, io, logging, subprocess, sys
import tracker
"""
STREAMS = {
    "objects without isatty": """
class Plain:
    def __init__(self, stream): self.stream = stream
    def write(self, text): self.stream.write(text)
    def flush(self): self.stream.flush()
sys.stderr, sys.stdout = Plain(sys.stderr), Plain(sys.stdout)
run = tracker.init(project="s"); print("hello"); run.finish()
assert type(sys.stdout) is Plain
""",
    "none at all": "sys.stdout = sys.stderr = None; tracker.init(project='s').finish()",
    "closed before": "sys.stdout.close(); sys.stderr.close(); tracker.init(project='s').finish()",
    "closed meanwhile": "run = tracker.init(project='s'); sys.stdout.close(); run.finish()",
    "all that programs ask of them": """
run = tracker.init(project="s")
assert sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2 and not sys.stdout.isatty()
sys.stdout.buffer.write(b"raw\\n"); sys.stdout.reconfigure(line_buffering=True); faulthandler.enable()
subprocess.run(["echo", "child"], stdout=sys.stdout, check=True)
run.finish()
""",
    "redirected inside": """
run = tracker.init(project="s")
with contextlib.redirect_stdout(io.StringIO()) as text: print("in")
assert text.getvalue() == "in\\n"
run.finish()
""",
    "redirected around init": """
before = sys.stdout; text = io.StringIO()
with contextlib.redirect_stdout(text): run = tracker.init(project="s"); print("in")
assert sys.stdout is before and "in" in text.getvalue()
run.finish()
assert sys.stdout is before
""",
    "logging set up before": """
logging.basicConfig(level=logging.INFO); run = tracker.init(project="s"); logging.info("in"); run.finish()
logging.info("after")
""",
}


@pytest.mark.parametrize("streams", STREAMS)
def test_streams_of_any_kind_keep_working(tmp_path: Path, streams: str) -> None:
    """wandb/wandb#10832 and #1581: init failed, or streams could not be used as before."""
    done = scripts.run(IMPORTS + STREAMS[streams], tmp_path)
    assert "Traceback" not in done.stderr


def test_a_hook_for_exceptions_is_called(tmp_path: Path) -> None:
    code = "def hook(kind, *_): print('hook of', kind.__name__); sys.exit(7)\nsys.excepthook = hook\n"
    done = scripts.run(IMPORTS + code + "tracker.init(project='s', id='r')\n1 / 0", tmp_path, check=False)
    assert done.returncode == 7
    assert "hook of ZeroDivisionError" in done.stdout
    assert tracker.Api().run("s/r").state == "failed"


def test_the_debugger_works_while_a_run_is_open(tmp_path: Path) -> None:
    """wandb/wandb#386."""
    lines = ["import tracker", "run = tracker.init(project='s', id='r')", "x = 41 + 1", "run.log({'x': x})"]
    (tmp_path / "script.py").write_text("\n".join([*lines, "run.finish()\n"]))
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "script.py"],
        cwd=tmp_path,
        env=scripts.environment(),
        input="b 4\nc\np 'value', x\nc\nq\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "('value', 42)" in done.stdout
    assert [row["x"] for row in tracker.Api().run("s/r").history(pandas=False)] == [42]
