"""Pages and groups of 10,000 runs from a server, compared with a route without work and handwritten SQL.

One client and 50 clients ask the same questions. The clients are one process with an event loop, so they take
little time of the processors. Each question is asked with values that were not asked before ("new"), so that
the server computes the answer, and again ("repeated"), as 50 people ask who look at one project.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count, cycle
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from benchmarks.measuring import Options, ScriptError, workplace
from benchmarks.report import Result, Row, row
from benchmarks.runs_query import ENTITY, PROJECT, RUNS, fill
from benchmarks.serving import Server, serving
from tracker.recorder.open_store import open_store

PATH = f"/api/v1/projects/{ENTITY}/{PROJECT}"
NOOP = "/api/v1/health"
CLIENTS = 50
SECONDS = 3.0
ROUNDS = 15
METRICS = ("loss", *(f"metric/{at}" for at in range(19)))
SHOWN = "run_id, name, state, created_at, updated_at, finished_at, duration, last_step, tags, run_group, "
SHOWN += "job_type, notes, config, summary, error, reason, last_seen, host"
FIELD = "SELECT {what} FROM run_fields WHERE project_id = 1 AND field = '{field}' AND {test}"
LR = FIELD.format(what="run_id", field="config.lr", test="number < {value}")
BY_LOSS = FIELD.format(what="run_id AS id, number AS place", field="summary.loss", test="number IS NOT NULL")

# A question, in which a new number replaces {value}, and SQL for the ids of its page and for its total.
# Numbers such as 0.500001 change the answer of a filter hardly at all.
EVERY = "SELECT count(*) FROM runs WHERE project_id = 1"
QUESTIONS: dict[str, tuple[dict[str, str], str, str]] = {
    "newest first": (
        {},
        "SELECT id FROM runs WHERE project_id = 1 ORDER BY created_at DESC, id DESC LIMIT 50",
        EVERY,
    ),
    "by name": (
        {"order": "name"},
        "SELECT id FROM runs WHERE project_id = 1 ORDER BY name, id DESC LIMIT 50",
        EVERY,
    ),
    "by a summary key": (
        {"order": "-summary.loss"},
        f"SELECT id FROM ({BY_LOSS}) ORDER BY place DESC, id DESC LIMIT 50",
        EVERY,
    ),
    "by two keys": (
        {"order": "config.optimizer,-summary.loss"},
        "SELECT a.run_id AS id FROM run_fields AS a LEFT JOIN run_fields AS b ON b.run_id = a.run_id "
        "AND b.field = 'summary.loss' WHERE a.project_id = 1 AND a.field = 'config.optimizer' "
        "AND a.text IS NOT NULL ORDER BY a.text, b.number DESC, a.run_id DESC LIMIT 50",
        EVERY,
    ),
    "half, by a summary key": (
        {"order": "summary.loss", "query": "config.lr<{value}"},
        f"SELECT id FROM ({BY_LOSS} AND run_id IN ({LR})) ORDER BY place, id DESC LIMIT 50",
        LR.replace("run_id", "count(*)", 1),
    ),
    "state and tag": (
        {"query": "state:finished tag:baseline config.lr<{value}"},
        "SELECT id FROM runs WHERE project_id = 1 AND state = 'finished' AND id IN (SELECT run_id FROM "
        f"run_fields WHERE project_id = 1 AND field = 'tags.baseline') AND id IN ({LR}) "
        "ORDER BY created_at DESC, id DESC LIMIT 50",
        "SELECT count(*) FROM runs WHERE project_id = 1 AND state = 'finished' AND id IN (SELECT run_id FROM "
        f"run_fields WHERE project_id = 1 AND field = 'tags.baseline') AND id IN ({LR})",
    ),
}
GROUPS_SQL = """
SELECT k.a, k.b, m.field, count(*), avg(m.number), sum(m.number * m.number) FROM (
    SELECT a.run_id AS id, a.text AS a, b.number AS b FROM run_fields AS a
    JOIN run_fields AS b ON b.run_id = a.run_id AND b.field = 'config.net.width'
    WHERE a.project_id = 1 AND a.field = 'config.optimizer') AS k
CROSS JOIN run_fields AS m ON m.run_id = k.id AND m.field IN ({fields}) GROUP BY 1, 2, 3"""
_NEW = count(1)


def measure(options: Options) -> Result:
    """Build the store, and ask the server."""
    with workplace(options) as folder:
        store = open_store(folder / "tracker-store")
        fill(store, RUNS)
        store.close()
        with serving(folder / "tracker-store") as server:
            catalog = sqlite3.connect(folder / "tracker-store" / "catalog.db")
            with closing(catalog):
                rows, details = _one_client(server, catalog)
                rows += _groups(server, catalog)
            many, loads = _many_clients(server)
            return Result(rows + many, {**details, "50 clients": loads})


def _value() -> float:
    """Return a number near 0.5 that was not returned before."""
    return 0.5 + next(_NEW) * 1e-6


def _address(title: str, value: float) -> str:
    asked = {name: text.format(value=value) for name, text in QUESTIONS[title][0].items()}
    return f"{PATH}/runs?" + urlencode({"limit": 50, **asked})


def _new_address(title: str) -> str:
    """Return a question that was not asked before: with a new value, or else a page that begins elsewhere."""
    address = _address(title, _value())
    varies = any("{value}" in text for text in QUESTIONS[title][0].values())
    return address if varies else f"{address}&offset={next(_NEW) % 1000}"


def _one_client(server: Server, catalog: sqlite3.Connection) -> tuple[list[Row], dict[str, Any]]:
    port = int(server.url.rsplit(":", 1)[1])
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for title, (_, ids, total) in QUESTIONS.items():
            value = _value()
            address = _address(title, value)
            asked = {
                "no-op": NOOP,
                f"{title}, new": _new_address(title),
                f"{title}, repeated": _address(title, 0.5),
            }
            for name, each in asked.items():
                times.setdefault(name, []).extend(_load(port, [each], 1, 0.0))
            by_hand = partial(_page, catalog, ids, total, value)
            times.setdefault(f"{title}, SQL", []).extend(_timed(by_hand))
            if [run["id"] for run in json.loads(_get(server, address))["runs"]] != _page(
                catalog, ids, total, value
            )[1]:
                raise ScriptError(f"{title}: SQL and tracker differ.")
    p50 = {name: statistics.median(each) * 1000 for name, each in times.items()}
    rows = []
    for title in QUESTIONS:
        for how in ("new", "repeated"):
            mine = p50[f"{title}, {how}"]
            rows.append(
                row(
                    f"page of 50, {title}, {how}",
                    "ms",
                    mine,
                    "no-op route",
                    p50["no-op"],
                    most=4,
                    target="4x",
                )
            )
        sql = p50[f"{title}, SQL"]
        rows.append(
            row(
                f"page of 50, {title}, new",
                "ms",
                p50[f"{title}, new"],
                "SQL, same answer",
                sql,
                most=5,
                target="5x",
            )
        )
    return rows, {"p50 ms": p50}


def _page(catalog: sqlite3.Connection, ids: str, total: str, value: float) -> tuple[bytes, list[str]]:
    """Return the same answer as the server: the page as JSON, with the number of all matching runs."""
    found = [run for (run, *_) in catalog.execute(ids.format(value=value))]
    marks = ",".join("?" * len(found))
    names = SHOWN.split(", ")
    read = {
        each[0]: each[1:]
        for each in catalog.execute(f"SELECT id, {SHOWN} FROM runs WHERE id IN ({marks})", found)
    }
    runs = []
    for run in found:
        shown = dict(zip(names, read[run], strict=True))
        runs.append(shown | {name: json.loads(shown[name]) for name in ("tags", "config", "summary")})
    (matching,) = catalog.execute(total.format(value=value)).fetchone()
    return json.dumps({"total": matching, "runs": runs}).encode(), [run["run_id"] for run in runs]


def _groups(server: Server, catalog: sqlite3.Connection) -> list[Row]:
    fields = ", ".join(f"'summary.{name}'" for name in METRICS)
    sql = GROUPS_SQL.format(fields=fields)
    query = [("by", "config.optimizer,config.net.width"), *(("metric", name) for name in METRICS)]
    address = f"{PATH}/run-groups?" + urlencode(query)
    port = int(server.url.rsplit(":", 1)[1])
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(5):
        ours += _load(port, [address], 1, 0.0)
        theirs += _timed(lambda: catalog.execute(sql).fetchall())
    expected = {(a, b, field): (n, mean) for a, b, field, n, mean, _ in catalog.execute(sql)}
    for group in json.loads(_get(server, address))["groups"]:
        for name, found in group["metrics"].items():
            n, mean = expected[(*group["values"].values(), f"summary.{name}")]
            if found["n"] != n or not math.isclose(found["mean"], mean, rel_tol=1e-9):
                raise ScriptError(f"groups: SQL and tracker differ in {name}.")
    mine, other = (statistics.median(each) * 1000 for each in (ours, theirs))
    title = "10,000 runs by two keys, mean and deviation of 20 metrics"
    return [row(title, "ms", mine, "SQL with a join", other, most=3, target="3x")]


def _many_clients(server: Server) -> tuple[list[Row], dict[str, Any]]:
    port = int(server.url.rsplit(":", 1)[1])
    repeated = [_address(title, 0.5) for title in QUESTIONS]
    loads: dict[str, list[float]] = {"no-op": [], "new": [], "repeated": []}
    for _ in range(3):
        loads["no-op"] += _load(port, [NOOP], CLIENTS, SECONDS)
        loads["new"] += _load(port, _new_addresses(), CLIENTS, SECONDS)
        loads["repeated"] += _load(port, repeated, CLIENTS, SECONDS)
    rate = {name: len(each) / (3 * SECONDS) for name, each in loads.items()}
    rows = []
    for name in ("new", "repeated"):
        ordered = sorted(loads[name])
        p50, p99 = (ordered[int(len(ordered) * at)] * 1000 for at in (0.5, 0.99))
        title = f"page of 50, all questions, 50 clients, {name}"
        met = rate[name] >= 0.4 * rate["no-op"]
        rows.append(Row(title, "/s", rate[name], "no-op route", rate["no-op"], "at least 0.4x", met))
        rows.append(row(f"{title}: p99", "ms", p99, "its p50", p50, most=3, target="3x"))
    return rows, {"per second": rate}


def _new_addresses() -> Iterator[str]:
    for title in cycle(QUESTIONS):
        yield _new_address(title)


def _get(server: Server, address: str) -> bytes:
    """Return an answer on a new connection: the server closes one that waits for long."""
    with urlopen(server.url + address) as answer:
        body: bytes = answer.read()
    return body


def _timed(call: Callable[[], object]) -> list[float]:
    start = time.perf_counter()
    call()
    return [time.perf_counter() - start]


def _load(port: int, addresses: Any, clients: int, seconds: float) -> list[float]:
    """Return the duration of each answer. Each client asks at least once, and again after the answer."""

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        asked = iter(addresses) if isinstance(addresses, Iterator) else cycle(addresses)
        end = time.perf_counter() + seconds
        made = [
            await loop.create_connection(lambda: _Client(asked, end, times), "127.0.0.1", port)
            for _ in range(clients)
        ]
        await asyncio.gather(*(client.done for _, client in made))
        return times

    return asyncio.run(run())


class _Client(asyncio.Protocol):
    """A client with one connection."""

    def __init__(self, addresses: Iterator[str], end: float, times: list[float]) -> None:
        self._addresses, self._end, self._times = addresses, end, times
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._received, self._wanted = bytearray(), 0
        self._start = time.perf_counter()
        self._transport.write(f"GET {next(self._addresses)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if not self._wanted and head >= 0:
            lines = bytes(self._received[:head]).lower()
            if b" 200 " not in lines[:20]:
                self.done.set_exception(ScriptError(f"The server refused: {bytes(self._received[:500])!r}"))
                return
            self._wanted = head + 4 + int(lines.split(b"content-length:")[1].split(b"\r\n")[0])
        if self._wanted and len(self._received) >= self._wanted:
            now = time.perf_counter()
            self._times.append(now - self._start)
            if now < self._end:
                self._ask()
            else:
                self._transport.close()
                self.done.set_result(None)
