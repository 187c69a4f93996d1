"""The log of tracker itself: its content, its permissions, and several processes that write one file."""

from __future__ import annotations

import logging
import os
import re
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import scripts
from builders import Writer
from serving import command, serving

from tracker.capture import log_file, logs
from tracker.ground.processes import host_name
from tracker.ground.records import encode
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import Layout
from tracker.store.store import Store


@pytest.fixture
def log(store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the log that this process writes."""
    monkeypatch.setattr(logs, "_logged", {})
    monkeypatch.setattr(logs, "_role", "sdk")  # an earlier command in this process may have set another role
    logs.use(store.layout.logs)
    found = logs.current_file()
    assert found is not None
    assert found.parent == store.layout.logs
    assert found.name == f"{host_name()}-{os.getuid()}-sdk.log"
    return found


def fail(message: str, doing: str = "count") -> None:
    with logs.Logged(doing):
        raise ValueError(message)


def test_a_short_run_imports_little_and_leaves_no_log(tmp_path: Path) -> None:
    """Many processes start on a node at the same time, and none of them needs these modules."""
    code = """
import sys, tracker
run = tracker.init(project="p")
run.log({"x": 1})
run.finish()
needless = "logging tracker.capture.log_file hashlib tempfile shutil glob asyncio inspect http ssl "
needless += "importlib.metadata dataclasses numpy pyarrow sqlalchemy httpx"
assert not set(needless.split()) & set(sys.modules)
"""
    scripts.run(code, tmp_path)
    assert command("sync", folder=tmp_path).returncode == 0
    assert not (tmp_path / "tracker-store" / "logs").exists()


def test_an_exception_is_logged_with_its_traceback(log: Path) -> None:
    fail("seven")
    text = log.read_text()
    assert re.match(
        rf"\d{{4}}-\d\d-\d\dT[\d:]+[+-]\d{{4}} WARNING \[{os.getpid()} MainThread\] cannot count\n", text
    )
    assert f'File "{__file__}"' in text
    assert text.endswith("ValueError: seven\n")


def test_secrets_are_masked(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "ordinary-words")
    monkeypatch.setenv("PWD", str(log.parent))
    fail("https://me:secret@host/x api_key='abcdefgh123' and ordinary-words")
    text = log.read_text()
    assert "secret@" not in text
    assert "abcdefgh123" not in text
    assert "ordinary-words" not in text.partition("ValueError")[2]
    fail(str(log), "find a folder")
    assert str(log) in log.read_text()  # PWD matches the names of secrets, but contains a folder


@pytest.mark.parametrize(
    ("level", "found"),
    [("debug", [10, 20, 30, 40]), ("", [30, 40]), ("error", [40]), ("off", []), ("nonsense", [30, 40])],
)
def test_the_variable_sets_the_lowest_level(
    log: Path, monkeypatch: pytest.MonkeyPatch, level: str, found: list[int]
) -> None:
    monkeypatch.setenv("TRACKER_LOG", level)
    for each in (logs.DEBUG, logs.INFO, logs.WARNING, logs.ERROR):
        logs.log(each, f"message of level {each}")
    text = log.read_text() if log.exists() else ""
    assert [int(each) for each in re.findall(r"level (\d+)", text)] == found


def test_a_repeated_message_is_logged_once(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        fail("again")
    assert log.read_text().count("ValueError: again") == 1
    monkeypatch.setattr(logs, "REPEATED_SECONDS", 0.0)
    fail("again")
    assert log.read_text().count("ValueError: again") == 2


def test_the_log_does_not_change_the_logging_of_a_script(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    before = logging.getLogger("tracker").handlers[:]
    fail("quiet")
    assert logging.getLogger("tracker").handlers == before
    assert capsys.readouterr() == ("", "")


def test_logging_disable_in_a_script_does_not_disable_the_log(log: Path) -> None:
    logging.disable(logging.CRITICAL)
    try:
        fail("all the same")
    finally:
        logging.disable(logging.NOTSET)
    assert "all the same" in log.read_text()


def test_another_open_store_does_not_get_the_log(log: Path, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "theirs")):
        fail("of the run")
    assert "of the run" in log.read_text()
    assert not (tmp_path / "theirs" / "logs").exists()


def test_nothing_is_written_through_links_or_outside_a_store(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "REPEATED_SECONDS", 0.0)
    other = tmp_path / "elsewhere"
    other.mkdir()
    logs.use(other / "logs")  # this folder is not a store
    fail("nowhere")
    assert list(other.iterdir()) == []
    logs.use(log.parent)
    log.parent.symlink_to(other)
    fail("a link to a folder")
    assert list(other.iterdir()) == []
    log.parent.unlink()
    log.parent.mkdir()
    victim = tmp_path / "victim"
    victim.touch()
    log.symlink_to(victim)
    fail("a link")
    assert victim.read_text() == ""
    log.unlink()
    os.mkfifo(log)
    fail("a pipe without a reader")
    log.unlink()
    fail("a log")
    assert "ValueError: a log" in log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_store_gets_no_log(store: Store) -> None:
    code = f"""
import tracker
from tracker.capture import logs
from tracker.store.objects.layout import Layout
logs.use(Layout({str(store.root)!r}).logs)
logs.log(logs.ERROR, "wrong")
print(len(tracker.Api().runs("local/p")))
"""
    root = store.root
    mounted = f'mount --bind {root} {root} && mount -o remount,bind,ro {root} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, "sh", sys.executable, "-c", code],
        env=scripts.environment(TRACKER_STORE=str(root)), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    assert not store.layout.logs.exists()


def test_a_log_of_a_group_has_the_mode_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "shared"
    (root / "tmp").mkdir(parents=True)
    (root / "store.json").write_text('{"format": 2, "group_mode": "2770"}')
    before = os.umask(0o077)
    try:
        logs.use(Layout(root).logs)
        logs.log(logs.ERROR, "wrong in a group")
    finally:
        os.umask(before)
    (found,) = Layout(root).list_logs()
    assert stat.S_IMODE(found.stat().st_mode) == 0o660
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o2770


WRITE = """
import sys
from pathlib import Path
from tracker.capture import log_file
log_file.LARGEST_BYTES = int(sys.argv[3])
for number in range(int(sys.argv[4])):
    log_file.append(Path(sys.argv[1]), f"{sys.argv[2]} {number} {'x' * 200}\\n".encode())
"""


def test_several_processes_rotate_one_file_and_lose_no_line(log: Path) -> None:
    writers, lines = 6, 300
    size = writers * lines * 208
    arguments = [str(log), str(size * 2 // 3), str(lines)]  # full once
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, arguments[0], str(writer), *arguments[1:]],
            env=scripts.environment(),
        )
        for writer in range(writers)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * writers
    former = log.with_name(f"{log.name}.1")
    assert former.stat().st_size >= size * 2 // 3
    found = (former.read_text() + log.read_text()).splitlines()
    expected = {f"{writer} {number} {'x' * 200}" for writer in range(writers) for number in range(lines)}
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_full_log_is_replaced(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LARGEST_BYTES", 100)
    for number in range(10):
        log_file.append(log, f"{number} {'x' * 60}\n".encode())
    assert sorted(path.name for path in log.parent.iterdir()) == [log.name, f"{log.name}.1"]
    assert [line[0] for line in log.with_name(f"{log.name}.1").read_text().splitlines()] == ["6", "7"]
    assert [line[0] for line in log.read_text().splitlines()] == ["8", "9"]


def test_the_command_line_logs_tracebacks_and_prints_them_with_verbose(tmp_path: Path) -> None:
    scripts.run("import tracker\ntracker.init(project='p', id='run').finish()", tmp_path)
    arguments = ("artifact", "get", "p/none:latest")
    quiet = command(*arguments, folder=tmp_path)
    assert quiet.returncode == 1
    assert quiet.stderr.count("\n") == 1
    aloud = command("--verbose", *arguments, folder=tmp_path)
    assert "Traceback" in aloud.stderr
    assert "INFO" in aloud.stderr
    assert aloud.stderr.endswith(quiet.stderr)
    assert not (tmp_path / "tracker-store" / "logs").exists()
    command(*arguments, folder=tmp_path, TRACKER_LOG="info")
    (found,) = (tmp_path / "tracker-store" / "logs").glob("*-cli.log")
    assert "Traceback" in found.read_text()


def test_a_server_logs_what_it_cannot_apply(store: Store) -> None:
    writer = Writer(store.layout, "a" * 32)
    writer.log({"x": 1})
    writer.journal.append(encode((99, "of a newer tracker")))
    store.close()
    with serving(store.root):
        path = logs.file_of(store.layout.logs, "server")
        scripts.wait_for(lambda: path.exists() and "JournalError" in path.read_text(), "the server's log")
    assert f"segment {'a' * 32} is not applied" in path.read_text()


def test_an_exception_that_ends_a_thread_of_a_recorder_is_logged(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    logs.log_all_errors()
    thread = threading.Thread(target=lambda: 1 / 0, name="counting")
    thread.start()
    thread.join()
    print("a line for a person", file=sys.stderr)
    text = log.read_text()
    assert "Thread counting ended with an exception" in text
    assert "ZeroDivisionError" in text
    assert text.endswith("] a line for a person\n")
