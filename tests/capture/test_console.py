"""Console output is recorded, and is printed as without tracker, also after a kill."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.api.captured import output_lines, output_log
from tracker.capture import child_output
from tracker.capture.terminal_lines import Screen

INIT = """
import os, subprocess, sys, time, tracker
run = tracker.init(project="p", id="r", settings={"x_disable_stats": True, "silent": True})
"""
PLACE = ("local", "p", "r")


@pytest.fixture(autouse=True)
def unbuffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off Python's buffers, so that output appears in the order of the calls."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")


def kept(place: tuple[str, str, str] = PLACE) -> list[str]:
    reader = tracker.Api().run("/".join(place))._reader
    return output_log(reader, place).decode().splitlines()


def streams() -> list[tuple[str, str]]:
    reader = tracker.Api().run("/".join(PLACE))._reader
    return [(line.stream, line.text) for line in output_lines(reader, PLACE)]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["hello\n", "wor", "ld\n"], ["hello", "world"]),
        (["\r  0%", "\r 50%", "\r100%", "\n", "next"], ["100%", "next"]),
        (["abc\rX\n"], ["Xbc"]),
        (["\x1b[31mred\x1b[0m\n", "a\x1b[1mb\x1b[0mc\n"], ["\x1b[31mred\x1b[0m", "a\x1b[1mb\x1b[0mc"]),
        (["out 0%\n\rin 0%\x1b[A\r", "out 1%\n\rin 5%\x1b[A", "\n\n end\n"], ["out 1%", "in 5%", " end"]),
        (["x\x1b", "[32mgreen\x1b[0", "m\n\nz"], ["x\x1b[32mgreen\x1b[0m", "", "z"]),
        (["loading...\x1b[2K\rdone\n", "\x1b[?25l\x1b]0;title\x07ok\n"], ["done", "ok"]),
        (["12\b3\n", "nul\x00\n"], ["13", "nul"]),
        (["long        \rshort       \n"], ["short"]),
    ],
)  # fmt: skip
def test_lines_are_what_a_terminal_shows(written: list[str], shown: list[str]) -> None:
    screen = Screen()
    for text in written:
        screen.feed(1, text)
    assert [text for _, _, text in screen.take(drawing=True)] == shown


def test_streams_children_and_progress_bars_are_kept_in_order(tmp_path: Path) -> None:
    code = f"""{INIT}
from tqdm import tqdm
print("hello")
print("trouble", file=sys.stderr)
for _ in tqdm(range(30), desc="bar"):
    time.sleep(0.01)
sys.stdout.buffer.write(b"bytes \\xe2\\x9c\\x93\\n")
sys.stdout.flush()
subprocess.run(["echo", "from a child"])
print("between", flush=True)
subprocess.run("echo from its stderr >&2; echo both", shell=True, stderr=subprocess.STDOUT)
assert subprocess.check_output(["echo", "x"]) == b"x\\n"
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns about a fork in a process with threads
if os.fork() == 0:
    print("from a fork", flush=True)
    os._exit(0)
os.wait()
import threading
def talk(at):
    for n in range(50):
        print(f"thread {{at}} {{n}}\\n", end="")
threads = [threading.Thread(target=talk, args=(at,)) for at in range(4)]
[each.start() for each in threads]
[each.join() for each in threads]
print("x" * 300_000)
print("the end", end="")
run.finish()
assert not {{"write", "flush"}} & (vars(sys.stdout).keys() | vars(sys.stderr).keys())
print()
print("not kept")
"""
    done = scripts.run(code, tmp_path)
    lines = kept()
    first = [line for line in lines if not line.startswith(("thread", "xxx"))]
    bar = first.pop(2)
    assert bar.startswith("bar: 100%")
    assert first == [
        "hello",
        "trouble",
        "bytes ✓",
        "from a child",
        "between",
        "from its stderr",
        "both",
        "from a fork",
        "the end",
    ]
    assert sorted(line for line in lines if line.startswith("thread")) == sorted(
        f"thread {at} {n}" for at in range(4) for n in range(50)
    )
    assert "".join(line for line in lines if line.startswith("xxx")) == "x" * 300_000
    assert ("stderr", "trouble") in streams()
    assert ("stdout", "hello") in streams()
    # And all of it was printed.
    shown = done.stdout.splitlines()
    assert [line for line in shown if not line.startswith(("thread", "xxx"))] == [
        *[line for line in first if line != "trouble"],
        "not kept",
    ]
    assert "bar: 100%" in done.stderr
    assert done.stderr.count("trouble") == 1


@pytest.mark.parametrize("module", ["multiprocessing", "multiprocessing.spawn"])
def test_processes_of_multiprocessing_and_of_system_are_kept(tmp_path: Path, module: str) -> None:
    (tmp_path / "train.py").write_text(f"""
import {module}
def work():
    print("from a worker")
    raise SystemExit(3)
if __name__ == "__main__":
    {"; ".join(INIT.strip().splitlines())}
    for method in ("fork", "spawn", "forkserver"):
        print(method)
        worker = multiprocessing.get_context(method).Process(target=work)
        worker.start()
        worker.join()
        assert worker.exitcode == 3
    print("system")
    assert os.system("echo from a shell; exit 3") == 3 << 8
    assert os.system("kill -9 $$") & 0x7F == 9
    print("the end")
    subprocess.run(["true"], start_new_session=True)
    run.finish()
    assert os.system("echo not kept") == 0
""")
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'train.py']))"
    done = scripts.run(code, tmp_path)
    all_of_it = [
        *(line for method in ("fork", "spawn", "forkserver") for line in (method, "from a worker")),
        *("system", "from a shell", "the end"),
    ]
    assert kept() == all_of_it
    assert done.stdout.splitlines() == [*all_of_it, "not kept"]
    assert done.stderr == ""


def test_a_worker_that_starts_in_an_unknown_way_is_not_captured(tmp_path: Path) -> None:
    code = f"""
from multiprocessing import spawn, util
own = util.spawnv_passfds
util.spawnv_passfds = lambda path, words, kept, more: own(path, words, kept)  # as a later Python may have it
{INIT}
words = [sys.executable, "-c", "from multiprocessing.spawn import os; os.write(1, b'started')"]
os.waitpid(util.spawnv_passfds(spawn.get_executable(), words, [], "more"), 0)
run.finish()
"""
    assert scripts.run(code, tmp_path).stdout == "started"
    assert kept() == []


def test_output_of_a_child_does_not_join_an_unfinished_line(tmp_path: Path) -> None:
    code = f"""{INIT}
child = subprocess.Popen(["sh", "-c", "read x; echo from a child"], stdin=subprocess.PIPE)
sys.stdout.write("from the ")
child.communicate(b"x\\n")
sys.stdout.write("parent\\n")
run.finish()
"""
    scripts.run(code, tmp_path)
    assert sorted(kept()) == ["from a child", "from the parent"]


def test_a_print_waits_for_earlier_output_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be showing that output at the same time."""
    monkeypatch.setattr(child_output, "_PATIENCE_SECONDS", 60.0)
    showing, go_on = threading.Event(), threading.Event()

    def put(_stream: int, _text: str) -> None:
        showing.set()
        assert go_on.wait(60)

    spools = child_output.Spools(put, lambda: None)
    os.write(spools._of(1).append, b"from a child\n")
    threads = [threading.Thread(target=spools.follow) for _ in range(2)]
    threads[0].start()
    assert showing.wait(60)
    threads[1].start()
    threads[1].join(0.1)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_the_last_output_survives_sigkill(tmp_path: Path) -> None:
    code = f"""{INIT}
from tracker.capture import console
console._PATIENCE_SECONDS = 60  # on a loaded machine, the thread that records has its turn late
for at in range(1000):
    print("line", at)
os.kill(os.getpid(), 9)
"""
    done = scripts.run(code, tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert kept() == [f"line {at}" for at in range(1000)]


def test_printing_continues_when_the_recorder_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "recorders_are_forked", False)  # it is found by its command line
    code = f"""{INIT}
import glob, signal
def recorders():
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(path, "rb").read().split(b"\\0")
        except OSError:
            continue
        if str(run.layout.root).encode() in words and b"tracker.recorder.startup" in words:
            yield int(path.split("/")[2])
child = subprocess.Popen(["sh", "-c", "read x; echo of the child; echo and on >&2"], stdin=subprocess.PIPE)
end = time.monotonic() + 60
while not (pids := [*recorders()]):
    assert time.monotonic() < end
    time.sleep(0.05)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
print("still here")
child.communicate(b"x\\n")
print("and here", file=sys.stderr)
run.finish()
"""
    done = scripts.run(code, tmp_path)
    assert done.stdout == "still here\nof the child\n"
    assert done.stderr == "and on\nand here\n"
    assert kept()[::3] == ["still here", "and here"]
    assert sorted(kept()[1:3]) == ["and on", "of the child"]  # the order of two files is unknown


def test_children_of_a_killed_run_can_still_print(tmp_path: Path) -> None:
    """A child that outlives the training process can write without a limit, and ends normally."""
    (tmp_path / "child.py").write_text("""
import os, sys, time
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
for _ in range(2000):
    print("y" * 1000)
    print("z" * 1000, file=sys.stderr)
open("done", "w").close()
""")
    code = f"""{INIT}
subprocess.Popen([sys.executable, "child.py", str(os.getpid())])
os.kill(os.getpid(), 9)
"""
    scripts.run(code, tmp_path, check=False)
    scripts.wait_for((tmp_path / "done").exists, "the child to end")


def test_a_terminal_stays_a_terminal(tmp_path: Path) -> None:
    code = f"""{INIT}
print(sys.stdout.isatty(), os.isatty(1), os.get_terminal_size().columns, flush=True)
subprocess.run([sys.executable, "-c", "import os; print(os.isatty(1), os.get_terminal_size().columns)"])
run.finish()
"""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "123"], stdin=slave, check=True)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=scripts.environment(), stdout=slave, stderr=slave
    )
    assert process.wait(timeout=60) == 0
    os.close(slave)
    assert select.select([master], [], [], 5)[0]
    shown = os.read(master, 4096).decode().split("\r\n")
    os.close(master)
    assert shown[:2] == ["True True 123", "True 123"]
    assert kept() == ["True True 123"]  # a child keeps its terminal, so its output is not recorded


def test_redirect_captures_output_that_bypasses_python(tmp_path: Path) -> None:
    code = f"""
{INIT}
print("python", flush=True)
os.write(1, b"descriptor\\n")
os.system("echo system")
run.finish()
os.write(1, b"as before\\n")
"""
    done = scripts.run(code, tmp_path, WANDB_CONSOLE="redirect")
    assert done.stdout == "python\ndescriptor\nsystem\nas before\n"
    assert kept() == ["python", "descriptor", "system"]


def test_off_keeps_nothing_and_wraps_nothing(tmp_path: Path) -> None:
    code = f"{INIT}\nassert 'write' not in vars(sys.stdout)\nprint('hello')\nrun.finish()"
    assert scripts.run(code, tmp_path, WANDB_CONSOLE="off").stdout == "hello\n"
    assert kept() == []
    done = scripts.run(INIT, tmp_path, check=False, WANDB_CONSOLE="loud")
    assert "Invalid console 'loud'. Use one of: auto, wrap, redirect, off" in done.stderr


@pytest.mark.parametrize("how", ["auto", "off"])
def test_a_script_may_add_to_the_output(tmp_path: Path, how: str) -> None:
    code = f"{INIT}\nrun.write_logs('one\\ntw')\nrun.write_logs('o\\n')\nrun.finish()"
    assert scripts.run(code, tmp_path, WANDB_CONSOLE=how).stdout == ""
    assert kept() == ["one", "two"]
    run = tracker.Api().run("p/r")
    assert run.file("output.log").download(root=str(tmp_path / "got")).read() == "one\ntwo\n"


def test_missing_and_closed_streams_are_not_wrapped(tmp_path: Path) -> None:
    code = f"""
import sys
err = sys.stderr
sys.stderr = None
{INIT}
sys.stderr = err
print("hello")
sys.stdout.close()
try:
    print("nothing")
except ValueError:
    run.log({{"closed": True}})
run.finish()
"""
    assert scripts.run(code, tmp_path).stdout == "hello\n"
    assert kept() == ["hello"]
    assert tracker.Api().run("p/r").summary["closed"] is True


def test_each_of_several_runs_has_the_output_of_its_time(tmp_path: Path) -> None:
    code = f"""{INIT}
other = tracker.init(project="p", id="other", reinit="create_new", settings={{"silent": True}})
print("both")
run.finish()
print("other alone")
other.finish()
"""
    scripts.run(code, tmp_path)
    assert kept() == ["both"]
    assert kept(("local", "p", "other")) == ["both", "other alone"]


def test_prints_of_signal_handlers_exit_handlers_and_exceptions(tmp_path: Path) -> None:
    code = f"""{INIT}
import atexit, signal
alarms = []
def alarm(*_):
    alarms.append(1)
    print("alarm\\n", end="")
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while len(alarms) < 10:
    print("tick\\n", end="")
    run.log({{"x": 1}})
signal.setitimer(signal.ITIMER_REAL, 0)
atexit.register(lambda: print("at exit"))
raise ValueError("it broke")
"""
    done = scripts.run(code, tmp_path, check=False)
    lines = kept()
    printed = [line for line in lines if line in ("tick", "alarm", "at exit")]
    assert sorted(done.stdout.splitlines()) == sorted(printed)
    assert lines.count("alarm") >= 10
    assert lines[-2:] == ["ValueError: it broke", "at exit"]


@pytest.mark.slow
def test_a_large_output_is_kept_completely(tmp_path: Path) -> None:
    code = f"""{INIT}
line = "x" * 200
for at in range(50_000):
    print(at, line)
run.finish()
"""
    scripts.run(code, tmp_path)
    reader = tracker.Api().run("p/r")._reader
    assert reader.console(*PLACE, limit=0).total == 50_000
    assert [line.text for line in reader.console(*PLACE, offset=-1).lines] == [f"49999 {'x' * 200}"]
