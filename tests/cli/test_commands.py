"""Tests of the command line: output, errors, and the end of a server after a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import scripts
from builders import Writer
from serving import Server, command, serving

import tracker
from tracker.ground.processes import host_name
from tracker.journal.reader import Frame, read_frames
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import Layout
from tracker.version import __version__

KILLED = """
import os, signal, tracker
run = tracker.init(project="p", id="killed", settings={"journal_only": True, "x_disable_stats": True})
for value in range(20):
    run.log({"x": value})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_help_names_every_command(tmp_path: Path) -> None:
    done = command("--help", folder=tmp_path)
    assert done.returncode == 0
    for name in ("server", "key", "sync"):
        assert re.search(rf"^\s+{name}\s+\S", done.stdout, re.MULTILINE)
        detail = command(name, "--help", folder=tmp_path)
        assert detail.returncode == 0
        assert "--store" in detail.stdout
    assert list(tmp_path.iterdir()) == []


def test_version(tmp_path: Path) -> None:
    done = command("--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"tracker {__version__}\n")


def test_runs_are_listed_with_why_they_ended(tmp_path: Path) -> None:
    scripts.run(KILLED, tmp_path, check=False)
    scripts.run("import tracker\ntracker.init(project='p', id='wrong')\n1 / 0", tmp_path, check=False)
    columns = ("-c", "id,state,reason,last_seen,host,error")
    done = command("ls", "-p", "p", *columns, folder=tmp_path, COLUMNS="300")
    header, wrong, killed = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert header == ["ID", "STATE", "REASON", "LAST SEEN", "HOST", "ERROR"]
    assert wrong[1] == "failed (ZeroDivisionError)"
    assert wrong[:1] + wrong[2:3] + wrong[4:] == [
        *("wrong", "exception", host_name()),
        "ZeroDivisionError: division by zero",
    ]
    assert killed[:3] + killed[4:] == [
        *("killed", "crashed (process gone)", "process gone", host_name()),
    ]


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("sync", "--nothing"), ("server", "--port", "many")])
def test_invalid_arguments_show_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "usage: tracker" in done.stderr
    assert "Traceback" not in done.stderr


def assert_one_line(done: object, words: str) -> None:
    """Check that a command failed with one clear line and exit status 1."""
    assert done.returncode == 1  # type: ignore[attr-defined]
    (line,) = done.stderr.splitlines()  # type: ignore[attr-defined]
    assert line.startswith("tracker: ")
    assert words in line


def test_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("server", "--port", str(port), "--store", "s", folder=tmp_path)
    assert_one_line(done, f"Cannot listen on 127.0.0.1:{port}: Address already in use")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999999999999"])
def test_invalid_port_is_refused(tmp_path: Path, port: str) -> None:
    done = command("server", "--port", port, "--store", "s", folder=tmp_path)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert port in done.stderr


def test_unknown_host_is_refused(tmp_path: Path) -> None:
    done = command("server", "--host", "nowhere.invalid", "--port", "0", "--store", "s", folder=tmp_path)
    assert_one_line(done, "Cannot listen on nowhere.invalid:0")


@pytest.mark.parametrize("arguments", [("server", "--port", "0"), ("key",), ("sync",)])
def test_store_of_a_newer_format_is_left_unchanged(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with tracker.init(project="p", settings={"journal_only": True, "silent": True}) as run:
        run.log({"x": 1})
    root = tmp_path / "tracker-store"
    described = json.loads((root / "store.json").read_text())
    (root / "store.json").write_text(json.dumps({**described, "format": 99}))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert_one_line(command(*arguments, folder=tmp_path), "has format 99")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arguments", [("key",), ("sync",)])
def test_command_without_a_store_fails(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert_one_line(command(*arguments, folder=tmp_path), "there is no store at")
    assert_one_line(command(*arguments, "--store", "other", folder=tmp_path), f"{tmp_path / 'other'}")
    assert list(tmp_path.iterdir()) == []


def test_store_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("server", "--port", "0", "--store", "file/store", folder=tmp_path)
    assert_one_line(done, "cannot use")


def test_new_keys_work_immediately(tmp_path: Path) -> None:
    with serving(tmp_path / "tracker-store", key=True) as server:
        assert server.key is not None
        done = command("key", folder=tmp_path)
        assert done.returncode == 0
        key = done.stdout.strip()
        assert re.fullmatch(r"local-[0-9a-f]{40}", key)
        assert key != server.key
        for each in (key, server.key):
            with server.client(Authorization=f"Bearer {each}") as api:
                assert api.get("/projects").status_code == 200
        with server.client(Authorization="Bearer local-wrong") as api:
            assert api.get("/projects").status_code == 401
    with serving(tmp_path / "tracker-store", key=True) as again:
        assert again.key == server.key
        with again.client(Authorization=f"Bearer {key}") as api:
            assert api.get("/projects").status_code == 200


def test_sync_applies_the_journal_of_a_dead_writer(tmp_path: Path) -> None:
    scripts.run(KILLED, tmp_path, check=False)
    assert len(list(tmp_path.rglob("*.journal"))) == 1
    done = command("sync", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "21 records applied, 0 runs still active" in done.stdout
    run = tracker.Api().run("p/killed")
    assert run.state == "crashed"
    assert [row["x"] for row in run.history(pandas=False)] == list(range(20))
    assert list(tmp_path.rglob("*.journal")) == []
    again = command("sync", folder=tmp_path)
    assert (again.returncode, again.stdout.split(": ")[1]) == (0, "0 records applied, 0 runs still active\n")


def test_sync_reports_an_unreadable_journal_and_applies_the_others(tmp_path: Path) -> None:
    scripts.run(KILLED, tmp_path, check=False)
    foreign = Layout(tmp_path / "tracker-store").journal(host_name(), "0" * 32, 0)
    foreign.write_bytes(b"not a journal" * 10)
    done = command("sync", folder=tmp_path)
    assert "Traceback" not in done.stderr
    assert "21 records applied" in done.stdout
    assert_one_line(done, "it does not begin with a journal header")
    assert foreign.exists()


def journal_of_another_host(root: Path, *, finish: bool = True) -> Path:
    """Write a run of 99 rows as another host would, unchanged for ten minutes; return its journal."""
    open_store(root).close()
    writer = Writer(Layout(root), "aa" * 16)
    for value in range(99):
        writer.log({"x": value})
    if finish:
        writer.finish()
    before = time.time() - 600
    os.utime(writer.path, (before, before))
    return writer.path


def spoil(path: Path, number: int) -> None:
    """Flip a bit in a record, and keep the times of the file."""
    times = path.stat()
    frames = [each for each in read_frames(path, "aa" * 16, final=True) if isinstance(each, Frame)]
    data = bytearray(path.read_bytes())
    data[frames[number].end - 1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_sync_reads_past_damage_in_a_journal_of_another_host(tmp_path: Path) -> None:
    path = journal_of_another_host(tmp_path / "tracker-store")
    spoil(path, 11)
    done = command("sync", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    run = tracker.Api().run("team/demo/run1")
    assert (run.state, len(run.history(pandas=False))) == ("finished", 98)
    assert len(run._info.problems) == 1


def test_sync_and_rebuild_report_a_journal_with_a_damaged_end(tmp_path: Path) -> None:
    path = journal_of_another_host(tmp_path / "tracker-store", finish=False)
    spoil(path, 11)
    times = path.stat()
    os.truncate(path, times.st_size - 5)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for name in ("sync", "sync", "rebuild", "rebuild"):
        done = command(name, folder=tmp_path)
        assert_one_line(done, f"of {path} are damaged or incomplete")
        api = tracker.Api()
        run = api.run("team/demo/run1")
        assert (run.state, len(run.history(pandas=False))) == ("crashed", 97)
        api._reader.close()


def test_rows_of_an_unknown_run_are_reported(tmp_path: Path) -> None:
    path = journal_of_another_host(tmp_path / "tracker-store")
    spoil(path, 0)
    done = command("doctor", folder=tmp_path)
    assert done.returncode == 1
    assert f"{path}: damaged bytes precede intact records" in done.stdout
    says = f"segment {'aa' * 16} has no run, as its first record is gone; its 99 rows are kept; journal"
    for name in ("sync", "sync", "rebuild"):
        assert_one_line(command(name, folder=tmp_path), says)
    done = command("doctor", folder=tmp_path)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("WRONG"))
    assert says in line
    assert "records 0 to 0 are lost" in line


@pytest.mark.parametrize(("how", "waiting"), [(signal.SIGTERM, 3), (signal.SIGINT, 3), (signal.SIGINT, 0)])
def test_server_ends_although_clients_wait(tmp_path: Path, how: signal.Signals, waiting: int) -> None:
    server = Server(tmp_path / "store")
    with ThreadPoolExecutor(3) as pool:
        # The server answers these requests only at the signal: they wait up to a minute for a change.
        polls = [pool.submit(_poll, server.url) for _ in range(waiting)]
        scripts.wait_for(lambda: connections(server.port) >= waiting, "the polls to be there")
        os.kill(server.process.pid, how)
        status = server.process.wait(timeout=90)
        assert status in (0, 130, -how)
        for poll in polls:
            poll.result(timeout=90)
    server.stop()
    assert "Traceback" not in "".join(server.errors)
    again = server.again()  # the port is free
    again.stop()


def _poll(url: str) -> int | None:
    with httpx.Client(timeout=60, trust_env=False) as client:
        try:
            since = client.get(f"{url}/api/v1/live").json()["revision"]
            answer = client.get(f"{url}/api/v1/live", params={"since": since, "timeout": 60})
            return answer.status_code
        except httpx.TransportError:
            return None


def connections(port: int) -> int:
    """Return the number of established connections to a local port."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        count += local.endswith(f":{port:04X}") and state == "01"
    return count
