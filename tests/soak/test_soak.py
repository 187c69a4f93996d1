"""32 writers write to one store. Some are killed and resumed, recorders are killed, and a server is queried.

At the end the store is compared, row by row, with the diaries that the writers have written.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import scripts
from exact import exact, without_empty
from serving import Server, serving

import tracker
from tracker.ground import values

WRITERS = 32
WRITER = Path(__file__).with_name("writer.py")
SEED = 4


class Attempt(NamedTuple):
    """Content of the diary of one attempt. ``pending``: the last call may not have returned."""

    start_step: int
    calls: list[tuple[dict[str, Any], int | None, bool | None]]
    pending: bool


class Reading(threading.Thread):
    """Asks a server one kind of question repeatedly until it is stopped."""

    def __init__(self, server: Server, ask: Callable[[httpx.Client, random.Random], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._server, self._ask = server, ask
        self._stop_asked = threading.Event()
        self.answers = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        chance = random.Random(self.name)
        with self._server.client() as api:
            while not self._stop_asked.is_set():
                try:
                    self._ask(api, chance)
                except Exception as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")
                self.answers += 1
                self._stop_asked.wait(0.05)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(timeout=60)
        assert not self.is_alive(), self.name


def get(api: httpx.Client, path: str, **query: Any) -> httpx.Response:
    answer = api.get(path, params=query)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer


def listed(api: httpx.Client) -> list[dict[str, Any]]:
    answer = api.get("/projects/team/soak/runs", params={"limit": 100})
    if answer.status_code == 404:
        return []  # no run has started
    assert answer.status_code == 200, answer.text
    runs: list[dict[str, Any]] = values.loads(answer.content)["runs"]
    return runs


class Questions:
    """The questions. Each one compares an answer with the previous answers."""

    def __init__(self) -> None:
        self._revision = 0
        self._seen: set[str] = set()
        self._rows: dict[str, int] = {}

    def lists(self, api: httpx.Client, _chance: random.Random) -> None:
        names = {run["id"] for run in listed(api)}
        assert names >= self._seen, f"runs are gone from the list: {self._seen - names}"
        self._seen = names

    def histories(self, api: httpx.Client, chance: random.Random) -> None:
        for run in chance.sample(runs := listed(api), min(2, len(runs))):
            detail = values.loads(get(api, f"/projects/team/soak/runs/{run['id']}").content)
            for segment in detail["segments"]:
                answer = get(api, f"/projects/team/soak/runs/{run['id']}/history", segment=segment["id"])
                found = len(values.loads(answer.content)["rows"])
                assert found >= self._rows.get(segment["id"], 0), f"rows of {segment['id']} are gone"
                self._rows[segment["id"]] = found

    def charts(self, api: httpx.Client, chance: random.Random) -> None:
        for run in chance.sample(runs := listed(api), min(4, len(runs))):
            get(api, f"/projects/team/soak/runs/{run['id']}/chart", key=["loss", "metric/1"], points=200)

    def changes(self, api: httpx.Client, _chance: random.Random) -> None:
        answer = values.loads(get(api, "/live", since=self._revision, timeout=2).content)
        assert answer["revision"] >= self._revision
        self._revision = answer["revision"]


def start_writer(folder: Path, run_id: str, attempt: int, calls: int) -> subprocess.Popen[bytes]:
    diary = folder / "diaries" / f"{run_id}.{attempt}"
    command = [sys.executable, str(WRITER), str(folder), run_id, str(attempt), str(calls), str(diary)]
    with (folder / "diaries" / f"{run_id}.{attempt}.err").open("wb") as errors:
        return subprocess.Popen(
            command, env=scripts.environment(), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
        )


def read_diary(path: Path) -> Attempt | None:
    """Return the content of a diary; None when the writer was killed before its run started."""
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [pickle.loads(bytes.fromhex(line)) for line in lines]
    if not entries:
        return None
    calls = [entry[1:] for entry in entries if entry[0] == "called"]
    returned = sum(entry[0] == "returned" for entry in entries)
    assert len(calls) - returned in (0, 1)
    return Attempt(entries[0][2], calls, len(calls) > returned)


def rows_of(attempt: Attempt, *, with_pending: bool) -> list[dict[str, Any]]:
    """Return the rows of a segment, from a second and independent implementation of the rules of steps."""
    calls = attempt.calls if with_pending or not attempt.pending else attempt.calls[:-1]
    rows: list[dict[str, Any]] = []
    current, unfinished = attempt.start_step, None
    for given, step, commit in calls:
        data = without_empty(given)
        if step is not None and step < current:
            rows.append({**data, "_step": step})  # wandb drops it
            continue
        if step is not None and step > current:
            current, unfinished = step, None
        if unfinished is None:
            unfinished = {"_step": current}
            rows.append(unfinished)
        unfinished.update(merged(unfinished, data))
        if commit or (commit is None and step is None):
            current, unfinished = current + 1, None
    return sorted(rows, key=lambda row: row["_step"])


def merged(before: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return the values of two calls for one row: dicts are merged, other values are replaced."""
    both = dict(before)
    for key, value in later.items():
        there = both.get(key)
        joined = isinstance(there, dict) and isinstance(value, dict) and "reference" not in value
        both[key] = merged(there, value) if joined else value
    return both


def comparable(row: dict[str, Any], meant: dict[str, Any]) -> str:
    """Return a row of the store as text. Media references only keep the keys that the diary has."""
    found = {key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")}
    for key, value in meant.items():
        given = found.get(key)
        if isinstance(value, dict) and value.get("reference") is True and isinstance(given, dict):
            found[key] = {
                "reference": True,
                **{name: given.get(name) for name in value if name != "reference"},
            }
    return exact(found)


def difference(found: list[dict[str, Any]], meant: list[dict[str, Any]]) -> str | None:
    """Return the first difference between a store's rows and a diary's; None when there is none."""
    for at, (row, expected) in enumerate(zip(found, meant, strict=False)):
        if comparable(row, expected) != exact(expected):
            return f"row {at}: {comparable(row, expected)} is not {exact(expected)}"
    return None if len(found) == len(meant) else f"{len(found)} rows, not {len(meant)}"


def settle(attempt: Attempt, found: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Return the expected rows of a segment. An interrupted call must be there completely, or not at all."""
    meant = rows_of(attempt, with_pending=False)
    wrong = difference(found, meant)
    if wrong is not None and attempt.pending:
        meant = rows_of(attempt, with_pending=True)
        wrong = wrong and difference(found, meant)
    assert wrong is None, f"{what}: {wrong}"
    return meant


def shown(attempts: list[tuple[Attempt, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the newest branch: the rows of each attempt before the first step of a later attempt."""
    rows: list[dict[str, Any]] = []
    for at, (_, meant) in enumerate(attempts):
        before = min((later.start_step for later, _ in attempts[at + 1 :]), default=2**63)
        rows += [row for row in meant if row["_step"] < before]
    return sorted(rows, key=lambda row: row["_step"])


class Soak:
    """Starts the writers, and kills writers and recorders."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.root = folder / "tracker-store"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.attempts: dict[str, int] = {}
        self.killed = self.recorders_killed = 0

    def start(self, run_id: str) -> None:
        attempt = self.attempts.get(run_id, -1) + 1
        self.attempts[run_id] = attempt
        number = int(run_id.removeprefix("run-"))
        calls = 18_000 if number < 2 and attempt == 0 else self.chance.randrange(100, 500)
        self.processes[run_id] = start_writer(self.folder, run_id, attempt, calls)

    def has_logged(self, run_id: str, calls: int) -> bool:
        """Return whether the newest attempt has made this number of calls, or has ended."""
        diary = self.folder / "diaries" / f"{run_id}.{self.attempts[run_id]}"
        lines = diary.read_bytes().count(b"\n") if diary.exists() else 0
        return lines > 2 * calls or self.processes[run_id].poll() is not None

    def kill_writer(self, run_id: str) -> None:
        """Kill a writer while it logs, and resume its run."""
        least = self.chance.randrange(5, 60)
        scripts.wait_for(lambda: self.has_logged(run_id, least), f"{run_id} to log", seconds=120)
        process = self.processes[run_id]
        if process.poll() is None:
            process.kill()
            self.killed += 1
        process.wait(timeout=90)
        self.start(run_id)

    def kill_recorder(self) -> None:
        """Wait for a live recorder, and kill it."""
        found = scripts.wait_for(lambda: scripts.recorders(self.root), "a recorder", seconds=60)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.recorders_killed += 1

    def live(self) -> int:
        return sum(process.poll() is None for process in self.processes.values())

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(timeout=90)


@pytest.mark.nightly
def test_soak(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "diaries").mkdir()
    (tmp_path / "tracker-store").mkdir()
    soak = Soak(tmp_path, chance)
    names = [f"run-{at}" for at in range(WRITERS)]
    with serving(soak.root) as server:
        asking = Questions()
        readings = [
            Reading(server, ask, ask.__name__)
            for ask in (asking.lists, asking.histories, asking.charts, asking.changes)
        ]
        try:
            for reading in readings:
                reading.start()
            for name in names:
                soak.start(name)
            assert soak.live() > WRITERS // 2
            for at, name in enumerate(chance.sample(names[2:], 10)):
                soak.kill_writer(name)
                if at % 3 == 0:
                    soak.kill_recorder()
            for name in names:
                status = soak.processes[name].wait(timeout=240)
                errors = tmp_path / "diaries" / f"{name}.{soak.attempts[name]}.err"
                assert status == 0, errors.read_text()
            for name in chance.sample(names, 4):  # runs that have ended are resumed too
                soak.start(name)
                assert soak.processes[name].wait(timeout=120) == 0
            scripts.wait_for(lambda: not list(soak.root.rglob("*.journal")), "all to be sealed", seconds=120)
        finally:
            soak.end()
            for reading in readings:
                reading.stop()
        assert soak.killed >= 5
        assert soak.recorders_killed >= 3
        for reading in readings:
            assert reading.wrong == [], reading.name
            assert reading.answers > 10, reading.name
        compare(soak, server)
        assert [line for line in server.errors if "Traceback" in line] == []


def compare(soak: Soak, server: Server) -> None:
    """Compare the store with the diaries, through the Api and through the server."""
    total = 0
    api = tracker.Api({"store": soak.root})
    with server.client() as client:
        assert sorted(run["id"] for run in listed(client)) == sorted(soak.attempts)
        for run_id, newest in soak.attempts.items():
            place = f"/projects/team/soak/runs/{run_id}"
            run = api.run(f"team/soak/{run_id}")
            segments = {each.attempt: each for each in run.segments}
            assert len(segments) == len(run.segments)
            meant: list[tuple[Attempt, list[dict[str, Any]]]] = []
            for attempt in range(newest + 1):
                diary = read_diary(soak.folder / "diaries" / f"{run_id}.{attempt}")
                if diary is None:
                    continue
                segment = segments.pop(attempt)
                assert segment.start_step == diary.start_step
                found = run.history(pandas=False, segment=segment.id)
                rows = settle(diary, found, f"{run_id}, attempt {attempt}")
                answer = values.loads(get(client, f"{place}/history", segment=segment.id).content)["rows"]
                assert difference(answer, rows) is None, f"{run_id}, attempt {attempt}, by the server"
                assert segment.rows == len(rows)
                meant.append((diary, rows))
                total += len(rows)
            assert not segments, f"{run_id}: no writer has written {segments}"
            branch = shown(meant)
            assert difference(run.history(pandas=False), branch) is None, run_id
            answer = values.loads(get(client, f"{place}/history").content)["rows"]
            assert difference(answer, branch) is None, run_id
            check_media(client, place, run.history(pandas=False))
    assert total > 36_000
    parts = len(list(soak.root.rglob("history/*.parquet")))
    assert parts <= sum(newest + 1 for newest in soak.attempts.values())


def check_media(client: httpx.Client, place: str, rows: list[dict[str, Any]]) -> None:
    """Check the digests of the first few media files that a history refers to."""
    for row in [row for row in rows if "image" in row][:2]:
        for key in ("image", "table"):
            content = get(client, f"{place}/files/{row[key]['path']}").content
            assert hashlib.sha256(content).hexdigest() == row[key]["sha256"]
