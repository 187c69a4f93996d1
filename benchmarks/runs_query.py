"""Lists of a project with 10,000 runs: filtered, ordered, paged and searched, compared with handwritten SQL.

``large_stores`` writes the runs. A sample of the same runs also goes through journals and ``apply``, and both
ways must give the same rows.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select

from benchmarks.data import make_rows
from benchmarks.large_stores import SealedRun, write_runs
from benchmarks.measuring import Options, ScriptError, workplace
from benchmarks.report import Result, row
from benchmarks.report import Row as Line
from benchmarks.serving import serving
from tracker.api.api import Api
from tracker.ground import values
from tracker.ground.http import Client
from tracker.ground.records import COMMIT, Process, Row, RunFinished, RunStarted, SummaryChanged, pack
from tracker.journal.writer import JournalWriter
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run, RunField
from tracker.store.ingest.apply import apply_journal
from tracker.store.store import Store

ENTITY, PROJECT, SAMPLE = "local", "many", "sample"
RUNS = 10_000
SAMPLED = 20
# Additional runs with a history, for charts: each has this many rows with this many metrics.
CHARTED, CHART_ROWS, CHART_KEYS = 5, 1000, 5
CONFIG_KEYS = 50
SUMMARY_KEYS = 20
REPEATS = 40
START = 1_700_000_000.0
OPTIMIZERS = ("adam", "adamw", "sgd", "lion")
TARGET_MS = 50
TARGET_RATIO = 5

# A filter on the config, and the same test in SQL. The first leaves half of the runs, the last only a few.
FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "half": ({"config.lr": {"$lt": 0.5}}, "number < 0.5"),
    "nearly all": ({"config.lr": {"$lt": 0.999}}, "number < 0.999"),
    "1 in 1,000": ({"config.lr": {"$lt": 0.001}}, "number < 0.001"),
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "first page": {},
    "page in the middle": {"offset": RUNS // 2},
    "search": {"search": "river-99"},
    "by name": {"order": "name"},
    "state and tag": {"filters": values.dumps({"state": "finished", "tags": "baseline"})},
    "pattern of names": {"filters": values.dumps({"display_name": {"$regex": "^adam.*9$"}})},
}
# Two comparisons: the same answer (the page with parsed JSON, and the count of all matches), and less than
# the same answer: only the text of the page. For each, the faster of the two shapes counts.
WHOLE, BARE = "SQL, same answer", "SQL, page as text"
SHAPES = ("list", "join")
SHOWN = "id, run_id, name, state, created_at, updated_at, config, summary, tags"
# Two shapes of the same query. The first selects the matching runs and walks the index of the summary key.
# The second leaves the plan to SQLite, which is sometimes much faster and sometimes much slower.
PAGE = f"""
SELECT {SHOWN} FROM runs JOIN (
    SELECT run_id AS id, number AS place FROM run_fields
    WHERE project_id = ? AND field = 'summary.loss' AND number IS NOT NULL AND run_id IN (
        SELECT run_id FROM run_fields WHERE project_id = ? AND field = 'config.lr' AND {{test}})
    ORDER BY number LIMIT 50
) USING (id) ORDER BY place"""
JOIN = f"""
SELECT {", ".join(f"runs.{name}" for name in SHOWN.split(", "))} FROM runs
JOIN run_fields AS asked ON asked.run_id = runs.id AND asked.field = 'config.lr' AND asked.{{test}}
JOIN run_fields AS place ON place.run_id = runs.id AND place.field = 'summary.loss'
WHERE runs.project_id = ? AND place.project_id = ? AND place.number IS NOT NULL
ORDER BY place.number LIMIT 50"""
COUNT = """
SELECT count(*) FROM run_fields WHERE project_id = ? AND field = 'config.lr' AND {test}"""


def measure(options: Options) -> Result:
    """Build the store, send the requests, and measure the memory of the server."""
    with workplace(options) as folder:
        store = open_store(folder / "tracker-store")
        fill(store, RUNS)
        check_sample(store)
        add_histories(store)
        store.close()
        return _ask(folder)


def make_run(at: int) -> tuple[RunStarted, SummaryChanged, RunFinished]:
    """Return the records of run number ``at``."""
    some = random.Random(at)
    config: dict[str, Any] = {"lr": some.random(), "optimizer": some.choice(OPTIMIZERS)}
    config["net"] = {"width": some.choice((64, 128, 256)), "dropout": some.random() < 0.5}
    config |= {f"key{each}": some.random() for each in range(CONFIG_KEYS - 4)}
    summary: dict[str, Any] = {"loss": some.random()}
    summary |= {f"metric/{each}": some.random() for each in range(SUMMARY_KEYS - 1)}
    start = START + 60.0 * at
    started = RunStarted(
        ENTITY,
        PROJECT,
        f"run{at:06}",
        start,
        Process("node1", "boot", 1, 42, 7),
        name=f"{some.choice(OPTIMIZERS)}-river-{at}",
        config=config,
        tags=["baseline"] if at % 100 == 0 else [],
        group=f"group{at % 7}",
    )
    return started, SummaryChanged(summary), RunFinished(start + 50.0, "finished", 0)


def fill(store: Store, count: int) -> None:
    """Write ``count`` finished runs without rows."""
    records = (make_run(at) for at in range(count))
    write_runs(store, (SealedRun(f"{at:032x}", first, rest) for at, (first, *rest) in enumerate(records)))


def check_sample(store: Store) -> None:
    """Send a sample of the runs through journals into another project; fail if the rows differ."""
    folder = store.layout.host_journals("node1")
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(0, RUNS, RUNS // SAMPLED):
        started, *rest = make_run(at)
        name = f"{at + (1 << 64):032x}"
        journal = JournalWriter(store.layout.journal("node1", name, 0), name)
        for record in (replace(started, project=SAMPLE), *rest):
            journal.append(pack(record))
        journal.close()
    for path in store.layout.list_journals():
        apply_journal(store, path)
        path.path.unlink()
    sampled, written = _rows(store, SAMPLE), _rows(store, PROJECT)
    if len(sampled) != SAMPLED or any(written[key] != found for key, found in sampled.items()):
        raise ScriptError("The rows that were inserted directly differ from the rows that apply writes.")


def add_histories(store: Store) -> None:
    """Send runs with rows through journals, into the project with all other runs."""
    for at in range(CHARTED):
        started, *_ = make_run(RUNS + at)
        name = f"{at + (2 << 64):032x}"
        journal = JournalWriter(store.layout.journal("node1", name, 0), name)
        journal.append(pack(started))
        for step, logged in enumerate(make_rows(CHART_ROWS, CHART_KEYS, at)):
            journal.append(pack(Row(step, step, COMMIT, started.time + step, logged)))
        journal.append(pack(RunFinished(started.time + CHART_ROWS, "finished", 0)))
        journal.close()
    follower = Follower(store)
    while follower.poll().applied:
        pass


def _rows(store: Store, project: str) -> dict[str, Any]:
    """Return the runs of a project with their fields, without ids and counters of the catalog."""
    own = {"id", "project_id", "revision"}
    columns = [column for column in Run.__table__.columns if column.name not in own]
    with store.reading() as session:
        at = session.scalars(select(Project.id).where(Project.name == project)).one()
        found: dict[str, Any] = {
            row.run_id: [row._asdict(), {}]
            for row in session.execute(select(*columns).where(Run.project_id == at))
        }
        fields = select(Run.run_id, RunField.field, RunField.number, RunField.text)
        for run, *kept in session.execute(fields.join(RunField).where(RunField.project_id == at)):
            found[run][1][kept[0]] = tuple(kept[1:])
    return found


def _ask(folder: Path) -> Result:
    rows: list[Line] = []
    scale: dict[str, Any] = {"runs": RUNS, "config keys": CONFIG_KEYS, "summary keys": SUMMARY_KEYS}
    details: dict[str, Any] = {
        "scale": scale,
        "runs": RUNS,
        "config keys": CONFIG_KEYS,
        "summary keys": SUMMARY_KEYS,
    }
    api = Api({"store": folder / "tracker-store"})
    path = ("projects", ENTITY, PROJECT, "runs")
    with serving(folder / "tracker-store") as server, closing(Client(server.url)) as client:
        for title, (filters, test) in FILTERS.items():
            asked = {"order": "summary_metrics.loss", "filters": values.dumps(filters), "limit": 50}
            hand = _HandwrittenSql(folder, test)
            times = interleaved(
                {
                    "Api": lambda f=filters: api.runs(PROJECT, f, "summary_metrics.loss")[:50],
                    "REST": lambda a=asked: client.get(*path, **a),
                    **hand.calls(),
                }
            )
            ids = [run.id for run in api.runs(PROJECT, filters, "summary_metrics.loss")[:50]]
            if ids != hand.ids() or ids != [run["id"] for run in client.get(*path, **asked)["runs"]]:
                raise ScriptError(f"{title}: SQL and tracker differ.")
            hand.close()
            details[f"filter leaves {title}, ms"] = times
            scale[f"filter leaves {title} p50 ms"] = statistics.median(times["REST"])
            for asker in ("Api", "REST"):
                figure = f"{asker}: 50 by a summary key, filter leaves {title}"
                rows += [_row(figure, times, asker, against) for against in (WHOLE, BARE)]
        for title, question in QUESTIONS.items():
            times = interleaved({"REST": lambda q=question: client.get(*path, limit=50, **q)})
            details[f"{title}, ms"] = times
            rows.append(_stated(f"REST: {title}, p50", "ms", statistics.median(times["REST"])))
            scale[f"{title} p50 ms"] = statistics.median(times["REST"])
        times = interleaved({"REST": lambda: client.get("projects")})
        rows.append(_stated("REST: projects, p50", "ms", statistics.median(times["REST"])))
        charted = f"run{RUNS:06}"
        times = interleaved(
            {
                "run": lambda: client.get(*path, charted),
                "chart": lambda: list(client.stream(*path, charted, "chart", key="metric/0", points=1000)),
            }
        )
        scale["run p50 ms"] = statistics.median(times["run"])
        scale["chart p50 ms"] = statistics.median(times["chart"])
        rows.append(_stated("REST: chart of one of them, p50", "ms", scale["chart p50 ms"]))
        scale["server memory_mb"] = server.memory_mb()
        rows.append(_stated("largest memory of the server", "MB", scale["server memory_mb"]["largest"]))
    return Result(rows, details)


class _HandwrittenSql:
    """The same request as handwritten SQL on tracker's own tables."""

    def __init__(self, folder: Path, test: str) -> None:
        self._connection = sqlite3.connect(folder / "tracker-store" / "catalog.db")
        self._page, self._join, self._count = (each.format(test=test) for each in (PAGE, JOIN, COUNT))
        found = self._connection.execute("SELECT id FROM projects WHERE name = ?", (PROJECT,))
        self._project = found.fetchone()[0]

    def calls(self) -> dict[str, Callable[[], object]]:
        return {
            f"{what}, {shape}": lambda s=shape, c=call: c(s)
            for shape in SHAPES
            for what, call in ((WHOLE, self.whole), (BARE, self.page))
        }

    def page(self, shape: str) -> list[Any]:
        sql = {"list": self._page, "join": self._join}[shape]
        return self._connection.execute(sql, (self._project, self._project)).fetchall()

    def whole(self, shape: str) -> tuple[list[Any], Any]:
        count = self._connection.execute(self._count, (self._project,)).fetchone()
        read = [(*row[:-3], *map(json.loads, row[-3:])) for row in self.page(shape)]
        return read, count

    def ids(self) -> list[str]:
        pages = [[row[1] for row in self.page(shape)] for shape in SHAPES]
        if pages[0] != pages[1]:
            raise ScriptError("The two shapes of the SQL query differ.")
        return pages[0]

    def close(self) -> None:
        self._connection.close()


def interleaved(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the times of each call in milliseconds. The calls alternate, so the load is the same for all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) * 1000)
    return times


def _row(figure: str, times: dict[str, list[float]], ours: str, against: str) -> Line:
    """Return a row. Its target compares with the SQL that gives the same answer."""
    mine = statistics.median(times[ours])
    other = min(statistics.median(times[f"{against}, {shape}"]) for shape in SHAPES)
    if against == BARE:
        return row(figure, "ms", mine, against, other)
    target = f"{TARGET_RATIO}x, {TARGET_MS} ms"
    return Line(figure, "ms", mine, against, other, target, mine <= min(TARGET_RATIO * other, TARGET_MS))


def _stated(figure: str, unit: str, value: float) -> Line:
    return row(figure, unit, value, "", None)
