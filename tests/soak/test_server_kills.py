"""A server is killed again and again while 32 runs are sent to it and 20 clients edit these runs.

Each writer and each client keeps its own log. At the end the store, and the store after `tracker rebuild`,
is compared with these logs: nothing that was acknowledged is lost, and nothing is there twice.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripts
from sending import outbox_journals
from serving import Server, rebuild, serving

from tracker.ground import values

PROCESSES, RUNS_OF_EACH = 4, 8
CLIENTS = 20
KILLS = 10
SEED = 17

# Logs rows to several runs until the file `stop` exists. Each line of the log is a row that `log` accepted.
WRITER = """
import json, pathlib, random, sys, time
import tracker
runs = []
for at in range({runs}):
    name = f"w{process}-{{at}}"
    run = tracker.init(project="p", id=name, config={{"own": name}}, reinit="create_new")
    runs.append((run, open(name + ".log", "w")))
chance = random.Random({process})
count = 0
while not pathlib.Path("stop").exists():
    for run, log in runs:
        row = {{"x": count, "y": chance.random()}}
        run.log(row)
        print(json.dumps(row), file=log, flush=True)
    count += 1
    time.sleep(0.2)
for run, _ in runs:
    run.finish()
"""


class Client(threading.Thread):
    """Edits runs until it is stopped, and keeps a log of its edits.

    The client alone edits the name, tags and notes of the run ``own``, and one config key of every run.

    Attributes:
        log: By run and field, the last acknowledged value, and then the values that were sent after it
            without an answer.
        wrong: Answers that are neither a success nor about a run that has not arrived yet.
    """

    def __init__(self, number: int, url: str, runs: list[str], path: Path) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._url, self._runs, self._own = url, runs, runs[number]
        self._chance = random.Random(SEED + number)
        self._key = f"edit{number}"
        self._file = path.open("w")
        self._stopped = threading.Event()
        self.log: dict[tuple[str, str], list[Any]] = {}
        self.acknowledged = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        count = 0
        with httpx.Client(base_url=f"{self._url}/api/v1", timeout=30, trust_env=False) as api:
            while not self._stopped.wait(0.1):
                count += 1
                with suppress(httpx.TransportError):  # the server was killed
                    self._edit(api, count)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=60)
        assert not self.is_alive(), self.name
        self._file.close()

    def _edit(self, api: httpx.Client, count: int) -> None:
        text = f"{self.name} edit {count}"
        field = self._chance.choice(["name", "tags", "notes", "config"])
        run = self._own if field != "config" else self._chance.choice(self._runs)
        value = {"tags": [text, "kept"], "config": {self._key: count}}.get(field, text)
        sent = self.log.setdefault((run, self._key if field == "config" else field), [None])
        written = count if field == "config" else value
        sent.append(written)
        answer = api.patch(f"/projects/local/p/runs/{run}", json={field: value})
        if answer.status_code == 200:
            sent[:] = [written]
            self.acknowledged += 1
            print(json.dumps([run, field, value]), file=self._file, flush=True)
        elif answer.status_code == 404 and sent[0] is None:
            sent.remove(written)  # the run has not arrived yet
        else:
            self.wrong.append(f"{answer.status_code} {answer.text}")


@pytest.mark.slow
def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    runs = [f"w{process}-{at}" for process in range(PROCESSES) for at in range(RUNS_OF_EACH)]
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server" / "store")
    clients = [Client(at, server.url, runs, tmp_path / f"client{at}.log") for at in range(CLIENTS)]
    writers: list[subprocess.Popen[str]] = []
    try:
        for process in range(PROCESSES):
            code = WRITER.format(process=process, runs=RUNS_OF_EACH)
            writers.append(
                scripts.start(code, tmp_path, TRACKER_BASE_URL=server.url, TRACKER_SENDING_SECONDS="600")
            )
        for client in clients:
            client.start()
        for _ in range(KILLS):
            enough = sum(client.acknowledged for client in clients) + 20
            while sum(client.acknowledged for client in clients) < enough:
                assert all(client.is_alive() for client in clients)
                time.sleep(0.05)
            time.sleep(chance.random() * 2)  # the kill comes at any point of the work
            server.kill()
            assert not [line for line in server.errors if "Traceback" in line], server.errors
            server = server.again()
        (tmp_path / "stop").touch()
        for client in clients:
            client.stop()
        for writer in writers:
            _, errors = writer.communicate(timeout=120)
            assert writer.returncode == 0, errors
        scripts.wait_for(lambda: not outbox_journals(tmp_path), "all runs to be sent", 120)
        scripts.wait_for(lambda: ended(server, runs), "all runs to be applied", 60)
        compare(server, runs, clients, tmp_path)
    finally:
        (tmp_path / "stop").touch()
        for writer in writers:
            writer.kill()
            writer.wait(timeout=90)
        server.stop()
    assert [client.wrong for client in clients if client.wrong] == []
    rebuild(tmp_path / "server" / "store")
    with serving(tmp_path / "server" / "store") as again:
        compare(again, runs, clients, tmp_path)


def ended(server: Server, runs: list[str]) -> bool:
    with server.client() as api:
        found = api.get("/projects/local/p/runs", params={"limit": 1000}).json()["runs"]
    return len(found) == len(runs) and all(run["state"] == "finished" for run in found)


def compare(server: Server, runs: list[str], clients: list[Client], folder: Path) -> None:
    """Compare all rows and edits in a store with the logs."""
    with server.client() as api:
        for run in runs:
            place = f"/projects/local/p/runs/{run}"
            history = values.loads(api.get(f"{place}/history").content)["rows"]
            logged = [json.loads(line) for line in (folder / f"{run}.log").read_text().splitlines()]
            assert len(logged) > KILLS
            assert [{"x": row["x"], "y": row["y"]} for row in history] == logged, run
            detail = values.loads(api.get(place).content)
            found = {**detail["config"], **{name: detail[name] for name in ("name", "tags", "notes")}}
            assert found["own"] == run
            for client in clients:
                for (edited, field), possible in client.log.items():
                    if edited == run and possible[0] is not None:
                        assert found.get(field) in possible, (run, field, client.name)
    assert sum(client.acknowledged for client in clients) > 20 * KILLS
