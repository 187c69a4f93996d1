"""Writers on several hosts, with failures of the network and of processes, over HTTP and to a shared folder.

Each host has its own network and its own name. The server is killed and started again throughout, and so are
the recorders of the hosts. One host is cut off from the network repeatedly, and another one has a slow line.
Each writer keeps its own log with the number of each row whose call has returned. At the end, and again after
`tracker rebuild`, the store has each of these rows once and in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import scripts
import serving
from mounts import skip_without_sshfs
from networks import SERVER, Host, Network, network
from sending import outbox_journals
from serving import Server, rebuild

from benchmarks.mounts import mount, sshd
from benchmarks.relay import relaying
from tracker.ground import values
from tracker.store.objects.layout import Layout

# Logs rows until the file STOP exists. A line of its log has eight digits and a newline.
WRITER = """
import os, sys, time
import tracker
run_id, own, stop, pause = sys.argv[1:]
log = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
run = tracker.init(project="p", id=run_id, config={"own": run_id}, settings={"x_disable_stats": True})
number = 0
while number < 20 or not os.path.exists(stop):
    run.log({"x": number, "y": number * number / 7})
    os.write(log, b"%08d\\n" % number)
    number += 1
    time.sleep(float(pause))
run.summary["rows"] = number
run.finish()
"""
LINE_BYTES = 9
# The slow line: what each host has for its runs.
DELAY_SECONDS, BYTES_PER_SECOND = 0.1, 100_000


class Size(NamedTuple):
    """The size of a test.

    Attributes:
        hosts: Number of hosts.
        writers: Number of writers on each host.
        kills: How often the server is killed.
        pause_seconds: Time between two rows of a writer.
        is_long: Whether the test takes as long as a timeout of a minute.
    """

    hosts: int
    writers: int
    kills: int
    pause_seconds: float
    is_long: bool = False


SIZES = [
    pytest.param(Size(2, 4, 2, 0.1), marks=pytest.mark.slow, id="8 writers"),
    pytest.param(Size(4, 16, 10, 0.25, is_long=True), marks=pytest.mark.nightly, id="64 writers"),
]


class Writers:
    """Starts the writers, each in a folder of its host, and compares their logs with a store.

    Args:
        folder: Folder for the folders of the hosts, on a local disk.
        net: The network.
        size: The size of the test.
    """

    def __init__(self, folder: Path, net: Network, size: Size) -> None:
        self.folder = folder
        self.hosts = net.hosts
        self._net = net
        self._size = size
        self._stop = folder / "stop"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for host in self.hosts:
            self.home(host).mkdir()

    def home(self, host: Host) -> Path:
        """Return the folder of a host."""
        return self.folder / host.name

    def start(self, host: Host, **variables: str) -> None:
        """Start the writers of a host."""
        home = self.home(host)
        environment = scripts.environment(XDG_STATE_HOME=str(home / "state"), **variables)
        for at in range(self._size.writers):
            run_id = f"{host.name}-{at}"
            arguments = [run_id, str(home / f"{at}.log"), str(self._stop), str(self._size.pause_seconds)]
            with (home / f"{at}.err").open("wb") as errors:
                self._processes[run_id] = subprocess.Popen(
                    [*host.prefix, sys.executable, "-c", WRITER, *arguments],
                    cwd=home,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                )

    def finish(self) -> None:
        """Let all writers finish their runs, and wait for their end."""
        self._stop.touch()
        for run_id, process in self._processes.items():
            status = process.wait(timeout=300)
            host, _, at = run_id.rpartition("-")
            errors = (self.folder / host / f"{at}.err").read_text()
            assert status == 0, errors
            assert "Traceback" not in errors

    def kill(self) -> None:
        """Kill the writers that are left. A process that waits for the network ends only when it is back."""
        for host in self.hosts:
            self._net.join(host)
        for process in self._processes.values():
            process.kill()
            process.wait(timeout=90)

    def wait_for_rows(self, server: Server, hosts: list[Host]) -> None:
        """Wait until the server has a new row of each run of these hosts that it knows."""
        names = tuple(host.name for host in hosts)
        with server.client() as api:
            before = {run["id"]: run["last_step"] for run in _list(api) if run["id"].startswith(names)}

            def has_more() -> bool:
                now = {run["id"]: run["last_step"] for run in _list(api)}
                return all(now[run] > row for run, row in before.items())

            scripts.wait_for(has_more, f"new rows of {names}", 300)

    def wait_for_all(self, server: Server) -> None:
        """Wait until the server has a row of each run."""
        runs = len(self._processes)
        with server.client() as api:
            scripts.wait_for(
                lambda: sum(run["last_step"] is not None for run in _list(api)) == runs, "all runs", 300
            )

    def wait_for_state(self, server: Server, hosts: list[Host], state: str, reason: str | None) -> None:
        """Wait until all runs of these hosts have this state, with this reason."""
        names = tuple(host.name for host in hosts)
        with server.client() as api:
            scripts.wait_for(
                lambda: (
                    {(run["state"], run["reason"]) for run in _list(api) if run["id"].startswith(names)}
                    == {(state, reason)}
                ),
                f"{names} to be {state}",
                300,
            )

    def compare(self, server: Server) -> None:
        """Compare all runs of a store with the logs of the writers, and print what was compared."""
        rows_compared = 0
        with server.client() as api:
            assert sorted(run["id"] for run in _list(api)) == sorted(self._processes)
            for run_id in self._processes:
                host, _, at = run_id.rpartition("-")
                logged = [int(line) for line in (self.folder / host / f"{at}.log").read_text().splitlines()]
                assert logged == list(range(len(logged)))
                place = f"/projects/local/p/runs/{run_id}"
                rows = values.loads(api.get(f"{place}/history").content)["rows"]
                expected = [(number, number, number * number / 7) for number in logged]
                assert [(row["_step"], row["x"], row["y"]) for row in rows] == expected, run_id
                rows_compared += len(rows)
                run = values.loads(api.get(place).content)
                assert (run["state"], run["problems"], run["config"]["own"]) == ("finished", [], run_id)
                assert [segment["rows"] for segment in run["segments"]] == [len(logged)]
                summary = {name: run["summary"][name] for name in ("rows", "x", "y")}
                last = logged[-1]
                assert (run["last_step"], summary) == (
                    last,
                    {"rows": last + 1, "x": last, "y": last * last / 7},
                )
        print(f"{rows_compared:,} rows of {len(self._processes)} runs are as logged")


def _list(api: httpx.Client) -> list[dict[str, Any]]:
    answer = api.get("/projects/local/p/runs", params={"limit": 1000})
    if answer.status_code == 404:
        return []  # no run has arrived
    assert answer.status_code == 200, answer.text
    runs: list[dict[str, Any]] = values.loads(answer.content)["runs"]
    return runs


@contextmanager
def _server(store: Path, *arguments: str) -> Iterator[list[Server]]:
    """Run a server on the hub, and yield a list whose last item is the current server."""
    servers = [Server(store, *arguments, "--host", SERVER, key=True)]
    try:
        yield servers
    finally:
        servers[-1].stop()


def _restart(servers: list[Server]) -> None:
    """Kill the server and start it again."""
    servers[-1].kill()
    _assert_no_faults(servers[-1])
    servers.append(servers[-1].again())


def _assert_no_faults(server: Server) -> None:
    assert not [line for line in server.errors if "Traceback" in line], server.errors


def _kill_recorders(store: Path) -> int:
    """Kill the recorders of a store; return their number."""
    killed = 0
    for process in scripts.recorders(store):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def _disturb(net: Network, writers: Writers, servers: list[Server], size: Size) -> int:
    """Kill servers and recorders while the first host is cut off and joined; return the killed recorders.

    Print both numbers.
    """
    first, *others = net.hosts
    killed = 0
    for at in range(size.kills):
        if at % 2 == 0:
            net.cut(first)
        killed += _kill_recorders(writers.home(net.hosts[at % len(net.hosts)]) / "tracker-store")
        _restart(servers)
        writers.wait_for_rows(servers[-1], others)
        if at % 2:
            net.join(first)
            writers.wait_for_rows(servers[-1], net.hosts)
    print(f"{size.kills} kills of servers, {killed} of recorders")
    return killed


def _compare_again(writers: Writers, store: Path) -> None:
    """Rebuild the catalog of a store, and compare the store."""
    rebuild(store)
    with serving.serving(store) as server:
        writers.compare(server)


@pytest.fixture(autouse=True)
def servers_are_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start servers as children of this process, on the hub. A forked server would not be there."""
    monkeypatch.setattr(serving, "_FORKED", ())


@pytest.mark.parametrize("size", SIZES)
def test_runs_that_are_sent_arrive_once(tmp_path: Path, size: Size) -> None:
    (tmp_path / "server").mkdir()
    store = tmp_path / "server" / "tracker-store"
    with ExitStack() as stack:
        net = stack.enter_context(network(size.hosts))
        servers = stack.enter_context(_server(store))
        relay = stack.enter_context(
            relaying(servers[0].port, SERVER, delay_seconds=DELAY_SECONDS, bytes_per_second=BYTES_PER_SECOND)
        )
        writers = Writers(tmp_path, net, size)
        stack.callback(writers.kill)
        for host in net.hosts:
            slow = host == net.hosts[-1]
            writers.start(
                host,
                TRACKER_BASE_URL=relay.address if slow else servers[0].url,
                TRACKER_API_KEY=str(servers[0].key),
                TRACKER_SENDING_SECONDS="900",
            )
        writers.wait_for_all(servers[-1])
        assert _disturb(net, writers, servers, size) >= size.kills // 2
        writers.finish()
        for host in net.hosts:
            home = writers.home(host)
            scripts.wait_for(lambda at=home: not outbox_journals(at), f"{home} to be sent", 300)  # type: ignore[misc]
        writers.wait_for_state(servers[-1], net.hosts, "finished", None)
        writers.compare(servers[-1])
        assert relay.sent > 0
    _assert_no_faults(servers[-1])
    _compare_again(writers, store)


@pytest.mark.parametrize("size", SIZES)
def test_runs_in_a_shared_folder_are_applied_once(tmp_path: Path, size: Size) -> None:
    skip_without_sshfs()
    shared, keys = tmp_path / "shared", tmp_path / "keys"
    shared.mkdir()
    keys.mkdir()
    store = shared / "tracker-store"
    with ExitStack() as stack:
        net = stack.enter_context(network(size.hosts))
        servers = stack.enter_context(
            _server(store, "--watch", str(store), "--catalog", str(tmp_path / "disk"))
        )
        port = stack.enter_context(sshd(keys, SERVER))
        relay = stack.enter_context(
            relaying(port, SERVER, delay_seconds=DELAY_SECONDS, bytes_per_second=BYTES_PER_SECOND)
        )
        writers = Writers(tmp_path, net, size)
        first, *others, last = net.hosts
        roots = dict.fromkeys(others, shared)
        for host, through in ((first, port), (last, relay.server_address[1])):
            point = writers.home(host) / "mount"
            made = mount(shared, point, keys, int(through), host=SERVER, prefix=host.prefix)
            roots[host] = stack.enter_context(made)
        stack.callback(writers.kill)
        for host, root in roots.items():
            writers.start(host, TRACKER_STORE=str(root / "tracker-store"))
        writers.wait_for_all(servers[-1])
        _disturb(net, writers, servers, size)
        if (
            size.is_long
        ):  # a host that is silent for longer than the timeout counts as crashed until it is back
            net.cut(first)
            writers.wait_for_state(servers[-1], [first], "crashed", "host silent")
            net.join(first)
            writers.wait_for_rows(servers[-1], net.hosts)
        writers.finish()
        scripts.wait_for(lambda: not Layout(store).list_journals(), "all journals to be applied", 300)
        writers.compare(servers[-1])
        assert relay.sent > 0
    _assert_no_faults(servers[-1])
    _compare_again(writers, store)
